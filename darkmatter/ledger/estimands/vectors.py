"""Estimands on the R² of the error vector (section 4.2)."""

from darkmatter.ledger.estimands.evidence import Evidence, Variant
from darkmatter.ledger.estimands.quantities import Components, Keyed, Sampled, single
from darkmatter.ledger.estimands.trends import trend


def vector_r2_of_every_sae(evidence: Evidence, variant: Variant) -> Components:
    """The SAEs of the maps, as in the claim's scope."""
    grids = evidence.all_grids()
    return {"r2": [Keyed({"sae": point.path}, single(evidence.vector_r2(point, variant))) for point in grids]}


def norm_r2_minus_vector_r2(evidence: Evidence, variant: Variant) -> Components:
    """Both of one SAE on the same contexts."""
    results = []
    for point in evidence.all_grids():
        both = [evidence.formula(point, variant, "norm_r2"), evidence.vector_r2(point, variant)]
        lead = Sampled(both, lambda numbers: numbers[0] - numbers[1])
        results.append(Keyed({"sae": point.path}, lead))
    return {"lead": results}


def vector_r2_slopes(evidence: Evidence, variant: Variant) -> Components:
    points = evidence.all_grids()
    formulas = [evidence.vector_r2(point, variant) for point in points]
    return {"l0": trend(points, formulas, "l0"), "width": trend(points, formulas, "width")}


def opposite_l0_slopes(evidence: Evidence, variant: Variant) -> Components:
    points = evidence.main_grid()
    return {
        "norm": trend(points, [evidence.formula(point, variant, "norm_r2") for point in points], "l0"),
        "vector": trend(points, [evidence.vector_r2(point, variant) for point in points], "l0"),
    }
