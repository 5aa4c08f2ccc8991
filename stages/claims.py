"""results and the ledger → what became of each claim.

In:  claims.yaml, reports/PROFILE/results/, and for what averages over dimensions data/decomposition/PROFILE/ (moments,
     and dimension_sums.npz of each SAE) and data/sums/PROFILE/pursuit.npz
Out: reports/PROFILE/claims.json   per claim: our components with intervals, verdict, analogue, what would change it

    python -m stages.claims
"""

from darkmatter.experiments.pursuit.results import STORED_DIMENSIONS
from darkmatter.ledger.claims import CLAIMS, load_claims
from darkmatter.ledger.estimands.gather import gather
from darkmatter.ledger.judge import claims_content
from darkmatter.ledger.verdicts import subject_of
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import write_json
from darkmatter.storage.paths import DECOMPOSITION, DIMENSION_SUMS


def main(stage: Stage) -> None:
    params = stage.params
    ledger = load_claims(stage.reads(CLAIMS))
    for path in (DECOMPOSITION / params.profile, DIMENSION_SUMS / params.profile / STORED_DIMENSIONS):
        stage.reads(path)  # an audit does without them, this stage does not
    evidence = gather(params, stage.reads)

    content = claims_content(ledger, evidence, subject_of(params))

    write_json(stage.writes(stage.reports.claims), content)


if __name__ == "__main__":
    run(main)
