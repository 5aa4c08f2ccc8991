"""Which sums each number of an SAE is made of: the maps and rows of each split and convention."""

import numpy as np
import pytest

from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics.sae_estimates import HookpointSums, scalar_estimates

CONTEXTS, ROWS = 8, 10.0


class Columns(dict):
    """Sums of every column that is asked for, of rows that all have one value, which no other column has."""

    def __missing__(self, name: str) -> np.ndarray:
        self[name] = np.full((len(ROW_SETS), CONTEXTS), ROWS * (len(self) + 1))
        return self[name]

    def value(self, name: str) -> float:
        return float(self[name][0, 0] / ROWS)


@pytest.mark.parametrize("split", SPLITS)
def test_the_linear_part_is_of_the_map_of_its_split_and_in_the_published_codes_way_of_all_rows(split):
    shape = (len(ROW_SETS), CONTEXTS)
    settings = {"resamples": 20, "level": 0.95, "seed": 0}
    products = np.zeros((*shape, CONTEXTS))
    hookpoint = HookpointSums(np.full(shape, ROWS), np.ones(shape), products, dict.fromkeys(SPLITS, 3), settings)
    sums = Columns()
    for convention, source in {"paper": split, "authors": "all"}.items():
        numbers = scalar_estimates(hookpoint, sums, split, convention)
        names = {"cos_linear_x": "cosine", "linear_norm_sq": "linear", "nonlinear_norm_sq": "nonlinear"}
        for name, column in names.items():
            assert numbers[name]["value"] == pytest.approx(sums.value(f"sum/{column}/{source}"))
