"""Write the report: one HTML file that needs no network, and no JavaScript to be read.

In:  reports/PROFILE/: results/, figures/, claims.json, and receipts, where there are any; the claims.json of the other
     profiles that dvc.yaml names; reports/compared/, claims.yaml, params.yaml.
Out: reports/report.html. It shows times and revisions, so no stage ever reads it.
Run: python -m stages.report
"""

from pathlib import Path

from darkmatter.experiments.registry import drawn
from darkmatter.ledger.claims import CLAIMS, load_claims
from darkmatter.ledger.other_profiles import MAIN, read_receipts, read_run
from darkmatter.report.compared import COMPARED, read_compared
from darkmatter.report.content import report_content
from darkmatter.report.figures import Drawn
from darkmatter.report.render import render
from darkmatter.report.sources import Provenance
from darkmatter.results.load import load_results
from darkmatter.runner.pipeline_file import declared_profiles
from darkmatter.runner.stage import ROOT, Stage, run
from darkmatter.runner.staleness import stale_stages
from darkmatter.storage.artifacts import read_json, write_text
from darkmatter.storage.paths import REPORT, reports_of


def main(stage: Stage) -> None:
    params = stage.params
    for hookpoint in params.hookpoints:
        stage.reads(stage.reports.decomposition / f"{hookpoint}.json")
    experiments = drawn()
    for name in experiments:
        stage.reads(stage.reports.results / f"{name}.json")
    results = load_results(stage.reports.results, params.hookpoints, experiments)
    figures = stage.reads(stage.reports.figures)
    claims = read_json(stage.reads(stage.reports.claims))
    ledger = load_claims(stage.reads(CLAIMS))
    lemmas, data, tokens = (
        read_json(stage.reads(stage.reports.results / f"{name}.json")) for name in ("lemmas", "data", "token_view")
    )
    receipts = read_receipts(stage.reports.receipts)
    stale = stale_stages(receipts, Path())
    provenance = Provenance(receipts, stale, params.figures.main_hookpoint)

    others = [profile for profile in declared_profiles(stage.name, ROOT) if profile != params.profile]
    for profile in others:
        stage.reads(reports_of(profile).claims)
    families = [read_run(profile) for profile in others]
    elsewhere = [drawn_by(profile) for profile in others]
    for one in elsewhere:
        stage.reads(one.folder)
    compared = read_compared(stage.reads(COMPARED), params.profile)

    content = report_content(
        params, results, figures, claims, lemmas, data, tokens, ledger, provenance, families, compared, elsewhere
    )

    write_text(stage.writes(REPORT), render(content))


def drawn_by(profile: str) -> Drawn:
    """Figures of another profile's run, with its receipts; of code that may have changed since, as the claims are."""
    reports = reports_of(profile)
    receipts = read_receipts(reports.receipts)
    return Drawn(reports.figures, Provenance(receipts, {}, receipts["claims"]["params"][MAIN], profile))


if __name__ == "__main__":
    run(main)
