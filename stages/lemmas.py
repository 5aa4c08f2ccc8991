"""Re-derive appendix C.1 with computer algebra and check each result with a Monte Carlo.

In: nothing but parameters.
Out: reports/PROFILE/results/lemmas.json: per lemma its statement, what the paper prints, the exact value, the estimate.
Command: python -m stages.lemmas
"""

from darkmatter.experiments.lemmas.results import results_of
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import write_json


def main(stage: Stage) -> None:
    write_json(stage.writes(stage.reports.results / "lemmas.json"), results_of(stage.params))


if __name__ == "__main__":
    run(main)
