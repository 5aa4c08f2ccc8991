"""The receipts of a repository, and which of the files among them are none."""

from pathlib import Path
from typing import Any

from darkmatter.audit.findings import AuditFinding
from darkmatter.runner.staleness import within
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.listings import listed_sha256
from darkmatter.storage.paths import DATA, reports_of

Receipts = dict[str, dict]
HASHED = ("code", "inputs", "outputs")  # what a receipt names by SHA-256


def read_receipts(root: Path, profile: str) -> Receipts:
    """Those that are receipts; `audit verify` tells of the others."""
    return sorted_receipts(root, profile)[0]


def hashed(receipt: dict) -> list[Any]:
    """What should be path → SHA-256. Receipts of an early revision list no files."""
    return [*(receipt.get(key) for key in HASHED), receipt.get("files", {})]


def sorted_receipts(root: Path, profile: str) -> tuple[Receipts, list[AuditFinding]]:
    """Stage → receipt, and what is wrong with the files that are none."""
    receipts, findings = {}, []
    for path in sorted((root / reports_of(profile).receipts).glob("*.json")):
        name = path.relative_to(root).as_posix()
        try:
            receipt = read_json(path)
        except ArtifactError:
            receipt = None
        if isinstance(receipt, dict) and all(isinstance(hashes, dict) for hashes in hashed(receipt)):
            receipts[path.stem] = receipt
            if outputs := at_odds(receipt):
                told = f"its hash of {', '.join(outputs)} is not that of the files it lists"
                findings.append(AuditFinding("tampered", name, f"{told}; `git checkout -- {name}` restores it"))
        else:
            findings.append(AuditFinding("tampered", name, f"is no receipt; `git checkout -- {name}` restores it"))
    return receipts, findings


def at_odds(receipt: dict) -> list[str]:
    """The outputs whose hash in a receipt does not follow from the files it lists: one of both was edited by hand."""
    if "files" not in receipt:
        return []
    kept = {out: sha256 for out, sha256 in receipt["outputs"].items() if within(out, DATA.as_posix())}
    return [out for out, sha256 in kept.items() if listed_sha256(out, receipt["files"]) != sha256]
