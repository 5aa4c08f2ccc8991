"""The results file of section 6.1 from sums per context, as they are stored."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.decomposition.results import regressions
from darkmatter.decomposition.rounded_sums import DIMENSIONS, fit_for_git, rounded, rounded_x
from darkmatter.experiments.pursuit.estimates import CLAIMED, OWN, VARIANTS, compared, estimands
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.joint_levels import joint, with_ends
from darkmatter.statistics.sae_estimates import (
    HookpointSums,
    Sums,
    hookpoint_sums,
    sae_estimates,
    scalar_estimates,
)
from darkmatter.statistics.seed_noise import seed_groups
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import gather, select

# Of the hookpoint: rows, square, cross, FIT SET/facts; SAE/ENCODER/SUM, and rounded SAE/ENCODER/dimensions.
STORED = "pursuit_sums.npz"
STORED_DIMENSIONS = "pursuit.npz"  # x_sum, x_square; SAE/ENCODER/SUM [row set, context, d_model]
BELOW_L0 = "tokens_below_l0"  # [context] of a variant: tokens that have fewer latents than the SAE gave them


def stored(
    moments: Path, decomposed: Path, saes: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS.

    Args:
        moments: .npz of `shared_moments.prepare` for the rows of all.
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
    return scalars | committed_dimensions(hookpoint.rows, dimensions, saes), dimensions


def committed_dimensions(rows: np.ndarray, dimensions: Sums, saes: Collection[str]) -> dict[str, np.ndarray]:
    """What STORED has of every dimension, of the encoders that a claim compares: `decomposition.rounded_sums`.

    Args:
        dimensions: content of STORED_DIMENSIONS.
    """
    names = [f"{sae}/{encoder}" for sae in saes for encoder in (OWN, CLAIMED)]
    if not fit_for_git(rows, dimensions["x_sum"].shape[-1], len(names)):
        return {}
    of_judged = {f"{name}/{DIMENSIONS}": rounded(rows, select(dimensions, name), PRIMARY[:1]) for name in names}
    return rounded_x(rows, dimensions) | gather(of_judged)


def encoder_results(hookpoint: HookpointSums, sums: Sums, x_sums: Sums | None, dimension_sums: Sums) -> dict[str, Any]:
    """One SAE with one encoder, as `decomposition.results.estimate_sae`; without `x_sums` no mean over dimensions."""
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
    scalars: Sums,
    dimensions: Sums | None,
    specs: list[dict[str, Any]],
    hookpoint_name: str,
    bootstrap: dict[str, Any],
    groups: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """The results file from STORED and STORED_DIMENSIONS; without the latter no number that is a mean over dimensions.

    Args:
        specs: what each SAE is, its name at least.
        groups: names of those that differ in their training seed alone (`alike`).
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
        result = {
            encoder: encoder_results(
                hookpoint, sums[encoder], dimensions, select(dimensions, name) if dimensions else {}
            )
            for encoder, name in names.items()
        }
        variants = {
            variant: {
                **result[variant],
                "compared": compared(hookpoint, sums[OWN], sums[variant]),
                "share_of_tokens_below_l0": float(sums[variant][BELOW_L0].sum() / rows),
            }
            for variant in VARIANTS
        }
        saes.append(spec | {"encoder": result[OWN], "pursuit": variants})
        judged[spec["name"]] = variants[CLAIMED]["compared"]
        wide[spec["name"]] = compared(jointly, sums[OWN], sums[CLAIMED])
    both = with_ends(judged, wide if len(specs) > 1 else None, bootstrap["level"], together["level"])
    claims = {split: {way: estimands(both, split, way, groups) for way in CONVENTIONS} for split in SPLITS}
    facts = {"hookpoint": hookpoint_name, "contexts": hookpoint.rows.shape[1], "rows": rows}
    if dimensions is not None:
        facts["d_model"] = dimensions["x_sum"].shape[-1]
    variants = {"claimed": CLAIMED, "variants": VARIANTS}
    primary = claims[PRIMARY[0]][PRIMARY[1]]
    result = {"regressions": fits, "saes": saes, "estimands": primary, "estimands_by_variant": claims}
    return facts | variants | result


def alike(params: Params, saes: Collection[str]) -> list[list[str]]:
    """Names of the SAEs that differ in their training seed alone, of those that pursuit was run on."""
    specs = [spec for spec in params.sae_specs(params.figures.main_hookpoint) if spec.name in saes]
    return [[spec.name for spec in group] for group in seed_groups(specs, getattr)]


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED and, where it is here, STORED_DIMENSIONS (`Record.derive`)."""
    specs = [{"name": sae["name"]} for sae in committed["saes"]]
    arrays, groups = (sums[STORED], sums.get(STORED_DIMENSIONS)), alike(params, [spec["name"] for spec in specs])
    bootstrap = params.decomposition.bootstrap.model_dump()
    return results_of(*arrays, specs, params.figures.main_hookpoint, bootstrap, groups)
