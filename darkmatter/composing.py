"""A profile of conf/ as parameters, the way `dvc exp run -S profile=...` composes it."""

import tempfile
from pathlib import Path

from darkmatter.params import Params, load_params
from darkmatter.sections import ParamsError

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
    compose_and_dump(draft, str(CONF.resolve()), None, "config", "", [f"profile={profile}"])
    return load_params(draft)


def composed(profile: str) -> Params:
    """The parameters of a profile; params.yaml is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        return compose_to(Path(folder) / "params.yaml", profile)
