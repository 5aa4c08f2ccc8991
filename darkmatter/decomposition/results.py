"""Results of one hookpoint: every SAE's estimates, and the sums a reviewer needs to derive them again."""

from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.params.conventions import pooled_rows
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics.sae_estimates import context_products, own_sums, sae_estimates
from darkmatter.storage.artifacts import read_arrays, read_json, write_json
from darkmatter.storage.packed_sums import gather

MOMENTS = "moments/activations.npz"  # below a hookpoint's folder, beside one folder for each SAE
SUMS = "sums.npz"  # of an SAE: see `passes.write_sums`
DIMENSION_SUMS = "dimension_sums.npz"  # of an SAE, where asked for: [row set, context, d_model] each
ESTIMATES = "estimates.json"

Arrays = dict[str, np.ndarray]


def regressions(moments: Arrays) -> dict[str, dict[str, float]]:
    """Rows, rank and condition number of each fit set."""
    facts = {name.removesuffix("/facts"): array.tolist() for name, array in moments.items() if name.endswith("/facts")}
    return {
        name: {"fit_rows": int(rows), "rank": int(rank), "condition_number": condition}
        for name, (rows, rank, condition) in facts.items()
    }


def estimate_sae(out: Path, moments: str, decomposed: str, resamples: int, level: float, seed: int) -> None:
    """Write the estimates of one SAE from its per-context sums (a unit of the decomposition stage)."""
    shared = read_arrays(Path(moments))
    rank = {name: int(facts["rank"]) for name, facts in regressions(shared).items()}
    hookpoint = own_sums(shared, rank, {"resamples": resamples, "level": level, "seed": seed})
    sums = read_arrays(Path(decomposed) / SUMS)
    fired, latents = sums["latent_fired"].tolist()
    result = {
        "estimates": sae_estimates(hookpoint, sums),
        "l0": float(sums["sum/l0"][-1].sum() / hookpoint.rows[-1].sum()),
        "dead_latents": int(latents - fired),
    }
    write_json(out / ESTIMATES, result)


def committed_sums(folder: Path, names: list[str]) -> Arrays:
    """Sums of a hookpoint and of its SAEs, keys `NAME/SUM`, which all numbers follow from: its committed .npz."""
    shared = read_arrays(folder / MOMENTS)
    arrays = {"rows": shared["rows"], "square": shared["x_square"].sum(-1), "cross": context_products(shared)}
    return arrays | gather({name: kept_sums(read_arrays(folder / name / SUMS)) for name in names})


def kept_sums(sums: Arrays) -> Arrays:
    """The sums of one SAE as git holds them: NaN in the row sets on which no number reads them."""
    unread = {name: [place for place, row_set in enumerate(ROW_SETS) if row_set not in read_on(name)] for name in sums}
    kept = {name: array.copy() for name, array in sums.items() if len(unread[name]) < len(ROW_SETS)}
    for name, array in kept.items():
        array[unread[name]] = np.nan
    return kept


def read_on(name: str) -> tuple[str, ...]:
    """The row sets on which a sum of an SAE is read (`sae_estimates.scalar_estimates`)."""
    match name.split("/"):
        case ["residual", "cross-fit", _]:
            return ("all",)
        case ["residual", split, _, _]:
            return (split,)
        case ["pooled", _, split, convention]:
            return (pooled_rows(split, convention),)
        case [("sum" | "centred_sum" | "centred_square") as kind, _, source]:
            if source == "cross-fit":
                return () if kind == "sum" else ("all",)
            return SPLITS if source == "all" else (source,)
        case ["centred_sum" | "centred_square", _] | ["sum", "norm_x" | "norm_sae"]:
            return SPLITS
        case ["sum", "x" | "sae"]:
            return ()
        case ["sum", "l0"]:
            return ("all",)
    return ROW_SETS


def hookpoint_results(folder: Path, estimates: Path, specs: list[dict[str, Any]], facts: dict[str, Any]) -> dict:
    """The results file of one hookpoint: `facts` about its rows, its regressions, and each SAE with its estimates.

    Args:
        specs: name, group, architecture, d_sae, k, seed and train_tokens of each SAE.
        estimates: holds `NAME/estimates.json` for each of them.
    """
    saes = [spec | read_json(estimates / spec["name"] / ESTIMATES) for spec in specs]
    return facts | {"regressions": regressions(read_arrays(folder / MOMENTS)), "saes": saes}
