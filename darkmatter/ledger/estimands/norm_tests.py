"""Estimands on the norm test of the parts (section 5.1), hookpoint by hookpoint.

‖x‖² has one score at a hookpoint, whatever SAEs it has. The scores of an SAE's parts are averaged over the SAEs of the
hookpoint, so that a layer with a grid of SAEs does not outweigh one with a single SAE.
"""

from collections.abc import Sequence
from itertools import groupby

from darkmatter.ledger.estimands.evidence import Evidence, Point, Variant
from darkmatter.ledger.estimands.norms import difference_of_means, mean_over_saes
from darkmatter.ledger.estimands.quantities import Components, Formula, Keyed, Sampled, single

NO_SAE = "no SAE is in the number"


def norm_test_of_x(evidence: Evidence, variant: Variant) -> Components:
    def score(point: Point) -> Sampled:
        return single(Formula.of(evidence.number(point, variant, "norm_test", "x"), NO_SAE))

    return {"x": [Keyed({"layer": name}, score(points[0])) for name, points in by_hookpoint(evidence)]}


def norm_test_leads(evidence: Evidence, variant: Variant) -> Components:
    """Beside the judged components the cross-fitted difference, whose map has not seen the scored rows."""

    def lead(points: Sequence[Point], test: str, other: str) -> Sampled:
        linear, rest = (mean_over_saes(evidence, points, variant, test, part) for part in ("linear", other))
        return difference_of_means(linear, rest)

    asked = [("norm_test", "nonlinear", ""), ("norm_test", "error", "")]
    if variant.convention == "paper":
        asked.append(("norm_test_cross_fit", "nonlinear", "_cross_fit"))
    return {
        f"linear_minus_{other}{suffix}": [
            Keyed({"layer": hookpoint}, lead(points, test, other)) for hookpoint, points in by_hookpoint(evidence)
        ]
        for test, other, suffix in asked
    }


def by_hookpoint(evidence: Evidence) -> list[tuple[str, list[Point]]]:
    """Hookpoints of the residual stream from the first layer to the last, with their SAEs."""
    groups = groupby(evidence.residual_saes(), key=lambda point: point.hookpoint)
    return [(hookpoint, list(points)) for hookpoint, points in groups]
