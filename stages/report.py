"""Write the report: one HTML file that needs no network, and no JavaScript to be read.

In:  reports/results/, reports/figures/, reports/families/, reports/compared/, reports/claims.json, claims.yaml,
     params.yaml; receipts, where there are any.
Out: reports/report.html. It shows times and revisions, so no stage ever reads it.
Run: python -m stages.report
"""

from pathlib import Path

from darkmatter.experiments.registry import drawn
from darkmatter.ledger.claims import CLAIM_RESULTS, CLAIMS, load_claims
from darkmatter.ledger.families import FAMILIES, read_families
from darkmatter.report.compared import COMPARED, read_compared
from darkmatter.report.content import report_content
from darkmatter.report.render import render
from darkmatter.report.sources import Provenance
from darkmatter.results.load import load_results
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.staleness import stale_stages
from darkmatter.storage.artifacts import read_json, write_text
from darkmatter.storage.paths import FIGURES, RECEIPTS, REPORT, RESULTS


def main(stage: Stage) -> None:
    params = stage.params
    for hookpoint in params.hookpoints:
        stage.reads(RESULTS / "decomposition" / f"{hookpoint}.json")
    experiments = drawn()
    for name in experiments:
        stage.reads(RESULTS / f"{name}.json")
    results = load_results(RESULTS, params.hookpoints, experiments)
    figures = stage.reads(FIGURES)
    claims = read_json(stage.reads(CLAIM_RESULTS))
    ledger = load_claims(stage.reads(CLAIMS))
    lemmas, data, tokens = (
        read_json(stage.reads(RESULTS / f"{name}.json")) for name in ("lemmas", "data", "token_view")
    )
    known = {path.stem: read_json(path) for path in sorted(RECEIPTS.glob("*.json"))}
    receipts = {name: receipt for name, receipt in known.items() if receipt["profile"] == params.profile}
    stale = stale_stages(receipts, Path())
    provenance = Provenance(receipts, stale, params.figures.main_hookpoint)

    families = read_families(stage.reads(FAMILIES), params.profile)
    compared = read_compared(stage.reads(COMPARED), params.profile)

    content = report_content(
        params, results, figures, claims, lemmas, data, tokens, ledger, provenance, families, compared
    )

    write_text(stage.writes(REPORT), render(content))


if __name__ == "__main__":
    run(main)
