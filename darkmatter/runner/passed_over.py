"""The receipts of stages that DVC passes over because another profile has made the same.

Corpus, model, activations, SAEs and codes do not depend on the name of the profile: where two profiles agree on them,
one run is enough, and its receipts stand in one folder. So that the folder of a profile tells of every stage behind it,
a stage brings the receipts of those that wrote what it read.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkmatter.runner.staleness import within
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.listings import listed_sha256
from darkmatter.storage.paths import DATA, receipts_of_every_profile


def bring_receipts(inputs: Mapping[str, str], folder: Path) -> None:
    """Copy to `folder` the last receipt of each stage that wrote one of these inputs below `data/`, unless it is there.

    Args:
        inputs: path → SHA-256, as a receipt has them.
        folder: of the receipts of a profile.
    """
    read = {path: sha256 for path, sha256 in inputs.items() if within(path, DATA.as_posix())}
    last: dict[str, tuple[str, bool, Path]] = {}
    for path in receipts_of_every_profile():
        receipt = read_receipt(path)
        if any(wrote(receipt, name, sha256) for name, sha256 in read.items()):
            found = (receipt["started"], path.parent == folder, path)
            last[path.name] = max(last.get(path.name, found), found)
    for name, (_, is_here, path) in last.items():
        if not is_here:
            shutil.copyfile(path, folder / name)


def read_receipt(path: Path) -> Mapping[str, Any]:
    """Empty where a file is no receipt, of which `darkmatter audit verify` tells."""
    try:
        receipt = read_json(path)
    except ArtifactError:
        return {}
    whole = isinstance(receipt, dict) and isinstance(receipt.get("files"), dict) and "started" in receipt
    return receipt if whole else {}


def wrote(receipt: Mapping[str, Any], path: str, sha256: str) -> bool:
    """Whether a stage wrote this file or folder, with this content."""
    return any(within(path, out) for out in receipt.get("outputs", {})) and (
        listed_sha256(path, receipt["files"]) == sha256
    )
