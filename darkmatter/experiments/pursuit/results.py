"""What gradient pursuit changes, against the SAE's own encoder on the same rows: paired intervals. No torch.

    decrease           1 − FVU_pursuit / FVU_sae
    absolute_decrease  FVU_sae − FVU_pursuit
    change             FVU_nonlinear,pursuit / FVU_nonlinear,sae − 1
    absolute_change    FVU_nonlinear,pursuit − FVU_nonlinear,sae
    share              (FVU_nonlinear,sae − FVU_nonlinear,pursuit) / (FVU_sae − FVU_pursuit)

Each resample of contexts gives both sides at once, so what the two encoders share cancels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.decomposition.results import regressions
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import Weights
from darkmatter.statistics.joint_levels import joint, with_ends
from darkmatter.statistics.sae_estimates import (
    Estimate,
    HookpointSums,
    Sums,
    hookpoint_sums,
    sae_estimates,
    scalar_estimates,
)
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import gather, select
from darkmatter.storage.paths import DATA, RESULTS

STORED = RESULTS / "pursuit_sums.npz"  # of the hookpoint: rows, square, cross, FIT SET/facts; SAE/ENCODER/SUM
STORED_DIMENSIONS = DATA / "sums" / "pursuit.npz"  # x_sum, x_square; SAE/ENCODER/SUM [row set, context, d_model]
BELOW_L0 = "tokens_below_l0"  # [context] of a variant: tokens that have fewer latents than the SAE gave them

OWN = "own"
CLAIMED = "exact_l0"  # of the two variants, that of the claims
VARIANTS = {
    "exact_l0": "The paper's text: gradient pursuit with an L0 exactly equal to that of Sae(x), token by token. The "
    "claims are judged on it.",
    "published": "The published code: as many steps as Sae(x) has active latents; a latent chosen twice or clamped at "
    "zero lowers the L0, so that it is an upper bound.",
}


def compare(hookpoint: HookpointSums, sae: Sums, pursuit: Sums, split: str, convention: str) -> dict[str, Estimate]:
    """The five numbers of one SAE under one split and convention; rows as in `estimates.scalar_estimates`.

    Args:
        sae, pursuit: sums that `decomposition.decompose` left, for the same rows.
    """
    view = hookpoint.views[split if convention == "paper" else "all"]
    rank = hookpoint.rank[split]
    square = view.of_sums(hookpoint.square)
    cross = hookpoint.cross[view.number][np.ix_(view.used, view.used)]
    error, nonlinear = (
        [view.of_sums(sums[key]) for sums in (sae, pursuit)]
        for key in ("sum/error", f"pooled/nonlinear/{split}/{convention}")
    )

    def of_variance(weights: Weights, left: np.ndarray) -> np.ndarray:
        return metrics.ratio(weights @ left, metrics.pooled_spread(weights, view.rows, square, cross))

    def relative(weights: Weights, sides: list[np.ndarray]) -> np.ndarray:
        return metrics.ratio(weights @ (sides[1] - sides[0]), weights @ sides[0])

    found = {
        "decrease": view.estimate(lambda weights: -relative(weights, error), 0),
        "absolute_decrease": view.estimate(lambda weights: of_variance(weights, error[0] - error[1]), 0),
        "change": view.estimate(lambda weights: relative(weights, nonlinear), rank),
        "absolute_change": view.estimate(lambda weights: of_variance(weights, nonlinear[1] - nonlinear[0]), rank),
        "share": view.estimate(
            lambda weights: metrics.ratio(weights @ (nonlinear[0] - nonlinear[1]), weights @ (error[0] - error[1])),
            rank,
        ),
    }
    fall = found["absolute_decrease"]["low"]
    if fall is None or fall <= 0:
        facts = {key: found["share"][key] for key in ("rows", "contexts", "rank")}
        reason = "pursuit does not lower the FVU beyond its interval, so there is no fall to have a share of"
        found["share"] = {"value": None, "low": None, "high": None, **facts, "reason": reason}
    return found


def stored(moments: Path, decomposed: Path, saes: Iterable[str]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS.

    Args:
        moments: .npz of `activation_moments.prepare` for the rows of all.
        decomposed: holds `SAE/own`, `SAE/published`, `SAE/exact_l0` of each SAE.
    """
    shared = read_arrays(moments)
    hookpoint = hookpoint_sums(shared, {}, {})
    scalars = {"rows": hookpoint.rows, "square": hookpoint.square, "cross": hookpoint.cross}
    scalars |= {name: array for name, array in shared.items() if name.endswith("/facts")}
    dimensions = {name: shared[name] for name in ("x_sum", "x_square")}
    for sae in saes:
        folders = {encoder: decomposed / sae / encoder for encoder in (OWN, *VARIANTS)}
        sums = {f"{sae}/{encoder}": read_arrays(folder / "sums.npz") for encoder, folder in folders.items()}
        l0 = {encoder: read_arrays(folder / "tokens.npz")["l0"] for encoder, folder in folders.items()}
        for variant in VARIANTS:
            sums[f"{sae}/{variant}"][BELOW_L0] = (l0[variant] < l0[OWN]).sum(1).astype(np.float64)
        scalars |= gather(sums)
        of_dimensions = {encoder: read_arrays(folder / "dimension_sums.npz") for encoder, folder in folders.items()}
        dimensions |= gather({f"{sae}/{encoder}": arrays for encoder, arrays in of_dimensions.items()})
    return scalars, dimensions


def encoder_results(hookpoint: HookpointSums, sums: Sums, x_sums: Sums | None, dimension_sums: Sums) -> dict[str, Any]:
    """One SAE with one encoder, as `decomposition_results.estimate_sae`; without `x_sums` no mean over dimensions."""
    if x_sums is None:
        estimates = {
            way: {name: scalar_estimates(hookpoint, sums, way, name) for name in CONVENTIONS} for way in SPLITS
        }
    else:
        estimates = sae_estimates(hookpoint, sums, x_sums, dimension_sums)
    fired, latents = sums["latent_fired"].tolist()
    l0 = float(sums["sum/l0"][-1].sum() / hookpoint.rows[-1].sum())
    return {"estimates": estimates, "l0": l0, "dead_latents": int(latents - fired)}


def results_of(
    scalars: Sums, dimensions: Sums | None, specs: list[dict[str, Any]], hookpoint_name: str, bootstrap: dict[str, Any]
) -> dict[str, Any]:
    """The results file from STORED and STORED_DIMENSIONS; without the latter no number that is a mean over dimensions.

    Args:
        specs: what each SAE is, its name at least.
    """
    fits = regressions(dict(scalars))
    rank = {name: int(fit["rank"]) for name, fit in fits.items()}
    hookpoint = HookpointSums(scalars["rows"], scalars["square"], scalars["cross"], rank, bootstrap)
    together = joint(bootstrap, len(specs))  # one estimate for each SAE is judged
    jointly = replace(hookpoint, bootstrap=together)
    rows = int(hookpoint.rows[-1].sum())
    saes, judged, wide = [], {}, {}
    for spec in specs:
        names = {encoder: f"{spec['name']}/{encoder}" for encoder in (OWN, *VARIANTS)}
        sums = {encoder: select(scalars, name) for encoder, name in names.items()}
        found = {
            encoder: encoder_results(
                hookpoint, sums[encoder], dimensions, select(dimensions, name) if dimensions else {}
            )
            for encoder, name in names.items()
        }
        variants = {
            variant: {
                **found[variant],
                "compared": compared(hookpoint, sums[OWN], sums[variant]),
                "share_of_tokens_below_l0": float(sums[variant][BELOW_L0].sum() / rows),
            }
            for variant in VARIANTS
        }
        saes.append(spec | {"encoder": found[OWN], "pursuit": variants})
        judged[spec["name"]] = variants[CLAIMED]["compared"]
        wide[spec["name"]] = compared(jointly, sums[OWN], sums[CLAIMED])
    both = with_ends(judged, wide if len(specs) > 1 else None, bootstrap["level"], together["level"])
    claims = {split: {way: estimands(both, split, way) for way in CONVENTIONS} for split in SPLITS}
    facts = {"hookpoint": hookpoint_name, "contexts": hookpoint.rows.shape[1], "rows": rows}
    if dimensions is not None:
        facts["d_model"] = dimensions["x_sum"].shape[-1]
    variants = {"claimed": CLAIMED, "variants": VARIANTS}
    primary = claims[PRIMARY[0]][PRIMARY[1]]
    found = {"regressions": fits, "saes": saes, "estimands": primary, "estimands_by_variant": claims}
    return facts | variants | found


def compared(hookpoint: HookpointSums, sae: Sums, pursuit: Sums) -> dict[str, dict[str, dict[str, Estimate]]]:
    """split → convention → as `compare`."""
    return {split: {way: compare(hookpoint, sae, pursuit, split, way) for way in CONVENTIONS} for split in SPLITS}


def estimands(compared: dict[str, Any], split: str, convention: str) -> dict[str, dict[str, list[Estimate]]]:
    """What the claims of section 6.1 are judged on: one estimate for each SAE.

    Args:
        compared: SAE → split → convention → as `compare`, each with both levels.
    """

    def each(number: str) -> list[Estimate]:
        return [{"sae": sae, **found[split][convention][number]} for sae, found in compared.items()]

    return {
        name: {number: each(number) for number in numbers}
        for name, numbers in {
            "pursuit_fvu_decrease": ("decrease", "absolute_decrease"),
            "pursuit_nonlinear_change": ("change", "share"),
        }.items()
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED and, where it is here, STORED_DIMENSIONS (`Record.derive`)."""
    specs = [{"name": sae["name"]} for sae in committed["saes"]]
    arrays = sums[STORED.as_posix()], sums.get(STORED_DIMENSIONS.as_posix())
    return results_of(*arrays, specs, params.figures.main_hookpoint, params.decomposition.bootstrap.model_dump())
