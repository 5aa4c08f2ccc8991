"""Write the report: one HTML file that needs no network and no JavaScript.

In:  reports/results/, reports/figures/, reports/claims.json, params.yaml; the receipts, where there are any.
Out: reports/report.html. It shows times and revisions, so no stage ever reads it.
Run: python -m stages.report
"""

from darkmatter.artifacts import read_json, write_text
from darkmatter.claims import CLAIM_RESULTS
from darkmatter.paths import FIGURES, RECEIPTS, REPORT, RESULTS
from darkmatter.report.content import report_content
from darkmatter.report.render import render
from darkmatter.results import load_results
from darkmatter.stage import Stage, run


def main(stage: Stage) -> None:
    for hookpoint in stage.params.hookpoints:
        stage.reads(RESULTS / "decomposition" / f"{hookpoint}.json")
    stage.reads(RESULTS / "per_token_scaling.json")
    results = load_results(RESULTS, stage.params.hookpoints)
    figures = stage.reads(FIGURES)
    claims = read_json(stage.reads(CLAIM_RESULTS))
    lemmas = read_json(stage.reads(RESULTS / "lemmas.json"))
    data = read_json(stage.reads(RESULTS / "data.json"))
    known = {path.stem: read_json(path) for path in sorted(RECEIPTS.glob("*.json"))}
    receipts = {name: receipt for name, receipt in known.items() if receipt["profile"] == stage.params.profile}

    content = report_content(stage.params, results, figures, claims, lemmas, data, receipts)

    write_text(stage.writes(REPORT), render(content))


if __name__ == "__main__":
    run(main)
