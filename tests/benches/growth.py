"""How time grows: exponents of a power law through the sizes, by least squares of logarithms.

The regressions of bench_regression with the activations and Sae(x) mapped from files, as a stage has them; each size in
a process of its own. Seconds by width are those of the training steps of bench_training. Memory is not here: beyond
what a first pass leaves allocated, these regressions took less than 0.1 GB at every size, which has no law.

    python -m tests.benches.growth FOLDER SAES      # one size, as `make bench` starts it
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from darkmatter.decomposition.samples import SaeSample
from darkmatter.regression.splits import draw_splits
from darkmatter.runner.processes import single_thread
from tests.benches.bench_regression import (
    FIT_SHARE,
    HOOKPOINT,
    Kept,
    made_up_hookpoint,
    one_sae,
    real_hookpoint,
    share,
)
from tests.benches.bench_training import GROUP as TRAINING
from tests.benches.interleaved import shortest, timed

CONTEXTS, D_MODELS, SAES = (12, 25, 50, 100), (288, 576, 1152), (1, 2, 4)
FEW = 12  # contexts, where something else grows
TIMES = 3
MOST = 1.1  # the exponent in rows

Size = dict[str, Any]


def run_size(folder: Path, saes: int) -> Size:
    """Seconds of the regressions of one hookpoint, the least of some."""
    single_thread()
    x, rebuilt = (np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("x", "sae"))  # `r` warns in torch
    splits = draw_splits(*x.shape[:2], FIT_SHARE, 2, 0)
    splits = replace(splits, fold=np.zeros_like(splits.fold))
    kept = Kept(torch.from_numpy(rebuilt))

    def regressions() -> None:
        prepared = share(x, splits)
        for _ in range(saes):
            one_sae(SaeSample(x, kept, splits, prepared))

    regressions()  # libraries load what they need
    return {"seconds": shortest(regressions, TIMES, timed)}


def measured(x: np.ndarray, sae: np.ndarray, saes: int = 1) -> Size:
    """The same in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        np.save(Path(folder) / "sae.npy", sae)
        command = [sys.executable, "-m", "tests.benches.growth", folder, str(saes)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def exponent(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """The slope of log(amount) over log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(amounts), 1)[0])


def line(
    grows: str, what: str, sizes: Sequence[float], amounts: Sequence[float], unit: str, goal: float | None
) -> Size:
    found = exponent(sizes, amounts)
    return {
        "what": what,
        "grows": grows,
        "sizes": list(sizes),
        "amounts": list(amounts),
        "unit": unit,
        "exponent": found,
        "goal": goal,
        "reached": goal is None or found <= goal,
    }


def growth(data: Path, rows: Sequence[dict[str, Any]]) -> list[Size]:
    """Each exponent.

    Args:
        data: with activations, codes and SAEs of the default profile.
        rows: of the ratios that were measured before, for the training steps.
    """
    x, (sae,) = real_hookpoint(data, max(CONTEXTS), 1)
    positions = x.shape[1]
    runs = [measured(x[:count], sae[:count].numpy()) for count in CONTEXTS]
    counts = [count * positions for count in CONTEXTS]
    what = f"regressions of one SAE at {HOOKPOINT}"
    seconds = lambda runs: [run["seconds"] for run in runs]  # noqa: E731
    result = [line("rows", what, counts, seconds(runs), "s", MOST)]
    runs = [measured(x[:FEW], sae[:FEW].numpy(), count) for count in SAES]
    result.append(line("SAEs", what, SAES, seconds(runs), "s", None))
    runs = []
    for d_model in D_MODELS:
        made_up, (rebuilt,) = made_up_hookpoint(FEW, positions, d_model, 1)
        runs.append(measured(made_up, rebuilt.numpy()))
    result.append(line("d_model", "regressions of one SAE, made up", D_MODELS, seconds(runs), "s", None))
    steps = [row for row in rows if row["group"] == TRAINING and row["rival"].startswith("sae-lens")]
    widths = [int(row["name"].split()[0].replace(",", "")) for row in steps]
    result.append(line("d_sae", "a step of training", widths, [row["ours"] for row in steps], "s", None))
    return result


if __name__ == "__main__":
    print(json.dumps(run_size(Path(sys.argv[1]), int(sys.argv[2]))))
