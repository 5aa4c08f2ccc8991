"""results of each hookpoint → the two folders of them that are committed.

In:  data/results/PROFILE/HOOKPOINT/{results.json, sums.npz}
Out: reports/PROFILE/results/decomposition/HOOKPOINT.json   estimates with intervals
     reports/PROFILE/results/sums/HOOKPOINT.npz             per-context sums: what the estimates follow from

    python -m stages.results
"""

import shutil

from darkmatter.runner.stage import Stage, run
from darkmatter.storage.paths import HOOKPOINT_RESULTS
from darkmatter.storage.replacing import replacing_folder


def main(stage: Stage) -> None:
    source = HOOKPOINT_RESULTS / stage.params.profile
    folders = {hookpoint: stage.reads(source / hookpoint) for hookpoint in stage.params.hookpoints}
    for kind, file in (("decomposition", "results.json"), ("sums", "sums.npz")):
        with replacing_folder(stage.writes(stage.reports.results / kind)) as target:
            for hookpoint, folder in folders.items():
                shutil.copyfile(folder / file, target / f"{hookpoint}{(folder / file).suffix}")


if __name__ == "__main__":
    run(main)
