"""Numbers of the per-token scaling (Figs. 4 and 16) from the sums of its regressions: no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics import metrics
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.paired_r2 import ScoredRegression, alone, difference, slope, together
from darkmatter.storage.packed_sums import gather, select

OfPairs = Callable[[np.ndarray], np.ndarray]  # [kind, pair, column] → [column]

# variant → (regression, convention of its residual). Eq. 13: squared norms with intercept (section 4: intercepts are
# included); norms with intercept (published code); squared norms with c alone, as Eq. 13 is printed.
EQ_13 = {
    "paper": ("squared", "paper"),
    "authors": ("unsquared", "paper"),
    "through_origin": ("squared", "authors"),
}
# Eq. 23 beside it, and with NonlinearError from a map that has not seen the context.
EQ_23 = {
    "paper": ("squared+{split}", "paper"),
    "authors": ("unsquared+{split}", "paper"),
    "through_origin": ("squared+{split}", "authors"),
    "cross_fit": ("squared+cross-fit", "paper"),
}
# Eq. 23 with another second regressor: LinearError's norm, or NonlinearError's of other tokens.
CONTROLS = {
    control: {
        "paper": (f"squared+{control}+{{split}}", "paper"),
        "authors": (f"unsquared+{control}+{{split}}", "paper"),
    }
    for control in ("linear", "shuffled")
}

SCORED = {
    (regression.format(split=split), f"residual/{split}/{convention}")
    for variants in (EQ_13, EQ_23, *CONTROLS.values())
    for regression, convention in variants.values()
    for split in SPLITS
}  # all that is scored: (regression, its residual)
OF_TARGETS = ("rows", "total", "square")  # sums that are no residual: the same for every regression of one measure


@dataclass(frozen=True)
class Scaling:
    """What one SAE's norms predict of the wider ones' error norms.

    Attributes:
        first, wider: `name`, `d_sae` and `k` of the SAE, and of each wider one of its k: the regressions' targets.
        sums: regression → sums as `held_out_regression.HeldOut.sums`.
        rank: regression → fit set → rank.
    """

    first: dict[str, Any]
    wider: list[dict[str, Any]]
    sums: dict[str, dict[str, np.ndarray]]
    rank: dict[str, dict[str, int]]

    def scored(self, target: int, split: str, regression: str, convention: str) -> ScoredRegression:
        name = regression.format(split=split)
        return ScoredRegression.of(
            self.sums[name], split, f"residual/{split}/{convention}", self.rank[name][split], target
        )


@dataclass(frozen=True)
class Pair:
    """One prediction: the SAE with number `target` among the wider ones of `scaling`."""

    scaling: Scaling
    target: int

    @property
    def names(self) -> dict[str, Any]:
        first, second = self.scaling.first, self.scaling.wider[self.target]
        return {
            "sae_1": first["name"],
            "sae_2": second["name"],
            "d_sae_1": first["d_sae"],
            "d_sae_2": second["d_sae"],
        }

    @property
    def ends(self) -> tuple[str, str]:
        """Names of the narrower and of the wider SAE."""
        return self.names["sae_1"], self.names["sae_2"]

    @property
    def doublings(self) -> float:
        return float(np.log2(self.names["d_sae_2"] / self.names["d_sae_1"]))

    def eq_13(self, split: str, variant: str) -> ScoredRegression:
        return self.scaling.scored(self.target, split, *EQ_13.get(variant, EQ_13["paper"]))

    def eq_23(self, split: str, variant: str) -> ScoredRegression:
        return self.scaling.scored(self.target, split, *EQ_23[variant])

    def control(self, control: str, split: str, variant: str) -> ScoredRegression:
        return self.scaling.scored(self.target, split, *CONTROLS[control][variant])

    def parts(self, split: str, variant: str) -> list[ScoredRegression]:
        """Eq. 13, Eq. 23, and Eq. 23 with each control."""
        controls = [self.control(control, split, variant) for control in CONTROLS]
        return [self.eq_13(split, variant), self.eq_23(split, variant), *controls]


def wider_saes(saes: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each SAE that has wider ones of its k, with those, from narrow to wide."""
    ordered = sorted(saes, key=lambda sae: (sae["d_sae"], sae["name"]))
    wider = [
        (first, [sae for sae in ordered if sae["d_sae"] > first["d_sae"] and sae["k"] == first["k"]])
        for first in ordered
    ]
    return [(first, result) for first, result in wider if result]


def stored_scalings(scalings: Sequence[Scaling]) -> dict[str, np.ndarray]:
    """`scaling/SAE/REGRESSION/SUM` of what is scored, and `…/rank` by row set; OF_TARGETS with Eq. 13's alone."""
    arrays: dict[str, np.ndarray] = {}
    for scaling in scalings:
        kept = {}
        for name, sums in scaling.sums.items():
            residuals = {residual: sums[residual] for regression, residual in SCORED if regression == name}
            kept[name] = {key: sums[key] for key in OF_TARGETS if name == measure_of(name)} | residuals
            kept[name]["rank"] = np.array([scaling.rank[name][row_set] for row_set in ROW_SETS])
        arrays |= gather({f"scaling/{scaling.first['name']}/{name}": sums for name, sums in kept.items()})
    return arrays


def measure_of(regression: str) -> str:
    """`squared` or `unsquared`, the name of Eq. 13's regression: of which norms it predicts."""
    return regression.split("+")[0]


def scalings_of(arrays: Mapping[str, np.ndarray], saes: Sequence[dict[str, Any]]) -> list[Scaling]:
    """From what `stored_scalings` left.

    Raises:
        ArtifactError: an SAE is missing.
    """
    results = []
    for first, wider in wider_saes(saes):
        own = select(arrays, f"scaling/{first['name']}")
        sums = {name: select(own, name) for name in sorted({regression for regression, _ in SCORED})}
        sums = {name: {key: sums[measure_of(name)][key] for key in OF_TARGETS} | of for name, of in sums.items()}
        rank = {name: dict(zip(ROW_SETS, parts["rank"].tolist(), strict=True)) for name, parts in sums.items()}
        results.append(Scaling(first, wider, sums, rank))
    return results


def pairs_of(scalings: Sequence[Scaling]) -> list[Pair]:
    return [Pair(scaling, target) for scaling in scalings for target in range(len(scaling.wider))]


def relative_decrease(fvu_13: np.ndarray, fvu_23: np.ndarray) -> np.ndarray:
    """Share of Eq. 13's FVU that Eq. 23 takes away; NaN where Eq. 13 leaves none."""
    return metrics.ratio(fvu_13 - fvu_23, fvu_13)


def pair_estimates(pair: Pair, bootstrap: dict[str, Any]) -> dict[str, Any]:
    """E13 of a pair (`estimates`), and what Eq. 23 adds (`nonlinear`): split → variant → numbers."""
    return {
        **pair.names,
        "estimates": {
            split: {variant: alone(pair.eq_13(split, variant), bootstrap) for variant in EQ_13} for split in SPLITS
        },
        "nonlinear": {split: {variant: gain(pair, split, variant, bootstrap) for variant in EQ_23} for split in SPLITS},
    }


def gain(pair: Pair, split: str, variant: str, bootstrap: dict[str, Any]) -> dict[str, Estimate]:
    """R² of Eq. 23, and by how much its FVU lies below that of Eq. 13: relative (Fig. 16) and absolute."""
    before, after = pair.eq_13(split, variant), pair.eq_23(split, variant)
    return {
        "r2": alone(after, bootstrap),
        "decrease": together([before, after], lambda r2: relative_decrease(*(1 - r2)), bootstrap),
        "absolute": difference(after, before, bootstrap),
    }


def scaling_estimands(pairs: Sequence[Pair], split: str, variant: str, bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Components of the claims per-token-scaling and nonlinear-helps-scaling."""
    if not pairs:
        null = {"value": None, "low": None, "high": None, "reason": "no pair of SAEs of one k and different widths"}
        gains = dict.fromkeys(("largest", *(f"over_{control}" for control in CONTROLS)), null)
        return {"per_token_scaling": {"distance": null, "r2": []}, "nonlinear_scaling_gain": gains}
    before = [pair.eq_13(split, variant) for pair in pairs]
    doublings = np.array([pair.doublings for pair in pairs])

    def judged(bootstrap: dict[str, Any]) -> dict[str, Any]:
        distance = together(before, lambda r2: slope(doublings, r2), bootstrap)
        if distance["value"] is None and len(set(doublings)) < 2:
            distance["reason"] = "all pairs are equally far apart"
        r2 = [
            {"pair": f"{pair.names['sae_1']} to {pair.names['sae_2']}"} | alone(part, bootstrap)
            for pair, part in zip(pairs, before, strict=True)
        ]
        return {"distance": distance, "r2": r2}

    def gains(bootstrap: dict[str, Any]) -> dict[str, Any]:
        return largest_gains(pairs, split, variant, bootstrap)

    return {
        "per_token_scaling": at_both(judged, bootstrap, len(pairs) + 1),  # the slope and each pair
        "nonlinear_scaling_gain": at_both(gains, bootstrap, 1 + len(CONTROLS)),
    }


def gain_of(r2: np.ndarray, kind: int) -> np.ndarray:
    """The largest gain over pairs by one of the second regressors; of R² [kind, pair, column] as in `Pair.parts`."""
    return relative_decrease(1 - r2[0], 1 - r2[kind]).max(0)


# Component → what makes it of R² [kind, pair, column].
GAINS: dict[str, OfPairs] = {"largest": lambda r2: gain_of(r2, 1)} | {
    f"over_{control}": lambda r2, kind=kind: gain_of(r2, 1) - gain_of(r2, kind)
    for kind, control in enumerate(CONTROLS, start=2)
}


def largest_gains(pairs: Sequence[Pair], split: str, variant: str, bootstrap: dict[str, Any]) -> dict[str, Estimate]:
    """The largest gain over pairs, and by how much it exceeds the largest that a control regressor reaches.

    Each is resampled as one: every resample has its own largest pair. A largest value of many is biased upwards; that
    of the control is, too, so that their difference is zero where NonlinearError tells no more than the control.
    """
    kinds = zip(*(pair.parts(split, variant) for pair in pairs), strict=True)
    parts = [part for kind in kinds for part in kind]
    return {
        name: together(parts, lambda r2, combine=combine: combine(r2.reshape(-1, len(pairs), r2.shape[-1])), bootstrap)
        for name, combine in GAINS.items()
    }
