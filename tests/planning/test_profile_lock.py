"""`darkmatter params --profile NAME`: the lock of the profile that is left goes to its reports, and comes back."""

from pathlib import Path

import pytest
import yaml
from profiles import composed

from darkmatter.cli import main
from darkmatter.planning.profile_lock import LOCK, change_lock
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]


def lock(*profiles: str) -> str:
    """A dvc.lock with a stage that ran for each of these, and one that any profile shares."""
    of_stage = lambda name: {"cmd": "true", "params": {"params.yaml": {"profile": name}}}  # noqa: E731
    stages = {f"stage{place}": of_stage(name) for place, name in enumerate(profiles)}
    return yaml.safe_dump({"stages": {"corpus": {"cmd": "python -m stages.corpus"}, **stages}})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LOCK.write_text(lock("one", "one"))


def test_a_lock_goes_and_comes_back(here):
    first, second = LOCK.read_text(), lock("two", "two")
    change_lock("one", "two")
    assert reports_of("one").lock.read_text() == LOCK.read_text() == first  # what both share is not lost for the other
    LOCK.write_text(second)
    change_lock("two", "one")
    assert LOCK.read_text() == first and not reports_of("one").lock.exists()
    assert reports_of("two").lock.read_text() == second
    change_lock("one", "two")
    assert LOCK.read_text() == second and not reports_of("two").lock.exists()


@pytest.mark.parametrize("profiles", [("two",), ("one", "two"), ()])
def test_a_lock_that_is_not_all_of_the_profile_is_not_stored(here, profiles):
    """As after a run of the other that was stopped: its folder keeps the lock of the last whole run, or none."""
    LOCK.write_text(lock(*profiles))
    change_lock("one", "two")
    assert not reports_of("one").lock.exists()


def test_hookpoints_that_an_earlier_profile_left_in_a_lock_do_not_keep_it_from_being_stored(here):
    """Gemma's lock was lost so: nine stages of SmolLM2's hookpoints stood in it."""
    content = yaml.safe_load(lock("one", "one"))
    content["stages"]["decomposition@of_two"] = {"cmd": "true", "params": {"params.yaml": {"profile": "two"}}}
    LOCK.write_text(yaml.safe_dump(content))
    before = LOCK.read_text()
    change_lock("one", "two")
    assert reports_of("one").lock.read_text() == before


@pytest.mark.parametrize("content", ["", "stages: {tokens: {cmd: [", "<<<<<<< ours\n"])
def test_a_lock_that_is_cut_or_in_conflict_is_not_stored(here, content):
    LOCK.write_text(content)
    change_lock("one", "two")
    assert not reports_of("one").lock.exists() and LOCK.read_text() == content


def test_the_same_profile_again_moves_nothing(here):
    before = LOCK.read_text()
    change_lock("one", "one")
    assert LOCK.read_text() == before and not reports_of("one").lock.exists()


def test_the_command_moves_it(here):
    Path("conf").symlink_to(ROOT / "conf")
    main(["params", "--profile", "smoke"])
    assert Path("params.yaml").read_text() == composed("smoke")
    LOCK.write_text(lock("smoke"))
    main(["params", "--profile", "smoke-gemma2"])
    assert reports_of("smoke").lock.read_text() == lock("smoke")
    main(["params", "--profile", "smoke"])
    assert LOCK.read_text() == lock("smoke") and not reports_of("smoke").lock.exists()
