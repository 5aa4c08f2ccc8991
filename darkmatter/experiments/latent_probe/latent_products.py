"""How far E(wg)/E(w) of each latent would move with other contexts: a term beside that of the latents. No torch.

Groups of contexts are left out one at a time (a jackknife). The probe stays the one fitted: its own share of the noise
is small beside that of the products, which hold the squares of what single contexts are about.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.statistics.variance_model import Term, combined, of_interval

PerLatent = Float[np.ndarray, " latent"]


def with_contexts(result: dict[str, Estimate], probe: PerLatent, table: Sums, level: float) -> dict[str, Estimate]:
    """`ratio` and `rank` with intervals that hold latents and contexts together.

    Args:
        result: both, with intervals over latents at `level`.
        probe: a*·y of the same latents.
        table: `group_sum` and `group_product` [group, latent].
    """
    sums, products = (table[f"group_{name}"] for name in ("sum", "product"))
    left_out = [without(group, sums, products) for group in range(len(sums))]
    statistics = {"ratio": median_ratio, "rank": rank_of}
    return {
        kind: estimate
        if estimate["value"] is None
        else estimate | together(estimate, [statistics[kind](probe, average) for average in left_out], level)
        for kind, estimate in result.items()
    }


def without(
    group: int, sums: Float[np.ndarray, "group latent"], products: Float[np.ndarray, "group latent"]
) -> PerLatent:
    """E(wg)/E(w) without one group of contexts; of a latent that fired in no other, with it."""
    total, product = sums.sum(0), products.sum(0)
    others = total - sums[group]
    fired = others > 1e-9 * total
    return np.where(fired, product - products[group], product) / np.where(fired, others, total)


def median_ratio(one: PerLatent, other: PerLatent) -> float:
    return float(np.median(one / other))


def rank_of(one: PerLatent, other: PerLatent) -> float:
    """Spearman's correlation."""
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def together(estimate: Estimate, left_out: list[float], level: float) -> Estimate:
    """The interval that holds the latents' term and that of the jackknife."""
    groups = len(left_out)
    deviation = float(np.sqrt((groups - 1) / groups * np.square(np.array(left_out) - np.mean(left_out)).sum()))
    ends = estimate["low"], estimate["high"]
    latents = of_interval("latent", estimate["value"], ends, estimate["latents"], level)
    return combined(estimate["value"], [latents, Term("context", deviation, deviation, groups - 1)], level)
