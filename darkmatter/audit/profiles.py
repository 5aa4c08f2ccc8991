"""Which profile's folder of reports an audit reads, and by which parameters that run was made."""

import argparse
from pathlib import Path
from typing import Any

from darkmatter.audit.command_line import did_you_mean
from darkmatter.audit.receipts import read_receipts
from darkmatter.params.schema import Params, load_params, parse_params
from darkmatter.runner.pipeline_file import params_of_lock, profile_here
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.paths import REPORTS, reports_of


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add `--profile` to the parser of a command that reads reports."""
    parser.add_argument(
        "--profile", metavar="NAME", help="whose reports, a folder of reports/ (default: the profile of params.yaml)"
    )


def chosen(profile: str | None, root: Path) -> str:
    """The profile that is named, or else that of params.yaml.

    Raises:
        ArtifactError: reports/ has no folder of that name.
    """
    here = profile_here(root)
    if profile is None or profile == here:
        return here
    known = sorted(path.name for path in (root / REPORTS).glob("*/") if (root / reports_of(path.name).claims).is_file())
    if profile not in known:
        hint = did_you_mean(profile, known) or f"; known: {', '.join(known)}"
        raise ArtifactError(f"{REPORTS}/ has no claims of profile {profile!r}{hint}")
    return profile


def params_of(profile: str, root: Path) -> Params:
    """The parameters of a profile's run: params.yaml where it has that profile, else what the receipts say.

    Raises:
        ArtifactError: there are no receipts of it.
        ParamsError: they are not parameters of the code that is here.
    """
    if profile == profile_here(root):
        return load_params(root / "params.yaml")
    receipts = read_receipts(root, profile)
    if not receipts:
        raise ArtifactError(
            f"{reports_of(profile).path} has no receipts, so nothing of it can be derived: "
            f"`git checkout -- {reports_of(profile).path}` restores them"
        )
    said = {key: value for receipt in receipts.values() for key, value in receipt["params"].items()}
    # Results list SAEs in the order of their groups, which a receipt, whose keys are sorted, has lost.
    if (lock := root / reports_of(profile).lock).is_file():
        said |= {key: value for key, value in params_of_lock(lock) if said.get(key) == value}
    content: dict[str, Any] = {}
    for key in sorted(said, key=lambda key: key.count(".")):  # whole sections first: parts of them add nothing then
        *sections, name = key.split(".")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = said[key]
    return parse_params(content, reports_of(profile).receipts.as_posix())
