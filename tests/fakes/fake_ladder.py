"""Results and sums of a profile whose SAEs were trained on several budgets, with FVU that follows both laws."""

import dataclasses
from pathlib import Path

import numpy as np
from fake_results import fake_results
from profiles import profile_params

from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS
from darkmatter.results.ladder import LEFT
from darkmatter.results.load import Results
from darkmatter.storage.artifacts import write_arrays

MAIN = "resid_post.14"
CONTEXTS, ROWS = 40, 100


def params() -> Params:
    """The long profile, with few resamples of contexts."""
    whole = profile_params("smollm2-full")
    bootstrap = whole.decomposition.bootstrap.model_copy(update={"resamples": 300})
    return whole.model_copy(update={"decomposition": whole.decomposition.model_copy(update={"bootstrap": bootstrap})})


def laddered(folder: Path, noise: float = 0.003) -> Results:
    """Results whose FVU and FVU_nonlinear at the main hookpoint follow both laws, with the sums behind them."""
    results = fake_results(params())
    random = np.random.default_rng(0)
    x_square = ROWS * (1 + 0.1 * random.standard_normal(CONTEXTS))
    of_context = 1 + 0.05 * random.standard_normal(CONTEXTS)
    sums = {
        name: np.tile(value, (len(ROW_SETS), 1))
        for name, value in (("rows", np.full(CONTEXTS, float(ROWS))), ("square", x_square))
    }
    sums["cross"] = np.zeros((len(ROW_SETS), CONTEXTS, CONTEXTS))
    for sae in results.decomposition[MAIN]["saes"]:
        training = (sae["train_tokens"] / 12.8e6) ** -0.5
        seed = noise * random.standard_normal()
        values = (
            (0.1 + 2.7 * sae["d_sae"] ** -0.5 + 0.02 * training) * (1 + seed),
            (0.09 + 0.004 * training) * (1 + 0.8 * seed),
        )
        for value, key, left in zip(values, ("fvu", "fvu_nonlinear"), LEFT, strict=True):
            per_context = value * x_square * of_context
            sums[f"{sae['name']}/{left}"] = np.tile(per_context, (len(ROW_SETS), 1))
            sae["estimates"]["token"]["paper"][key]["value"] = float(per_context.sum() / x_square.sum())
    write_arrays(folder / f"{MAIN}.npz", sums)
    return dataclasses.replace(results, sums=folder)
