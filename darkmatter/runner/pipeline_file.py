"""Which parameters a stage declares in dvc.yaml, what params.yaml says of them now, and with which ones a lock ran."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from darkmatter.params.types import ParamsError
from darkmatter.storage import safe_yaml
from darkmatter.storage.paths import reports_of

PIPELINE = Path("dvc.yaml")
PARAMS = Path("params.yaml")


def declared_params(stage: str, root: Path) -> list[str]:
    """Dotted keys, such as `tokens.first_position`; none where dvc.yaml does not have the stage.

    Args:
        stage: as DVC calls it: `decomposition@resid_post.14` is one of `decomposition`.
    """
    stages = safe_yaml.read(root / PIPELINE)["stages"]
    entry = stages.get(stage, stages.get(stage.split("@")[0], {}))
    return list(entry.get("do", entry).get("params", []))


def stage_names(root: Path) -> list[str]:
    """Every stage, in the order of the file; one with `foreach` once."""
    return list(safe_yaml.read(root / PIPELINE)["stages"])


def declared_profiles(stage: str, root: Path) -> list[str]:
    """The profiles whose claims.json a stage names among its dependencies, beside that of the profile it runs for."""
    deps = [Path(dep) for dep in safe_yaml.read(root / PIPELINE)["stages"][stage]["deps"]]
    names = [dep.parent.name for dep in deps if dep == reports_of(dep.parent.name).claims]
    return [name for name in names if "$" not in name]


def profile_here(root: Path) -> str:
    """The profile of params.yaml.

    Raises:
        ParamsError: there is no params.yaml, or it has none.
    """
    try:
        profile = current_params(["profile"], root)["profile"]
    except (OSError, ValueError, yaml.YAMLError):
        profile = None
    if not isinstance(profile, str):
        raise ParamsError(f"{root / PARAMS} names no profile. Run from the repository, or `darkmatter params`.")
    return profile


def current_params(keys: Iterable[str], root: Path) -> dict[str, Any]:
    """Value of each key in params.yaml; null for one that is not there."""
    content = safe_yaml.read(root / PARAMS)
    return {key: value_at(content, key) for key in keys}


def params_of_lock(lock: Path) -> Iterator[tuple[str, Any]]:
    """Key and value of the parameters that each stage of a lock ran with, in the order that params.yaml had."""
    for entry in safe_yaml.read(lock).get("stages", {}).values():
        yield from entry.get("params", {}).get(PARAMS.name, {}).items()


def value_at(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content
