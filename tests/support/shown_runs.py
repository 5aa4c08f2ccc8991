"""What the report reads of the committed runs of other profiles, for tests that make a report elsewhere."""

import shutil
from pathlib import Path

from darkmatter.runner.pipeline_file import declared_profiles
from darkmatter.storage.artifacts import read_json, sha256_file, write_json
from darkmatter.storage.paths import ReportFolder, reports_of

ROOT = Path(__file__).parents[2]


def copy_shown_runs(to: Path) -> None:
    """Copy claims, receipts, figures and decompositions of every profile that the report shows beside its own."""
    for profile in declared_profiles("report", ROOT):
        reports = reports_of(profile)
        folders = (reports.receipts, reports.decomposition, reports.figures)
        parts = [reports.claims, *(folder / "*" for folder in folders)]
        for path in (found for part in parts for found in ROOT.glob(part.as_posix())):
            copy = to / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        forget_predictions(reports, to)


def forget_predictions(reports: ReportFolder, to: Path) -> None:
    """In a copy whose git history begins anew no commit says that a prediction was there before its experiment ran."""
    claims, receipt = to / reports.claims, to / reports.receipts / "claims.json"
    write_json(claims, read_json(claims) | {"predictions": []})
    content = read_json(receipt)
    content["outputs"][reports.claims.as_posix()] = sha256_file(claims)
    write_json(receipt, content)
