"""results and the ledger → what became of each claim.

In:  claims.yaml, reports/results/, data/decomposition/PROFILE/*/*/dimension_sums.npz (for the R² of the error vector)
Out: reports/claims.json   per claim: our components with intervals, verdict, analogue, what would change it

    python -m stages.claims
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported: the same sums whatever the number of cores

from darkmatter.artifacts import read_json, write_json
from darkmatter.claim_rows import claims_content
from darkmatter.claims import CLAIM_RESULTS, CLAIMS, load_claims
from darkmatter.estimands.evidence import Evidence
from darkmatter.estimands.registry import BY_EXPERIMENT
from darkmatter.paths import DECOMPOSITION, RESULTS
from darkmatter.results import EXPERIMENTS, Results, load_decomposition
from darkmatter.stage import Stage, run
from darkmatter.verdicts import subject_of


def main(stage: Stage) -> None:
    params = stage.params
    ledger = load_claims(stage.reads(CLAIMS))
    stage.reads(RESULTS / "decomposition")
    decomposition = load_decomposition(RESULTS, params.hookpoints)
    judged = [name for name in EXPERIMENTS if name in BY_EXPERIMENT]
    files = {name: RESULTS / f"{name}.json" for name in ("lemmas", *judged)}
    experiments = {name: read_json(stage.reads(path)) for name, path in files.items() if path.exists()}
    evidence = Evidence(
        params,
        Results(decomposition, experiments),
        stage.reads(RESULTS / "sums"),
        stage.reads(DECOMPOSITION / params.profile),
        read_json(stage.reads(RESULTS / "data.json"))["model"]["layers"],
    )

    content = claims_content(ledger, evidence, subject_of(params))

    write_json(stage.writes(CLAIM_RESULTS), content)


if __name__ == "__main__":
    run(main)
