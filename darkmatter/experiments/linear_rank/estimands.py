"""What predictions take of the rank of LinearError: no torch.

Each interval is at both levels of its rule, counted as the rule counts its components (`joint_levels`).
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from darkmatter.experiments.linear_rank.choices import at_layers, at_main, layer, measured, spliced
from darkmatter.experiments.linear_rank.estimates import HALF, MOST, RankSums, of_contexts, recovered
from darkmatter.experiments.linear_rank.ranks import RANK
from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.statistics.bootstrap import Statistic, Weights
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.paired_r2 import slope
from darkmatter.statistics.sae_estimates import Estimate, HookpointSums, Sums
from darkmatter.storage.packed_sums import select

Bootstrap = dict[str, Any]
Number = Callable[[RankSums], Statistic]


class RankedSaes:
    """The sums of every SAE with one bootstrap.

    Args:
        arrays: HOOKPOINT/SAE/SUM of `compute.measure`.
        shared: hookpoint → the committed sums of x over its rows.
    """

    def __init__(self, arrays: Sums, shared: Mapping[str, Sums], params: Params, bootstrap: Bootstrap) -> None:
        self.hookpoints = {
            name: HookpointSums(sums["rows"], sums["square"], sums["cross"], {}, bootstrap)
            for name, sums in shared.items()
        }
        self.sums = {spec.path: select(arrays, spec.path) for spec in measured(params)}

    def of(self, spec: SaeSpec, split: str) -> RankSums:
        return RankSums.of(self.sums[spec.path], split, self.hookpoints[spec.hookpoint])

    def each(self, specs: list[SaeSpec], split: str, number: Number) -> list[Estimate]:
        """One number of each of these SAEs."""
        chosen = [self.of(spec, split) for spec in specs]
        return [sums.estimate(number(sums)) for sums in chosen]

    def slope(self, specs: list[SaeSpec], split: str, by_width: bool) -> Estimate:
        """Slope of r50/d_model on log2 of the width, or on log2 of L0 with an offset for each width."""
        chosen = [self.of(spec, split) for spec in specs]
        x = np.log2([spec.d_sae if by_width else float(self.sums[spec.path]["l0"]) for spec in specs])
        group = None if by_width else [spec.d_sae for spec in specs]

        def statistic(weights: Weights) -> np.ndarray:
            return slope(x, np.stack([share_of_dimensions(HALF)(sums)(weights) for sums in chosen]), group)

        result = chosen[0].view.estimate(statistic, max(sums.rank for sums in chosen))
        if result["value"] is None:
            return result | {"reason": f"needs SAEs that differ in {'width' if by_width else 'L0 at one width'}"}
        return result | {"saes": len(chosen)}


def share_of_dimensions(share: float) -> Number:
    """The rank that holds a share of LinearError, over d_model."""
    return lambda sums: lambda weights: sums.rank_holding(share)(weights) / sums.d_model


def estimands(
    arrays: Sums, shared: Mapping[str, Sums], splices: Sums, downstream: Sums, params: Params, split: str
) -> dict[str, Any]:
    """Estimand → component → estimates.

    Args:
        arrays, shared: as `RankedSaes`.
        splices: `SAE/ce/RANK` and `rows`, [context].
        downstream: committed sums of section 5.3.
        split: whose held-out rows are scored; splices are held out of the context split always.
    """
    own = params.decomposition.bootstrap.model_dump()
    widths, grid = (at_main(params, groups) for groups in ([params.figures.widths_group], params.figures.grid_groups))
    layers, names = at_layers(params), [name for name in spliced(params) if f"{name}/ce/{RANK}" in splices]
    sae_keys = [{"sae": spec.name} for spec in widths]

    @cache
    def resampled(level: float, resamples: int) -> RankedSaes:
        return RankedSaes(arrays, shared, params, own | {"level": level, "resamples": resamples})

    def at(bootstrap: Bootstrap) -> RankedSaes:
        return resampled(bootstrap["level"], bootstrap["resamples"])

    def each(keys: list[dict[str, Any]], specs: list[SaeSpec], number: Number, components: int) -> list[Estimate]:
        return keyed(keys, at_both(lambda bootstrap: at(bootstrap).each(specs, split, number), own, components))

    def slopes(bootstrap: Bootstrap) -> dict[str, Estimate]:
        return {
            name: at(bootstrap).slope(specs, split, name == "width")
            for name, specs in {"width": widths, "l0": grid}.items()
        }

    def ratios(bootstrap: Bootstrap) -> list[Estimate]:
        statistics = [recovered(splices, downstream, name, RANK, "linear") for name in names]
        return [of_contexts(statistic, splices["rows"], RANK, bootstrap) for statistic in statistics]

    share_24 = lambda sums: sums.share_at(RANK)  # noqa: E731
    ranks = {"r50": share_of_dimensions(HALF), "r90": share_of_dimensions(MOST)}
    return {
        "linear_error_share": {"share_24": each(sae_keys, widths, share_24, len(widths))},
        "linear_error_rank": {
            name: each(sae_keys, widths, number, len(ranks) * len(widths)) for name, number in ranks.items()
        },
        "linear_error_rank_slopes": at_both(slopes, own, 2),
        "linear_error_share_of_layers": {
            "share_24": each([{"layer": layer(spec)} for spec in layers], layers, share_24, len(layers))
        },
        "linear_error_in_components": {
            "share": each(sae_keys, widths, lambda sums: sums.share_within("in_components"), len(widths))
        },
        "cross_entropy_at_rank": {
            "ratio_24": keyed([{"sae": name} for name in names], at_both(ratios, own, len(names)))
        },
    }


def keyed(keys: list[dict[str, Any]], estimates: list[Estimate]) -> list[Estimate]:
    return [key | one for key, one in zip(keys, estimates, strict=True)]
