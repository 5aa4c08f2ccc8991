"""What the controls know without a regression: exact R² of the norm test, and where the scaling law's starts end."""

from typing import Any

import numpy as np
from sympy import Rational

from darkmatter.params.schema import Params
from darkmatter.results.breakdown import width_series
from darkmatter.results.load import Results, estimate
from darkmatter.statistics.power_law import PARAMETERS, endings
from darkmatter.theory.lemmas import bernoulli_correlation, norm_test_r2, poisson, sparse_exponential


def feature_r2(probability: float) -> dict[str, float]:
    """R² of the norm test in the population, for orthogonal features of these weights (appendix C.1)."""
    p = Rational(str(probability))
    return {
        "bernoulli": float(bernoulli_correlation() ** 2),
        "poisson": float(norm_test_r2(poisson(p))),
        "exponential": float(norm_test_r2(sparse_exponential(p))),
    }


def scaling_points(decomposition: dict[str, Any], params: Params) -> dict[str, np.ndarray]:
    """`width` and `fvu`, both [point], of the widths that have an FVU.

    Args:
        decomposition: results of the main hookpoint.
    """
    hookpoint = params.figures.main_hookpoint
    saes, _ = width_series(Results({hookpoint: decomposition}, {}), hookpoint, params.figures.widths_group)
    points = {sae["d_sae"]: estimate(sae, "fvu")["value"] for sae in saes}
    points = {width: fvu for width, fvu in points.items() if fvu is not None}
    return {"width": np.array(list(points)), "fvu": np.array(list(points.values()))}


def scaling_starts(width: np.ndarray, fvu: np.ndarray, params: Params) -> dict[str, Any]:
    """Where the random starts of Fig. 1's power law end: one optimum is expected, and no flat curve.

    Args:
        width, fvu: as `scaling_points`.
    """
    starts = params.figures.power_law_starts
    if len(width) < PARAMETERS or np.ptp(fvu) == 0:
        reason = f"{len(width)} widths of {params.figures.widths_group} have an FVU: no power law to fit"
        return {"starts": starts, "agreeing": None, "flat": None, "endings": [], "holds": None, "reason": reason}
    result = endings(width, fvu, starts, params.figures.seed)
    return {
        "starts": starts,
        "agreeing": result[0].starts,
        "flat": sum(ending.starts for ending in result if ending.flat),
        "endings": [vars(ending) for ending in result],
        "holds": result[0].starts == starts and not result[0].flat,
        "reason": None,
    }
