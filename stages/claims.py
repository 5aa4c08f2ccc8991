"""results and the ledger → what became of each claim.

In:  claims.yaml, reports/PROFILE/results/
Out: reports/PROFILE/claims.json   per claim: our components with intervals, verdict, analogue, what would change it

    python -m stages.claims
"""

from darkmatter.ledger.claims import CLAIMS, load_claims
from darkmatter.ledger.estimands.gather import gather
from darkmatter.ledger.judge import claims_content
from darkmatter.ledger.verdicts import subject_of
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import write_json


def main(stage: Stage) -> None:
    params = stage.params
    ledger = load_claims(stage.reads(CLAIMS))
    evidence = gather(params, stage.reads)

    content = claims_content(ledger, evidence, subject_of(params))

    write_json(stage.writes(stage.reports.claims), content)


if __name__ == "__main__":
    run(main)
