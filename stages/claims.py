"""results and the ledger → what became of each claim.

In:  claims.yaml, reports/results/, data/decomposition/PROFILE/*/*/dimension_sums.npz (for the R² of the error vector)
Out: reports/claims.json   per claim: our components with intervals, verdict, analogue, what would change it

    python -m stages.claims
"""

from darkmatter.artifacts import write_json
from darkmatter.claim_rows import claims_content
from darkmatter.claims import CLAIM_RESULTS, CLAIMS, load_claims
from darkmatter.estimands.gather import gather
from darkmatter.paths import DECOMPOSITION
from darkmatter.stage import Stage, run
from darkmatter.verdicts import subject_of


def main(stage: Stage) -> None:
    params = stage.params
    ledger = load_claims(stage.reads(CLAIMS))
    stage.reads(DECOMPOSITION / params.profile)  # an audit does without it, this stage does not
    evidence = gather(params, stage.reads)

    content = claims_content(ledger, evidence, subject_of(params))

    write_json(stage.writes(CLAIM_RESULTS), content)


if __name__ == "__main__":
    run(main)
