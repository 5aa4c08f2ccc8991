"""What a stored unit depends on: its own code, and the code that this imports."""

import importlib.util
import shutil
from pathlib import Path

from darkmatter.runner import code_identity

ONE = "from darkmatter.two import number\n\nprint(number)\n"


def test_the_hash_follows_imports_and_is_blind_to_comments(tmp_path):
    """In a package of its own: the module reads the folder that it stands in."""
    place = tmp_path / "darkmatter/runner/code_identity.py"
    place.parent.mkdir(parents=True)
    shutil.copyfile(code_identity.__file__, place)
    spec = importlib.util.spec_from_file_location("identity", place)
    identity = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(identity)
    one, two = tmp_path / "darkmatter/one.py", tmp_path / "darkmatter/two.py"
    one.write_text(ONE)

    def hash_with(text: str) -> str:
        two.write_text(text)
        identity.code_hash.cache_clear()
        return identity.code_hash(Path(one))

    before = hash_with("number = 1\n")
    assert hash_with("number = 1  # the first\n") == before
    assert hash_with('"""Numbers."""\n\nnumber = 1\n') == before
    assert hash_with("number = 2\n") != before
