"""From the latents' table to numbers with intervals over latents (appendix C.2): no torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.experiments.latent_probe.latent_products import median_ratio, rank_of, with_contexts
from darkmatter.experiments.latent_probe.latent_ranks import Ranks, Weights, rank_correlation, resample, weighted_median
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import joint, with_ends
from darkmatter.statistics.r2_estimates import r2_estimates
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.statistics.seed_noise import of_one

PerLatent = Float[np.ndarray, " latent"]
# Figure 14 and the published code show E(w | active); B.1 weights by E(w), C.1 by E(w²)/E(w), which E(wg)/E(w) is for
# latents that are not orthogonal.
AVERAGES = ("active", "mean", "second", "product")
SHOWN = 1000  # latents of the figure, spread evenly over the order of their mean activation
FEWEST = 3  # latents; with fewer a rank correlation says nothing
PRODUCTS = "probe_against_products"
JUDGED = {"probe_against_latents": "active", PRODUCTS: "product"}  # estimand → average


def compared_latents(latents: Sums, min_firings: int) -> np.ndarray:
    """Numbers of the latents that fired often enough."""
    return np.flatnonzero((latents["firings"] >= max(min_firings, 1)) & (latents["sum"] > 0))


def only(latents: Sums, kept: np.ndarray) -> dict[str, np.ndarray]:
    """The table of these latents."""
    return {name: values[..., kept] for name, values in latents.items()}


def averages(latents: Sums, rows: int) -> dict[str, PerLatent]:
    """E(w | active), E(w), E(w²)/E(w) and E(wg)/E(w) of latents that fired."""
    total = latents["sum"]
    result = {"active": total / latents["firings"], "mean": total / rows, "second": latents["square"] / total}
    return result | {"product": latents["group_product"].sum(0) / latents["group_sum"].sum(0)}


def smoothed(values: PerLatent, window: int) -> PerLatent:
    """Centred moving mean over `window` neighbours; at the ends over those there are."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    start = np.arange(len(values)) - window // 2
    low, high = np.clip(start, 0, None), np.clip(start + window, None, len(values))
    return (total[high] - total[low]) / (high - low)


def compare(
    probes: dict[str, PerLatent],
    weights: dict[str, PerLatent],
    rows: int,
    contexts: int,
    bootstraps: Sequence[dict[str, Any]],
) -> list[dict[str, dict[str, dict[str, Estimate]]]]:
    """probe → average → `ratio`, the median of a*·y over the average, and `rank`, their Spearman correlation.

    Args:
        probes: a*·y of the latents compared, one array for each fit of a*.
        weights: averages of the same latents' activation.
        bootstraps: `resamples`, `level` and `seed`, one for each item returned; latents are resampled.
    """
    count = len(weights["active"])
    if count < FEWEST:
        null = {"value": None, "low": None, "high": None, "latents": count, "rows": rows, "contexts": contexts}
        null["reason"] = f"{count} latents fired often enough, {FEWEST} are needed"
        nulls = {probe: {average: {"ratio": null, "rank": null} for average in weights} for probe in probes}
        return [nulls for _ in bootstraps]
    of_probes, of_averages = ({name: Ranks(values) for name, values in part.items()} for part in (probes, weights))
    medians = {
        (probe, average): weighted_median(probes[probe] / weights[average]) for probe in probes for average in weights
    }

    def statistics(drawn: Weights) -> dict[str, np.ndarray]:
        ranked = [{name: own.of(drawn) for name, own in part.items()} for part in (of_probes, of_averages)]
        result = {f"ratio/{probe}/{average}": median(drawn) for (probe, average), median in medians.items()}
        ranks = rank_correlation(drawn, *ranked)
        return result | {f"rank/{probe}/{average}": values for (probe, average), values in ranks.items()}

    draws = {(own["resamples"], own["seed"]) for own in bootstraps}  # levels share theirs
    drawn = {draw: resample(statistics, count, *draw) for draw in draws}

    def estimate(key: str, bootstrap: dict[str, Any]) -> Estimate:
        interval = drawn[bootstrap["resamples"], bootstrap["seed"]][key].interval(bootstrap["level"])
        facts = {"latents": count, "rows": rows, "contexts": contexts}
        if interval is None:
            return {"value": None, "low": None, "high": None, **facts, "reason": "all latents have one value"}
        return {"value": interval.value, "low": interval.low, "high": interval.high, **facts}

    return [
        {
            probe: {
                average: {kind: estimate(f"{kind}/{probe}/{average}", own) for kind in ("ratio", "rank")}
                for average in weights
            }
            for probe in probes
        }
        for own in bootstraps
    ]


def latent_results(
    latents: Sums,
    probe_sums: Sums,
    rank: dict[str, int],
    min_firings: int,
    windows: dict[str, int],
    bootstrap: dict[str, Any],
    alike: Sequence[Sequence[Sums]] = (),
) -> dict[str, Any]:
    """The results file but for the SAE's name.

    Args:
        latents: table of `compute.LATENTS`.
        probe_sums: sums of the norm probe.
        min_firings: latents that fired less often are counted and left out.
        windows: convention → latents over which the curve is smoothed.
        alike: tables of SAEs that differ in their training seed alone, in groups, of the same rows.
    """
    rows, contexts = int(probe_sums["rows"][-1].sum()), probe_sums["rows"].shape[1]
    firings, kept = latents["firings"], compared_latents(latents, min_firings)
    table = only(latents, kept)
    weights = averages(table, rows)
    probes = {name: values for name, values in table.items() if name.startswith("probe/")}
    together = joint(bootstrap, 2)  # ratio and rank are judged together
    own = bootstrap | {"resamples": together["resamples"]}
    compared, *judged = compare(probes, weights, rows, contexts, [bootstrap, own, together])
    levels = own["level"], together["level"]

    def judged_by(probe: str) -> dict[str, dict[str, Estimate]]:
        result = {name: [at[probe][average] for at in judged] for name, average in JUDGED.items()}
        result[PRODUCTS] = [
            with_contexts(numbers, probes[probe], table, level)
            for numbers, level in zip(result[PRODUCTS], levels, strict=True)
        ]
        ends = {name: with_ends(*both, *levels) for name, both in result.items()}
        return {name: with_seeds(estimates, probe, JUDGED[name]) for name, estimates in ends.items()}

    def with_seeds(estimates: dict[str, Estimate], probe: str, average: str) -> dict[str, Estimate]:
        found = [[ratio_and_rank(table, rows, min_firings, probe, average) for table in group] for group in alike]
        return {
            kind: one | of_one(one["value"], [[numbers[kind] for numbers in group] for group in found])
            for kind, one in estimates.items()
        }

    estimands = {split: {way: judged_by(f"probe/{split}/{way}") for way in CONVENTIONS} for split in SPLITS}
    split, convention = PRIMARY
    of_primary_split = {way: table[f"probe/{split}/{way}"] for way in CONVENTIONS}
    return {
        "rows": rows,
        "contexts": contexts,
        "latents": {
            "all": len(firings),
            "never_fired": int((firings == 0).sum()),
            "below_min_firings": int(((firings > 0) & (firings < min_firings)).sum()),
            "compared": len(kept),
            "min_firings": min_firings,
        },
        "probe_r2": r2_estimates(probe_sums, rank, bootstrap),
        "against": {name: {way: compared[f"probe/{name}/{way}"] for way in CONVENTIONS} for name in SPLITS},
        "curve": curve(kept, firings[kept], weights, of_primary_split, windows),
        "estimands": estimands[split][convention],
        "estimands_by_variant": estimands,
    }


def ratio_and_rank(latents: Sums, rows: int, min_firings: int, probe: str, average: str) -> dict[str, float | None]:
    """Both numbers of one SAE as the claims have them, without intervals; null where too few latents fired.

    Args:
        probe: a fit of a*, as the table names it.
    """
    kept = compared_latents(latents, min_firings)
    if len(kept) < FEWEST:
        return {"ratio": None, "rank": None}
    table = only(latents, kept)
    both = table[probe], averages(table, rows)[average]
    return {"ratio": median_ratio(*both), "rank": rank_of(*both)}


def curve(
    numbers: np.ndarray,
    firings: np.ndarray,
    weights: dict[str, PerLatent],
    probes: dict[str, PerLatent],
    windows: dict[str, int],
) -> dict[str, Any]:
    """What Fig. 14 draws: latents in the order of E(w | active), a*·y of each and smoothed over its neighbours.

    Smoothed over all latents compared; written for at most SHOWN of them.
    """
    order = np.argsort(weights["active"], kind="stable")
    shown = np.unique(np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int))
    columns = {"latent": numbers, "firings": firings, **weights}
    columns |= {f"probe_{way}": values for way, values in probes.items()}
    result = {name: values[order][shown].tolist() for name, values in columns.items()}
    for way, values in probes.items():
        result[f"smoothed_{way}"] = smoothed(values[order], windows[way])[shown].tolist()
    return result | {"windows": windows}
