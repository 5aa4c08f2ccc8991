"""The SAEs on which a trend of the error norm with L0 is judged: no denser than any that the paper has.

Section 4.1 exempts "extremely dense SAEs" from that trend and gives no number. The densest SAE of the maps gives one:
the share of active latents to dimensions beyond which the paper says nothing. The maps of this repository show every
SAE.
"""

from darkmatter.ledger.estimands.evidence import Evidence, Missing, Point, Variant
from darkmatter.ledger.estimands.quantities import Components
from darkmatter.ledger.estimands.trends import trend
from darkmatter.results.density import DENSEST, of_sae


def no_denser(evidence: Evidence, points: list[Point]) -> list[Point]:
    """Those of the SAEs that are as sparse as the paper's.

    Raises:
        Missing: there is none.
    """
    width = {name: run["d_model"] for name, run in evidence.results.decomposition.items()}
    kept = [point for point in points if of_sae(point.sae, width[point.hookpoint]).share <= DENSEST.share]
    if not kept:
        raise Missing(f"every SAE is denser than the paper's densest, which has L0 = {DENSEST}")
    return kept


def norm_r2_slopes_of_sparse(evidence: Evidence, variant: Variant) -> Components:
    points = no_denser(evidence, evidence.all_grids())
    formulas = [evidence.formula(point, variant, "norm_r2") for point in points]
    return {"l0": trend(points, formulas, "l0"), "width": trend(points, formulas, "width")}


def opposite_l0_slopes_of_sparse(evidence: Evidence, variant: Variant) -> Components:
    """Both on the same SAEs, since the claim sets one slope against the other."""
    points = no_denser(evidence, evidence.main_grid())
    return {
        "norm": trend(points, [evidence.formula(point, variant, "norm_r2") for point in points], "l0"),
        "vector": trend(points, [evidence.vector_r2(point, variant) for point in points], "l0"),
    }
