"""A profile of conf/ as parameters, the way `dvc exp run -S profile=...` composes it."""

import tempfile
from pathlib import Path

from darkmatter.params.schema import Params, load_params
from darkmatter.params.types import ParamsError
from darkmatter.storage.text_files import encoding_of

CONF = Path("conf")


def compose_to(draft: Path, profile: str) -> Params:
    """Write the composed parameters of a profile to `draft`, and check them.

    Raises:
        ParamsError: there is no such profile, or what it composes to is not valid.
    """
    from dvc.utils.hydra import compose_and_dump

    known = sorted(path.stem for path in (CONF / "profile").glob("*.yaml"))
    if profile not in known:
        raise ParamsError(
            f"no profile {profile!r}; conf/profile has {', '.join(known) or 'none: run this in the repository'}"
        )
    check_marks()
    compose_and_dump(draft, str(CONF.resolve()), None, "config", "", [f"profile={profile}"])
    return load_params(draft)


def check_marks() -> None:
    """Refuse a byte-order mark, before which Hydra does not see `# @package _global_`.

    Raises:
        ParamsError: names the file and the command that removes the mark.
    """
    for path in sorted(CONF.rglob("*.yaml")):
        with path.open("rb") as file:
            if encoding_of(file.read(4)) != "utf-8":
                raise ParamsError(
                    f"{path} begins with a byte-order mark, so Hydra does not see what package it is. Save it as UTF-8 "
                    rf"without one: `sed -i '1s/^\xEF\xBB\xBF//' {path}`"
                )


def composed(profile: str) -> Params:
    """The parameters of a profile; params.yaml is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        return compose_to(Path(folder) / "params.yaml", profile)
