"""The committed reports of a profile that params.yaml does not have: are they as written, and do their sums give them?

Such a run may be older than the code: which rooms have changed since is said, and is no fault. Where none of them has,
every number must follow from the sums that are here. Files must be those that the receipts name, whatever has changed.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from darkmatter.audit.derive import Derived, Deriver, overall
from darkmatter.audit.findings import MALFORMED, AuditFinding
from darkmatter.audit.receipts import Receipts, sorted_receipts
from darkmatter.ledger.claims import Claim
from darkmatter.params.types import ParamsError
from darkmatter.runner.staleness import brief, within
from darkmatter.storage.artifacts import ArtifactError, sha256_path
from darkmatter.storage.paths import reports_of

DRAWN = ("metrics", "plots")

Said = tuple[list[str], list[AuditFinding]]


def other_profile(root: Path, profile: str) -> Said:
    """What is said of a profile's folder, a line each, and what is wrong with it."""
    reports = reports_of(profile)
    receipts, findings = sorted_receipts(root, profile)
    absent, tampered = outputs_of(root, reports.path, receipts)
    changed = changed_rooms(root, receipts)
    made, since = " and ".join(revisions(receipts)) or "unknown", ", ".join(changed) or "nothing"
    lines = [f"{profile}: made by revision {made}; since changed: {since}"]
    lines += [f"{profile}: not here: {brief(absent)}"] if absent else []
    with contextlib.chdir(root):
        done, errors = derived_again(profile)
    lines += [f"{profile}: {overall(done)}"] if done else []
    lines += [f"{profile}: not derived: {brief(errors)}"] if errors else []
    findings += tampered
    if not changed:
        findings += [finding for item in done for finding in item.findings() if finding.kind == "differs"]
        findings += [AuditFinding("differs", reports.path.as_posix(), error) for error in errors if not absent]
    return lines, findings


def derived_again(profile: str) -> tuple[list[Derived], list[str]]:
    """What its sums give: results, what is drawn from them, and the claims whose rule is still the one here.

    Returns:
        What was derived, and why anything else was not.
    """
    done, errors = [], []
    try:
        deriver = Deriver(profile)
        steps = [functools.partial(deriver.derive, name) for name in ("decomposition", *deriver.records, *DRAWN)]
        judged = [claim for claim in deriver.claims.values() if deriver.same_rule(claim)]
    except (ArtifactError, ParamsError) as error:
        return [], [str(error)]
    except MALFORMED as error:
        return [], [f"{type(error).__name__}: {error}"]
    for step in [*steps, *(functools.partial(one_claim, deriver, claim) for claim in judged)]:
        try:
            done += step()
        except (ArtifactError, *MALFORMED) as error:
            errors.append(f"{type(error).__name__}: {error}")
    return done, errors


def one_claim(deriver: Deriver, claim: Claim) -> list[Derived]:
    return [deriver.claim(claim)]


def outputs_of(root: Path, folder: Path, receipts: Receipts) -> tuple[list[str], list[AuditFinding]]:
    """The outputs in a folder that are not here, and those that are not what the receipts say that stages wrote."""
    absent, findings = [], []
    for stage, receipt in receipts.items():
        for path, sha256 in receipt["outputs"].items():
            if not within(path, folder.as_posix()):
                continue
            if not (root / path).exists():
                absent.append(path)
            elif sha256_path(root / path) != sha256:
                message = f"is not what {stage} wrote, by its receipt; `git checkout -- {path}` restores it"
                findings.append(AuditFinding("tampered", path, message))
    return absent, findings


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
    return sorted({(receipt.get("revision") or "unknown")[:12] for receipt in receipts.values()})
