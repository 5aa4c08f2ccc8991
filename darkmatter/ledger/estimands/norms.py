"""Estimands on the norm of the error and the norm test (sections 4.1, 5.1, appendix A.1)."""

from collections.abc import Sequence

import numpy as np

from darkmatter.ledger.estimands.evidence import Evidence, Missing, Point, Variant
from darkmatter.ledger.estimands.quantities import Components, Formula, Keyed, Sampled, single
from darkmatter.ledger.estimands.trends import trend

ENOUGH = 3  # layers: the fewest that have a median of their own


def norm_r2_of_every_sae(evidence: Evidence, variant: Variant) -> Components:
    points = evidence.residual_saes()
    return {"r2": [Keyed({"sae": one.path}, single(evidence.formula(one, variant, "norm_r2"))) for one in points]}


def norm_r2_slopes(evidence: Evidence, variant: Variant) -> Components:
    points = evidence.all_grids()
    formulas = [evidence.formula(point, variant, "norm_r2") for point in points]
    return {"l0": trend(points, formulas, "l0"), "width": trend(points, formulas, "width")}


def norm_r2_over_layers(evidence: Evidence, variant: Variant) -> Components:
    """Depth is the layer over the last one of the model; the middle third of it includes both of its ends."""
    points = layer_sweep(evidence)
    middle = in_middle(evidence, points)
    if len(points) < 3 or not middle[1:-1].any():
        raise Missing("the layer sweep has no SAE in the middle third of depth, between its first and its last layer")
    formulas = [evidence.formula(point, variant, "norm_r2") for point in points]

    def level(numbers: np.ndarray) -> np.ndarray:
        return np.median(numbers[middle], axis=0)

    return {
        "rise": Sampled(formulas, lambda numbers: level(numbers) - numbers[0]),
        "fall": Sampled(formulas, lambda numbers: level(numbers) - numbers[-1]),
        "middle": Sampled(formulas, level),
    }


def norm_r2_over_enough_layers(evidence: Evidence, variant: Variant) -> Components:
    """As `norm_r2_over_layers`, of a middle third whose median is not the number of one layer or two.

    Raises:
        Missing: it has fewer than three layers.
    """
    inside = int(in_middle(evidence, layer_sweep(evidence)).sum())
    if inside < ENOUGH:
        raise Missing(f"the middle third of depth has {inside} of the sweep's layers; a level needs {ENOUGH}")
    return norm_r2_over_layers(evidence, variant)


def in_middle(evidence: Evidence, points: Sequence[Point]) -> np.ndarray:
    """Which layers lie in the middle third of depth, both of its ends included."""
    depth = np.array([point.layer for point in points]) / max(evidence.layers - 1, 1)
    return (depth >= 1 / 3) & (depth <= 2 / 3)


def layer_sweep(evidence: Evidence) -> list[Point]:
    """One SAE per layer of the residual stream, of the width, L0 and seed that most layers have."""
    groups = evidence.params.figures.layers_groups
    points = [point for point in evidence.residual_saes() if point.sae["group"] in groups]
    if not points:
        raise Missing(f"no SAE of group {', '.join(groups)} at any layer")
    kinds = [(point.sae["d_sae"], point.sae["k"], point.sae["seed"]) for point in points]
    common = max(kinds, key=kinds.count)
    return [point for point, kind in zip(points, kinds, strict=True) if kind == common]


def mean_over_saes(evidence: Evidence, points: Sequence[Point], variant: Variant, *path: str) -> list[Formula]:
    return [evidence.formula(point, variant, *path) for point in points]


def norm_shrinkage(evidence: Evidence, variant: Variant) -> Components:
    formulas = mean_over_saes(evidence, evidence.main_grid(), variant, "norm_ratio")
    return {"shrinkage": Sampled(formulas, lambda numbers: 1 - numbers.mean(0))}


def linear_error_cosine(evidence: Evidence, variant: Variant) -> Components:
    formulas = mean_over_saes(evidence, evidence.main_grid(), variant, "cos_linear_x")
    return {"cosine": Sampled(formulas, lambda numbers: numbers.mean(0))}


def norm_test_order(evidence: Evidence, variant: Variant) -> Components:
    """Beside the judged components the cross-fitted difference, whose map has not seen the scored rows."""
    points = evidence.residual_saes()
    parts = {
        name: mean_over_saes(evidence, points, variant, "norm_test", name)
        for name in ("x", "linear", "nonlinear", "error")
    }

    def lead(other: str) -> Sampled:
        return difference_of_means(parts["linear"], parts[other])

    components: Components = {
        "x": Sampled(parts["x"], lambda numbers: numbers.mean(0)),
        "linear_minus_nonlinear": lead("nonlinear"),
        "linear_minus_error": lead("error"),
    }
    if variant.convention == "paper":
        linear, nonlinear = (
            mean_over_saes(evidence, points, variant, "norm_test_cross_fit", name) for name in ("linear", "nonlinear")
        )
        components["linear_minus_nonlinear_cross_fit"] = difference_of_means(linear, nonlinear)
    return components


def difference_of_means(one: Sequence[Formula], other: Sequence[Formula]) -> Sampled:
    count = len(one)
    return Sampled([*one, *other], lambda numbers: numbers[:count].mean(0) - numbers[count:].mean(0))
