"""Draw every figure.

In:  reports/PROFILE/results/: decomposition/HOOKPOINT.json, EXPERIMENT.json, and sums/HOOKPOINT.npz of the main
     hookpoint, for intervals of what is fitted to many SAEs; params.yaml.
Out: reports/PROFILE/: figures/ (one SVG and one JSON with its numbers per figure), plots/ (rows for DVC's plots),
     metrics.json.
Run: python -m stages.figures
"""

from darkmatter.experiments.registry import drawn
from darkmatter.figures import write_figures
from darkmatter.results.headline import headline_metrics
from darkmatter.results.load import load_results
from darkmatter.results.plot_rows import plot_rows
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import write_json
from darkmatter.storage.replacing import replacing_folder


def main(stage: Stage) -> None:
    for hookpoint in stage.params.hookpoints:
        stage.reads(stage.reports.decomposition / f"{hookpoint}.json")
    stage.reads(stage.reports.sums / f"{stage.params.figures.main_hookpoint}.npz")
    experiments = drawn()
    for name in experiments:
        stage.reads(stage.reports.results / f"{name}.json")
    results = load_results(stage.reports.results, stage.params.hookpoints, experiments)

    metrics = headline_metrics(results, stage.params)

    with replacing_folder(stage.writes(stage.reports.figures)) as folder:
        write_figures(results, stage.params, folder)
    for name, rows in plot_rows(results, stage.params).items():
        write_json(stage.writes(stage.reports.plots / f"{name}.json"), rows)
    write_json(stage.writes(stage.reports.metrics), metrics)


if __name__ == "__main__":
    run(main)
