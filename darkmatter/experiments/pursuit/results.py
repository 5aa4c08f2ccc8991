"""The results file of section 6.1 from sums per context, as they are stored."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.decomposition.results import DIMENSION_SUMS, SUMS, kept_sums, regressions
from darkmatter.experiments.pursuit.estimates import CLAIMED, OWN, VARIANTS, compared, estimands
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics.joint_levels import joint, with_ends
from darkmatter.statistics.per_dimension import ratio_sums
from darkmatter.statistics.sae_estimates import HookpointSums, Sums, hookpoint_sums, sae_estimates
from darkmatter.statistics.seed_noise import names_alike
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import gather, select

STORED = "pursuit_sums.npz"  # of the hookpoint: rows, square, cross, FIT SET/facts; SAE/ENCODER/SUM
# Of the variant that is claimed: mean over dimensions of Σ NonlinearError² over that of the SAE's own encoder.
OF_OWN = "per_dimension/nonlinear_of_own"
BELOW_L0 = "tokens_below_l0"  # [context] of a variant: tokens that have fewer latents than the SAE gave them


def stored(moments: Path, decomposed: Path, saes: Collection[str]) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        moments: .npz of `shared_moments.prepare` for the rows of all.
        decomposed: holds `SAE/own`, `SAE/published`, `SAE/exact_l0`, with DIMENSION_SUMS of OWN and CLAIMED.
    """
    shared = read_arrays(moments)
    hookpoint = hookpoint_sums(shared, {}, {})
    arrays = {"rows": hookpoint.rows, "square": hookpoint.square, "cross": hookpoint.cross}
    arrays |= {name: array for name, array in shared.items() if name.endswith("/facts")}
    for sae in saes:
        folders = {encoder: decomposed / sae / encoder for encoder in (OWN, *VARIANTS)}
        sums = {f"{sae}/{encoder}": kept_sums(read_arrays(folder / SUMS)) for encoder, folder in folders.items()}
        l0 = {encoder: read_arrays(folder / "tokens.npz")["l0"] for encoder, folder in folders.items()}
        for variant in VARIANTS:
            sums[f"{sae}/{variant}"][BELOW_L0] = (l0[variant] < l0[OWN]).sum(1).astype(np.float64)
        sums[f"{sae}/{CLAIMED}"][OF_OWN] = nonlinear_of_own(folders, hookpoint.rows)
        arrays |= gather(sums)
    return arrays


def nonlinear_of_own(folders: Mapping[str, Path], rows: np.ndarray) -> np.ndarray:
    """Content of OF_OWN, from the folder of each encoder and the rows [row set, context]."""
    name, held_out = f"nonlinear/{'/'.join(PRIMARY)}", ROW_SETS.index(PRIMARY[0])
    used = np.flatnonzero(rows[held_out])
    pursued, own = (read_arrays(folders[encoder] / DIMENSION_SUMS)[name][held_out] for encoder in (CLAIMED, OWN))
    return ratio_sums(pursued[used], own[used])


def encoder_results(hookpoint: HookpointSums, sums: Sums) -> dict[str, Any]:
    """One SAE with one encoder, as `decomposition.results.estimate_sae`."""
    estimates = sae_estimates(hookpoint, sums)
    fired, latents = sums["latent_fired"].tolist()
    l0 = float(sums["sum/l0"][-1].sum() / hookpoint.rows[-1].sum())
    return {"estimates": estimates, "l0": l0, "dead_latents": int(latents - fired)}


def results_of(
    arrays: Sums,
    specs: list[dict[str, Any]],
    hookpoint_name: str,
    bootstrap: dict[str, Any],
    groups: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """The results file.

    Args:
        arrays: content of STORED.
        specs: what each SAE is, its name at least.
        groups: names of those that differ in their training seed alone (`alike`).
    """
    fits = regressions(dict(arrays))
    rank = {name: int(fit["rank"]) for name, fit in fits.items()}
    hookpoint = HookpointSums(arrays["rows"], arrays["square"], arrays["cross"], rank, bootstrap)
    together = joint(bootstrap, len(specs))  # one estimate for each SAE is judged
    jointly = replace(hookpoint, bootstrap=together)
    rows = int(hookpoint.rows[-1].sum())
    saes, judged, wide = [], {}, {}
    for spec in specs:
        names = {encoder: f"{spec['name']}/{encoder}" for encoder in (OWN, *VARIANTS)}
        sums = {encoder: select(arrays, name) for encoder, name in names.items()}
        result = {encoder: encoder_results(hookpoint, own) for encoder, own in sums.items()}
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
    variants = {"claimed": CLAIMED, "variants": VARIANTS}
    primary = claims[PRIMARY[0]][PRIMARY[1]]
    result = {"regressions": fits, "saes": saes, "estimands": primary, "estimands_by_variant": claims}
    return facts | variants | result


def alike(params: Params, saes: Collection[str]) -> list[list[str]]:
    """Names of the SAEs that differ in their training seed alone, of those that pursuit was run on."""
    specs = [spec for spec in params.sae_specs(params.figures.main_hookpoint) if spec.name in saes]
    return names_alike(specs)


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED (`Record.derive`)."""
    specs = [{"name": sae["name"]} for sae in committed["saes"]]
    groups = alike(params, [spec["name"] for spec in specs])
    bootstrap = params.decomposition.bootstrap.model_dump()
    return results_of(sums[STORED], specs, params.figures.main_hookpoint, bootstrap, groups)
