"""A finished run of another profile, kept beside the reports of the one that is checked out.

`reports/` holds one profile at a time. `darkmatter keep` writes what its claims came to as
reports/families/PROFILE.json, which no stage overwrites; the report shows every kept profile beside its own. No torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkmatter.ledger.claims import CLAIM_RESULTS
from darkmatter.params.schema import Params
from darkmatter.runner.staleness import stages_behind, stale_stages
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json
from darkmatter.storage.paths import RECEIPTS, REPORTS, RESULTS

FAMILIES = REPORTS / "families"
OF_CLAIM = ("id", "verdict", "analogue", "reason", "judge", "judged_by", "rule_sha256", "components", "outcomes")
OF_HOOKPOINT = ("hookpoint", "d_model", "contexts", "rows", "outlier_norm_ratio", "dropped_rows")

Content = dict[str, Any]


def keep(params: Params) -> Path:
    """Write the family file of the profile whose results are in reports/.

    Raises:
        ArtifactError: the run is not finished, or not of the parameters and code that are here.
    """
    claims = read_json(CLAIM_RESULTS)
    receipts = {path.stem: read_json(path) for path in sorted(RECEIPTS.glob("*.json"))}
    receipts = {name: receipt for name, receipt in receipts.items() if receipt["profile"] == params.profile}
    if claims["profile"] != params.profile or "claims" not in receipts:
        raise ArtifactError(
            f"{CLAIM_RESULTS} is of profile {claims['profile']}, params.yaml of {params.profile}. Run `dvc repro`."
        )
    behind = stages_behind("claims", receipts)
    if stale := [why for name, why in stale_stages(receipts, Path()).items() if name in behind]:
        raise ArtifactError(f"the run in {REPORTS} is not of what is here: {stale[0]}. Run `dvc repro`.")
    main = read_json(RESULTS / "decomposition" / f"{params.figures.main_hookpoint}.json")
    target = FAMILIES / f"{params.profile}.json"
    write_json(target, family(claims, main, receipts) | {"claims_sha256": sha256_file(CLAIM_RESULTS)})
    return target


def family(claims: Content, main: Content, receipts: Mapping[str, Content]) -> Content:
    """What is kept of a run.

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
    }


def read_families(folder: Path, profile: str) -> list[Content]:
    """The kept runs of other profiles than this one, by name."""
    return [read_json(path) for path in sorted(folder.glob("*.json")) if path.stem != profile]
