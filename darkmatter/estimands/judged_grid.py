"""The SAEs on which a trend of the error norm with L0 is judged: no denser than any that the paper has.

Section 4.1 exempts "extremely dense SAEs" from that trend and gives no number. The densest SAE of the maps gives one:
the share of active latents to dimensions, L0 / d_model, beyond which the paper says nothing. The maps of this
repository show every SAE.
"""

from darkmatter.estimands.evidence import Evidence, Missing, Point, Variant
from darkmatter.estimands.quantities import Components
from darkmatter.estimands.trends import trend

OF_MAPS = frozenset({"fig2", "figA"})  # roles in the lists of conf/manifests


def densest_of_paper(evidence: Evidence) -> float:
    """Largest L0 / d_model of the published SAEs in the paper's maps.

    Raises:
        Missing: a list of published SAEs is not here.
    """
    if evidence.manifests is None:
        raise Missing("the lists of published SAEs in conf/manifests are not here: `git checkout conf/manifests`")
    saes = [sae for manifest in evidence.manifests.values() for sae in manifest["saes"]]
    return max(sae["nominal_l0"] / sae["d_model"] for sae in saes if OF_MAPS & set(sae["roles"]))


def no_denser(evidence: Evidence, points: list[Point]) -> list[Point]:
    """Those of the SAEs that are as sparse as the paper's.

    Raises:
        Missing: there is none.
    """
    bound = densest_of_paper(evidence)
    width = {name: run["d_model"] for name, run in evidence.results.decomposition.items()}
    kept = [point for point in points if (point.sae["k"] or point.sae["l0"]) / width[point.hookpoint] <= bound]
    if not kept:
        raise Missing(f"every SAE is denser than the paper's densest (L0 / d_model above {bound:.3f})")
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
