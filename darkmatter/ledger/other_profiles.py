"""What the claims came to in the committed runs of other profiles, for the page to show beside its own. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkmatter.storage.artifacts import read_json, sha256_file
from darkmatter.storage.paths import ReportFolder, reports_of

OF_CLAIM = ("id", "verdict", "analogue", "reason", "judge", "judged_by", "rule_sha256", "components", "outcomes")
OF_HOOKPOINT = ("hookpoint", "d_model", "contexts", "rows", "outlier_norm_ratio", "dropped_rows")
MAIN = "figures.main_hookpoint"

Content = dict[str, Any]


def read_run(profile: str, root: Path = Path()) -> Content:
    """The run of one profile.

    Raises:
        ArtifactError: a file of it is missing or damaged.
    """
    reports = ReportFolder(root / reports_of(profile).path)
    claims = read_json(reports.claims)
    receipts = read_receipts(reports.receipts)
    main = read_json(reports.decomposition / f"{receipts['claims']['params'][MAIN]}.json")
    return run_of(claims, main, receipts) | {"claims_sha256": sha256_file(reports.claims)}


def read_receipts(folder: Path) -> dict[str, Content]:
    """Stage → its receipt."""
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def run_of(claims: Content, main: Content, receipts: Mapping[str, Content]) -> Content:
    """What the page shows of a run.

    Args:
        claims: of claims.json.
        main: results of the decomposition at the main hookpoint.
        receipts: stage → its receipt.
    """
    last = receipts["claims"]
    return {
        "profile": claims["profile"],
        "model": claims["model"],
        "main": {key: main[key] for key in OF_HOOKPOINT if key in main},
        "revision": last["revision"],
        "machine": last["machine"],
        "started": min(receipt["started"] for receipt in receipts.values()),
        "seconds": round(sum(receipt["seconds"] for receipt in receipts.values()), 2),
        "claims": [{key: row[key] for key in OF_CLAIM} for row in claims["claims"]],
        "predictions": [row for row in claims.get("predictions", []) if row["outcome"]],
    }
