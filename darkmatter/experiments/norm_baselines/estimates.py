"""Fig. 13's numbers from sums per context: R² of each regressor, and what the activation has over it. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkmatter.params.conventions import ALL_ROWS, CONVENTIONS, PRIMARY
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.paired_r2 import ScoredRegression, alone, difference, together
from darkmatter.statistics.seed_noise import seed_fact

ACTIVATION = "activation"
SEEN = "token_identity_seen"  # token identity on the rows whose token is among the fit rows
ACTIVATION_SEEN = "activation_seen"  # the activation on the same rows
TARGETS = ("norm", "square")  # ‖SaeError‖, which A.3 prints; ‖SaeError‖², Eq. 10's
COMPARED = ("token_identity", "l0", "activation_norm", "model_loss")  # A.3 names these; components of the claim


@dataclass(frozen=True)
class Baseline:
    """One regressor at one SAE.

    Attributes:
        sums: as `held_out_regression.HeldOut.sums`, of one target and with intercept; `residual/in-sample` only where
            the published code fits and scores it on all rows.
        rank: fit set → directions fitted beside the intercept.
        constant: what the regressor is on every fit row, if it is one number: then there is nothing to fit.
    """

    sums: Mapping[str, np.ndarray]
    rank: Mapping[str, int]
    constant: float | None = None

    @property
    def reason(self) -> str | None:
        """Why there is nothing to fit, if so."""
        return None if self.constant is None else f"it is {self.constant:g} on every token: no variance"

    def scored(self, split: str, convention: str) -> ScoredRegression | None:
        """Held out, with intercept; None where there is nothing to fit."""
        if self.reason:
            return None
        if convention == "authors" and "residual/in-sample" in self.sums:
            return ScoredRegression.of(self.sums, "all", "residual/in-sample", self.rank["all"])
        return ScoredRegression.of(self.sums, split, f"residual/{split}/paper", self.rank[split])


def null(reason: str) -> Estimate:
    return {"value": None, "low": None, "high": None, "reason": reason}


@dataclass(frozen=True)
class SaeBaselines:
    """One SAE with its regressors' sums, by target. `facts` go into the results as they are."""

    facts: dict[str, Any]
    layer: int
    regressors: Mapping[str, Mapping[str, Baseline]]


# SAEs that differ in their training seed alone, two or more to a group.
Groups = Sequence[Sequence[SaeBaselines]]


def results(saes: Sequence[SaeBaselines], depth: int, bootstrap: dict[str, Any], groups: Groups = ()) -> dict[str, Any]:
    """The content of the stage's results.

    Args:
        depth: layers of the model; the second half are those from depth/2 on, counted from 0.
    """
    first = [sae for sae in saes if sae.layer == min(sae.layer for sae in saes)]
    later = [sae for sae in saes if sae.layer >= depth / 2]
    variants = [(split, way) for split in SPLITS for way in CONVENTIONS]
    estimands: dict[str, Any] = {split: {} for split in SPLITS}
    for split, way in variants:
        estimands[split][way] = {
            "norm_baseline_differences": differences(first, later, split, way, bootstrap, groups),
            "norm_baseline_order": order(first, later, split, way, bootstrap, groups),
        }
    # The variant of all held-out rows, tokens among them that no fit has met.
    everywhere = compared(on_all_rows(first, later), "norm", *PRIMARY, bootstrap, groups)
    estimands["/".join((*PRIMARY, ALL_ROWS))] = {"norm_baseline_order": everywhere}
    return {
        "depth": depth,
        "first_layer": sorted({sae.facts["hookpoint"] for sae in first}),
        "second_half": sorted({sae.facts["hookpoint"] for sae in later}),
        "saes": [
            sae.facts
            | {"layer": sae.layer}
            | {
                key: {
                    split: {way: sae_estimates(sae.regressors[target], split, way, bootstrap) for way in CONVENTIONS}
                    for split in SPLITS
                }
                for key, target in (("estimates", "norm"), ("estimates_of_square", "square"))
            }
            for sae in saes
        ],
        "estimands": estimands["token"]["paper"],
        "estimands_by_variant": estimands,
    }


def sae_estimates(regressors: Mapping[str, Baseline], split: str, convention: str, bootstrap: dict[str, Any]) -> dict:
    """`r2` of each regressor, and `activation_minus` each of them, paired."""
    activation = regressors[ACTIVATION].scored(split, convention)
    r2, minus = {}, {}
    for name, baseline in regressors.items():
        scored = baseline.scored(split, convention)
        r2[name] = null(baseline.reason) if scored is None else alone(scored, bootstrap)
        if name == SEEN:
            minus[name] = difference(regressors[ACTIVATION_SEEN].scored(split, convention), scored, bootstrap)
        elif name not in (ACTIVATION, ACTIVATION_SEEN):
            minus[name] = null(baseline.reason) if scored is None else difference(activation, scored, bootstrap)
    return {"r2": r2, "activation_minus": minus}


def differences(
    first: Sequence[SaeBaselines],
    later: Sequence[SaeBaselines],
    split: str,
    convention: str,
    bootstrap: dict[str, Any],
    groups: Groups,
) -> dict[str, Estimate]:
    """Components of the first edition of norm-r2-baselines: the square on all held-out rows."""
    return compared(on_all_rows(first, later), "square", split, convention, bootstrap, groups)


def order(
    first: Sequence[SaeBaselines],
    later: Sequence[SaeBaselines],
    split: str,
    convention: str,
    bootstrap: dict[str, Any],
    groups: Groups,
) -> dict[str, Estimate]:
    """Components of norm-r2-baselines: the norm, and token identity on rows whose token it has met.

    Beside them `square_…`, the same of the square.
    """
    on_seen = on_all_rows(first, later) | {
        "token_identity": (later, ACTIVATION_SEEN, SEEN),
        "first_layer": (first, SEEN, ACTIVATION_SEEN),
    }
    square = compared(on_seen, "square", split, convention, bootstrap, groups)
    return compared(on_seen, "norm", split, convention, bootstrap, groups) | {
        f"square_{name}": one for name, one in square.items()
    }


# What is compared: the SAEs over which the mean is taken, and two regressors.
Pair = tuple[Sequence[SaeBaselines], str, str]


def on_all_rows(first: Sequence[SaeBaselines], later: Sequence[SaeBaselines]) -> dict[str, Pair]:
    """The differences that are taken over all rows: name → SAEs, and the two predictions.

    Args:
        first: SAEs at the first layer.
        later: SAEs at the layers of the second half of depth.
    """
    pairs: dict[str, Pair] = {name: (later, ACTIVATION, name) for name in COMPARED}
    return pairs | {"first_layer": (first, "token_identity", ACTIVATION)}


def compared(
    pairs: Mapping[str, Pair], target: str, split: str, convention: str, bootstrap: dict[str, Any], groups: Groups
) -> dict[str, Estimate]:
    """Contexts are resampled for all layers at once; at both levels of as many components as are not null.

    Beside each, what the training seed does to it: an SAE of any layer is taken to have the noise of `groups`.
    """
    fitted = sum(
        not any(sae.regressors[target][name].reason for sae in saes for name in both) for saes, *both in pairs.values()
    )

    def judged(own: dict[str, Any]) -> dict[str, Estimate]:
        return {name: mean_difference(*pair, target, split, convention, own) for name, pair in pairs.items()}

    result = at_both(judged, bootstrap, fitted)
    for name, (own, *both) in pairs.items():
        if result[name]["value"] is not None:
            noise = [[lead(sae, *both, target, split, convention) for sae in group] for group in groups]
            values = [lead(sae, *both, target, split, convention) for sae in own]
            result[name] |= seed_fact(values, noise, lambda values: values.mean(0))
    return result


def lead(sae: SaeBaselines, one: str, other: str, target: str, split: str, convention: str) -> float | None:
    """R² of one regressor minus R² of another, of one SAE; None where one of them has nothing to fit."""
    parts = [sae.regressors[target][name].scored(split, convention) for name in (one, other)]
    return None if None in parts else parts[0].value - parts[1].value


def mean_difference(
    saes: Sequence[SaeBaselines],
    one: str,
    other: str,
    target: str,
    split: str,
    convention: str,
    bootstrap: dict[str, Any],
) -> Estimate:
    """Mean over SAEs of R² of one regressor minus R² of another; null where one of them has nothing to fit."""
    if not saes:
        return null("no SAE of the group at these layers")
    for sae in saes:
        if reason := sae.regressors[target][one].reason or sae.regressors[target][other].reason:
            return null(f"{sae.facts['hookpoint']}: {reason}")
    parts = [sae.regressors[target][name].scored(split, convention) for name in (one, other) for sae in saes]
    return together(parts, lambda r2: r2[: len(saes)].mean(0) - r2[len(saes) :].mean(0), bootstrap)
