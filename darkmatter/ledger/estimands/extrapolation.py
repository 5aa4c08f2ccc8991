"""The gap below the power law (section 4.3), of SAEs that were trained without end where there are several budgets.

Training is part of what Fig. 1's curve shows: SAEs of more tokens have a lower FVU. Where each width was trained on
several budgets of tokens, what each tends to is extrapolated first, as in `results.ladder`, and judged.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from darkmatter.ledger.estimands.breakdown_trends import asymptote_minus_nonlinear, series
from darkmatter.ledger.estimands.evidence import TOP_RUNG, Evidence, Missing, Point, Variant
from darkmatter.ledger.estimands.quantities import Component, Components, Null, Sampled
from darkmatter.results.ladder import rungs_of
from darkmatter.statistics.bootstrap import each_once
from darkmatter.statistics.rungs import Rungs
from darkmatter.statistics.token_ladder import fit_ladder, ladder_statistic
from darkmatter.statistics.variance_model import Term

GAP = "gap"
ONE_BUDGET = "one budget of tokens: what more training would change is not in the interval"
ONE_RUNG = "the SAEs of the most tokens alone: what more training would change is not in the interval"


def extrapolated_asymptote_minus_nonlinear(evidence: Evidence, variant: Variant) -> Components:
    """With one budget, and on the top rung alone, as `asymptote_minus_nonlinear`.

    Raises:
        Missing: too few widths; or the top rung is asked for, and there is one budget.
    """
    points = series(evidence)
    found = rungs_of(evidence.results, evidence.params, points[0].sae)
    if found is not None and variant.rungs != TOP_RUNG:
        saes, rungs = found
        return {GAP: gap_of_rungs(evidence, [Point(points[0].hookpoint, sae) for sae in saes], rungs, variant)}
    if found is None and variant.rungs == TOP_RUNG:
        raise Missing("one budget of tokens has no top rung")
    alone = asymptote_minus_nonlinear(evidence, variant)[GAP]
    return {GAP: replace(alone, lacks={"tokens": ONE_BUDGET if found is None else ONE_RUNG})}


def gap_of_rungs(evidence: Evidence, points: Sequence[Point], rungs: Rungs, variant: Variant) -> Component:
    """Contexts move every SAE, and both laws are fitted again; seeds and the extrapolation are one term, simulated."""
    if rungs.lacking:
        return Null(rungs.lacking)
    numbers = [[evidence.formula(point, variant, name) for point in points] for name in ("fvu", "fvu_nonlinear")]
    ones = each_once(len(numbers[0][0].view.used))
    y = np.array([[float(formula.statistic(ones)[0]) for formula in own] for own in numbers])
    bootstrap = evidence.params.decomposition.bootstrap
    fit = fit_ladder(rungs, y, bootstrap.level, bootstrap.seed)
    if fit.reason:
        return Null(fit.reason)

    def of_training(level: float) -> Term | str:
        at = fit if level == bootstrap.level else fit_ladder(rungs, y, level, bootstrap.seed)
        return at.noise[GAP]

    return Sampled([*numbers[0], *numbers[1]], ladder_statistic(rungs, fit.weights, GAP), of_training)
