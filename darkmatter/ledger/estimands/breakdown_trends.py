"""Estimands on FVU and FVU_nonlinear (section 4.3, appendix A.2): slopes, and the gap below the power law."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import norm as normal_distribution

from darkmatter.ledger.estimands.evidence import Evidence, Missing, Point, Variant
from darkmatter.ledger.estimands.quantities import Components, Formula, Keyed, Quantity, Sampled
from darkmatter.ledger.estimands.trends import Axis, trend
from darkmatter.results.breakdown import horizontal_line, width_series
from darkmatter.results.load import NotDrawn
from darkmatter.statistics.asymptotes import fit_of_asymptotes
from darkmatter.statistics.bootstrap import Weights, each_once
from darkmatter.statistics.power_law import PARAMETERS, PowerLaw, fit_power_law
from darkmatter.statistics.seed_noise import less
from darkmatter.statistics.variance_model import Term


def log_slope(evidence: Evidence, points: Sequence[Point], variant: Variant, axis: Axis) -> Quantity:
    formulas = [evidence.formula(point, variant, "fvu_nonlinear") for point in points]
    return trend(points, formulas, axis, logarithm=True)


def fvu_nonlinear_width_slope(evidence: Evidence, variant: Variant) -> Components:
    return {"slope": log_slope(evidence, evidence.main_grid(), variant, "width")}


def fvu_nonlinear_l0_slope(evidence: Evidence, variant: Variant) -> Components:
    return {"slope": log_slope(evidence, evidence.main_grid(), variant, "l0")}


def fvu_nonlinear_width_slope_elsewhere(evidence: Evidence, variant: Variant) -> Components:
    grids = evidence.appendix_grids().items()
    return {"slope": [Keyed({"layer": name}, log_slope(evidence, points, variant, "width")) for name, points in grids]}


def fvu_nonlinear_width_slope_of_layers(evidence: Evidence, variant: Variant) -> Components:
    """`slope`: one for all appendix layers, each with its own offsets; beside it that of each layer."""
    grids = evidence.appendix_grids()
    together = [point for points in grids.values() for point in points]
    apart = fvu_nonlinear_width_slope_elsewhere(evidence, variant)["slope"]
    return {"slope": log_slope(evidence, together, variant, "width"), "layer": apart}


def breakdown_slopes(evidence: Evidence, variant: Variant) -> Components:
    """Slopes per doubling of width of the logarithms of Fig. 1's two measured parts, over the SAEs of that figure."""
    points = series(evidence)
    linear = [linear_part(evidence, point, variant) for point in points]
    return {
        "linear": trend(points, linear, "width", logarithm=True),
        "nonlinear": log_slope(evidence, points, variant, "width"),
    }


def linear_part(evidence: Evidence, point: Point, variant: Variant) -> Formula:
    """FVU − FVU_nonlinear: the linear error and the features that are absent."""
    fvu, nonlinear = (evidence.formula(point, variant, name) for name in ("fvu", "fvu_nonlinear"))

    def statistic(weights: Weights) -> np.ndarray:
        return fvu.statistic(weights) - nonlinear.statistic(weights)

    return Formula(nonlinear.view, statistic, nonlinear.rank, point.path, less(fvu.seeds, nonlinear.seeds))


def series(evidence: Evidence) -> list[Point]:
    """The SAEs of Fig. 1, from narrow to wide.

    Raises:
        Missing: the profile has none.
    """
    chosen = evidence.params.figures
    try:
        saes, _ = width_series(evidence.results, chosen.main_hookpoint, chosen.widths_group)
    except NotDrawn as missing:
        raise Missing(str(missing)) from None
    return [Point(chosen.main_hookpoint, sae) for sae in saes]


def asymptote_minus_nonlinear(evidence: Evidence, variant: Variant) -> Components:
    """Over contexts the law is fitted again to each resample. The scatter of SAEs is that around the law, by the
    profile interval of its asymptote, and that around the mean of FVU_nonlinear."""
    chosen, points = evidence.params.figures, series(evidence)
    widths = np.array([point.sae["d_sae"] for point in points], dtype=float)
    if len(widths) < PARAMETERS:
        raise Missing(f"{len(widths)} widths cannot fix the {PARAMETERS} parameters of the power law")
    names = ("fvu", "fvu_nonlinear")
    fvu, nonlinear = ([evidence.formula(point, variant, name) for point in points] for name in names)

    def gap(numbers: Float[np.ndarray, "part resample"]) -> np.ndarray:
        law = fit_of_asymptotes(widths, numbers[: len(widths)].T)
        return law.asymptote - numbers[len(widths) :].mean(0)

    def over_saes(level: float) -> Term | str:
        ones = each_once(len(fvu[0].view.used))
        y, flat = ([float(formula.statistic(ones)[0]) for formula in series] for series in (fvu, nonlinear))
        law = fit_power_law(widths, np.array(y), chosen.power_law_starts, chosen.seed, level)
        return scatter_of_gap(law, flat, level)

    return {"gap": Sampled([*fvu, *nonlinear], gap, over_saes)}


def scatter_of_gap(law: PowerLaw, flat: Sequence[float], level: float) -> Term | str:
    """The term of a fit's asymptote minus the mean of `flat`: half-widths are squared and added, each with its own t.

    A fit to five widths leaves two degrees of freedom, with which Satterthwaite's interval would cover too little. So
    the term holds the whole half-width at this level, as if it were known: that errs to the wide side.
    """
    line = horizontal_line(list(flat), level)
    if law.low is None or line.low is None:
        return f"no interval over SAEs: {law.reason or 'one width only'}"
    normal = float(normal_distribution.ppf(0.5 + level / 2))
    below = math.hypot(law.asymptote - law.low, line.high - line.value) / normal
    above = math.hypot(law.high - law.asymptote, line.value - line.low) / normal
    return Term("sae", below, above, math.inf)
