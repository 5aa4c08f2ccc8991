"""Which parameters a stage declares in dvc.yaml, and what params.yaml says of them now."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

PIPELINE = Path("dvc.yaml")
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C: dvc.yaml is read in hundredths of a second


def declared_params(stage: str, root: Path) -> list[str]:
    """Dotted keys, such as `tokens.first_position`; none where dvc.yaml does not have the stage.

    Args:
        stage: as DVC calls it: `decomposition@resid_post.14` is one of `decomposition`.
    """
    stages = read(root / PIPELINE)["stages"]
    entry = stages.get(stage, stages.get(stage.split("@")[0], {}))
    return list(entry.get("do", entry).get("params", []))


def current_params(keys: Iterable[str], root: Path) -> dict[str, Any]:
    """Value of each key in params.yaml; null for one that is not there."""
    content = read(root / "params.yaml")
    return {key: value_at(content, key) for key in keys}


def value_at(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), SafeLoader)  # noqa: S506 - one of the safe loaders
