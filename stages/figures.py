"""Draw every figure.

In:  reports/results/decomposition/HOOKPOINT.json, reports/results/EXPERIMENT.json, params.yaml;
     reports/results/sums/HOOKPOINT.npz of the main hookpoint, for intervals of what is fitted to many SAEs.
Out: reports/figures/ (one SVG and one JSON with its numbers per figure), reports/plots/ (rows for DVC's plots),
     reports/metrics.json.
Run: python -m stages.figures
"""

from darkmatter.experiments.registry import drawn
from darkmatter.figures import write_figures
from darkmatter.results.headline import headline_metrics
from darkmatter.results.load import load_results
from darkmatter.results.plot_rows import PLOTS, plot_rows
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import replacing_folder, write_json
from darkmatter.storage.paths import FIGURES, METRICS, RESULTS


def main(stage: Stage) -> None:
    for hookpoint in stage.params.hookpoints:
        stage.reads(RESULTS / "decomposition" / f"{hookpoint}.json")
    stage.reads(RESULTS / "sums" / f"{stage.params.figures.main_hookpoint}.npz")
    experiments = drawn()
    for name in experiments:
        stage.reads(RESULTS / f"{name}.json")
    results = load_results(RESULTS, stage.params.hookpoints, experiments)

    metrics = headline_metrics(results, stage.params)

    with replacing_folder(stage.writes(FIGURES)) as folder:
        write_figures(results, stage.params, folder)
    for name, rows in plot_rows(results, stage.params).items():
        write_json(stage.writes(PLOTS / f"{name}.json"), rows)
    write_json(stage.writes(METRICS), metrics)


if __name__ == "__main__":
    run(main)
