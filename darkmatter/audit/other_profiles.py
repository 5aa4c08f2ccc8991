"""The committed reports of a profile that params.yaml does not have: are they as written, and do their sums give them?

Such a run may be older than the code: which rooms have changed since is said, and is no fault. Where none of them has,
every number must follow from the sums. Files must be those that the receipts name, whatever has changed.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from darkmatter.audit.derive import Derived, Deriver, overall
from darkmatter.audit.findings import AuditFinding
from darkmatter.audit.receipts import Receipts, sorted_receipts
from darkmatter.ledger.other_profiles import claims_alone
from darkmatter.params.types import ParamsError
from darkmatter.runner.staleness import within
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_path
from darkmatter.storage.paths import reports_of

Said = tuple[list[str], list[AuditFinding]]


def other_profile(root: Path, profile: str) -> Said:
    """What is said of a profile's folder, a line each, and what is wrong with it."""
    reports = reports_of(profile)
    claims = read_json(root / reports.claims)
    if claims_alone(claims):
        run = f"`darkmatter params --profile {profile} && dvc repro`"
        made = f"made by revision {claims['revision'][:12]}"
        return [f"{profile}: {made}; its claims alone are here, without sums; {run} makes the rest"], []
    receipts, findings = sorted_receipts(root, profile)
    findings += other_bytes(root, reports.path, receipts)
    changed = changed_rooms(root, receipts)
    since = f"since changed: {', '.join(changed) or 'nothing'}"
    line = f"{profile}: made by revision {' and '.join(revisions(receipts))}; {since}"
    try:
        with contextlib.chdir(root):
            done = derived_again(profile)
    except (ArtifactError, ParamsError) as error:
        if not changed:
            raise
        return [line, f"{profile}: the code here does not derive it ({error})"], findings
    if not changed:
        findings += [finding for item in done for finding in item.findings() if finding.kind == "differs"]
    return [line, f"{profile}: {overall(done)}"], findings


def derived_again(profile: str) -> list[Derived]:
    """All that its sums give: results, what is drawn from them, and the claims whose rule is still the one here."""
    deriver = Deriver(profile)
    made = ["decomposition", *deriver.records, "metrics", "plots"]
    done = [item for name in made for item in deriver.derive(name)]
    return [*done, *(deriver.claim(claim) for claim in deriver.claims.values() if deriver.same_rule(claim))]


def other_bytes(root: Path, folder: Path, receipts: Receipts) -> list[AuditFinding]:
    """Outputs in the folder that are not, or not any more, what the receipts say that stages wrote."""
    findings = []
    for stage, receipt in receipts.items():
        for path, sha256 in receipt["outputs"].items():
            if not within(path, folder.as_posix()):
                continue
            if not (root / path).exists():
                findings.append(AuditFinding("missing", path, f"output of {stage}; `git checkout -- {path}`"))
            elif sha256_path(root / path) != sha256:
                message = f"is not what {stage} wrote, by its receipt; `git checkout -- {path}` restores it"
                findings.append(AuditFinding("tampered", path, message))
    return findings


def changed_rooms(root: Path, receipts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The rooms of code of which a file is not the one that ran."""
    ran = {item for receipt in receipts.values() for item in receipt["code"].items()}
    changed = {path for path, sha256 in ran if not (root / path).exists() or sha256_path(root / path) != sha256}
    return sorted({room(path) for path in changed})


def room(path: str) -> str:
    """`statistics` of darkmatter/statistics/estimate.py; `stages` of a stage."""
    parts: Sequence[str] = PurePosixPath(path).parts
    return parts[1] if parts[0] == "darkmatter" else parts[0]


def revisions(receipts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Twelve digits of each revision that a stage ran at."""
    return sorted({(receipt["revision"] or "unknown")[:12] for receipt in receipts.values()})
