"""Was every prediction committed before the run that judges it?

A receipt says at which revision its stage ran. A prediction that came first is an ancestor of that revision, with the
statement and the rule that it has now; git keeps the order, however the history is merged. Not its dates, which anybody
may set.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from darkmatter.audit.findings import AuditFinding
from darkmatter.audit.history import claims_in_history, content_at, git
from darkmatter.ledger.claims import CLAIMS, load_claims
from darkmatter.ledger.predictions import Prediction, prediction_sha256
from darkmatter.storage import safe_yaml
from darkmatter.storage.paths import REPORTS, ReportFolder

Outcomes = dict[str, tuple[str, str]]  # prediction → its SHA-256 as it was judged, and the stage of its numbers


def prediction_findings(root: Path) -> Iterator[AuditFinding]:
    """Predictions that are younger than a run that judged them, or that changed after one.

    Outside git, or in a clone without its history, nothing is said: `rule_findings` says that history is missing.
    """
    if (git(root, "rev-parse", "--is-shallow-repository") or b"true").strip() == b"true":
        return
    judged = judged_in_history(root)
    if not judged:
        return
    predictions = {one.id: one for one in load_claims(root / CLAIMS).predictions}
    born: dict[str, str | None] = {}
    for (identity, sha256, _), (commit, stage, reports) in judged.items():
        where = f"commit {commit[:12]}" if commit else reports.claims.as_posix()
        if identity not in predictions:
            message = f"{CLAIMS} no longer has this prediction, which {where} judged"
            yield AuditFinding("rule-changed", identity, message)
            continue
        if prediction_sha256(predictions[identity]) != sha256:
            message = f"{CLAIMS} has another statement or rule than {where} judged ({sha256[:12]})"
            yield AuditFinding("rule-changed", identity, message)
            continue
        if identity not in born:
            born[identity] = first_commit(root, predictions[identity])
        yield from order_findings(root, identity, born[identity], revision_of(root, commit, stage, reports), stage)


def order_findings(
    root: Path, identity: str, born: str | None, revision: str | None, stage: str
) -> Iterator[AuditFinding]:
    """What is wrong with the order of a prediction and the run of the stage that it is judged on."""
    if born is None:
        yield AuditFinding(
            "rule-changed", identity, f"was judged, and no commit holds it; commit {CLAIMS} before a run"
        )
    elif revision is None or git(root, "cat-file", "-e", f"{revision}^{{commit}}") is None:
        message = f"the revision at which {stage} ran ({revision or 'none'}) is not here, so the order is not known"
        yield AuditFinding("missing", identity, message)
    elif git(root, "merge-base", "--is-ancestor", born, revision) is None:
        message = f"came after its result: commit {born[:12]} has it, {stage} ran at {revision[:12]} without it"
        yield AuditFinding("rule-changed", identity, message)


def judged_in_history(root: Path) -> dict[tuple[str, str, str], tuple[str, str, ReportFolder]]:
    """(prediction, its SHA-256, profile) → the first commit that held an outcome, "" where none does; stage; folder."""
    first: dict[tuple[str, str, str], tuple[str, str, ReportFolder]] = {}
    here = [ReportFolder(path.relative_to(root)) for path in sorted((root / REPORTS).glob("*/"))]
    now = [("", reports, content_at(root, "", reports.claims)) for reports in here]
    for commit, reports, content in [*claims_in_history(root), *now]:
        for identity, (sha256, stage) in outcomes(content).items():
            first.setdefault((identity, sha256, content.get("profile")), (commit, stage, reports))
    return first


def outcomes(content: Any) -> Outcomes:
    """Of the predictions for which there was something to judge."""
    try:
        rows = content.get("predictions", [])
        return {row["id"]: (row["sha256"], row["experiment"]) for row in rows if row["outcome"]}
    except (AttributeError, KeyError, TypeError):
        return {}  # a commit before it had this form


def revision_of(root: Path, commit: str, stage: str, reports: ReportFolder) -> str | None:
    """The revision at which a stage ran, by its receipt of a commit; "": by the one that is here."""
    receipt = content_at(root, commit, reports.receipts / f"{stage}.json")
    revision = receipt.get("revision") if isinstance(receipt, dict) else None
    return revision.rstrip("+") if isinstance(revision, str) else None


def first_commit(root: Path, prediction: Prediction) -> str | None:
    """The first commit whose ledger has the prediction with the statement and rule of now; None where none has."""
    log = git(root, "log", "--reverse", "--format=%H", "--", CLAIMS.as_posix())
    for commit in (log or b"").decode().split():
        text = git(root, "show", f"{commit}:./{CLAIMS.as_posix()}") or b""
        if b"\npredictions:" not in text or prediction.id.encode() not in text:
            continue
        try:
            rows = safe_yaml.load(text)["predictions"]
            known = [Prediction.model_validate(row) for row in rows if row["id"] == prediction.id]
        except (yaml.YAMLError, ValueError, KeyError, TypeError):
            continue  # of another form
        if any(prediction_sha256(one) == prediction_sha256(prediction) for one in known):
            return commit
    return None
