"""The results file of the rank of LinearError from stored sums: no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.linear_rank.choices import measured, spliced
from darkmatter.experiments.linear_rank.estimands import RankedSaes, estimands
from darkmatter.experiments.linear_rank.estimates import angles, of_contexts, recovered, sae_numbers
from darkmatter.experiments.linear_rank.ranks import RANK, shown_ranks, spliced_ranks
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import gather, select
from darkmatter.storage.paths import reports_of

STORED = "linear_rank_sums.npz"  # HOOKPOINT/SAE/SUM of `compute.measure`; splices/SUM [context]
DOWNSTREAM = "downstream_sums.npz"
COMPARED = ("components", "dense", "others")
WHOLE = ("clean", "linear")
SPLICES = "splices"


def stored(saes: Mapping[str, Sums], splices: Sequence[Sums]) -> dict[str, np.ndarray]:
    """Content of STORED. The tables of context × rank are most of it, and are stored in float32, summed in float64.

    Args:
        saes: HOOKPOINT/NAME → what `compute.measure` left.
        splices: what `splices.splice_ranks` left of each context.
    """
    stacked = {name: np.stack([part[name] for part in splices]) for name in splices[0]}
    return gather({**{path: rounded(sums) for path, sums in saes.items()}, SPLICES: stacked})


def rounded(sums: Sums) -> dict[str, np.ndarray]:
    """The sums of one SAE with its tables of context × rank in float32."""
    return {name: array.astype(np.float32) if array.ndim == 2 else array for name, array in sums.items()}


def shared_sums(params: Params) -> dict[str, Sums]:
    """Hookpoint → the committed sums of x over its rows."""
    hookpoints = dict.fromkeys(spec.hookpoint for spec in measured(params))
    sums = reports_of(params.profile).sums
    return {hookpoint: read_arrays(sums / f"{hookpoint}.npz") for hookpoint in hookpoints}


def results_of(arrays: Sums, shared: Mapping[str, Sums], downstream: Sums, params: Params) -> dict[str, Any]:
    """The results file.

    Args:
        arrays: content of STORED.
        shared: as `shared_sums`.
        downstream: content of DOWNSTREAM.
    """
    bootstrap, splices = params.decomposition.bootstrap.model_dump(), select(arrays, SPLICES)
    resampled, specs = RankedSaes(arrays, shared, params, bootstrap), measured(params)
    d_model = resampled.of(specs[0], SPLITS[0]).d_model
    variants = {split: {"paper": estimands(arrays, shared, splices, downstream, params, split)} for split in SPLITS}
    return {
        "hookpoint": params.figures.main_hookpoint,
        "d_model": d_model,
        "saes": [sae_row(spec, resampled, d_model) for spec in specs],
        "cross_entropy": [splice_row(name, splices, downstream, d_model, bootstrap) for name in spliced(params)],
        "estimands": variants[PRIMARY[0]][PRIMARY[1]],
        "estimands_by_variant": variants,
    }


def sae_row(spec: SaeSpec, resampled: RankedSaes, d_model: int) -> dict[str, Any]:
    """One SAE: what it is, its numbers on each split, and the angles of the map fitted on all rows."""
    sums, hookpoint = resampled.sums[spec.path], resampled.hookpoints[spec.hookpoint]
    rank = min(RANK, d_model)
    return {
        "hookpoint": spec.hookpoint,
        **spec.model_dump(include={"name", "group", "architecture", "d_sae", "k", "seed"}),
        "l0": float(sums["l0"]),
        "dense_latents": int(sums["dense"]),
        "estimates": {
            split: sae_numbers(resampled.of(spec, split), hookpoint, shown_ranks(d_model)) for split in SPLITS
        },
        "angles": {
            name: angles(sums[f"cosines/{name}"], rank, int(sums[f"dimensions/{name}"]), d_model) for name in COMPARED
        },
    }


def splice_row(sae: str, splices: Sums, downstream: Sums, d_model: int, bootstrap: dict[str, Any]) -> dict[str, Any]:
    """What each rank wins back of the cross-entropy that one SAE costs, and of what the whole LinearError wins back."""
    rows = splices["rows"]
    curve: list[dict[str, Any]] = []
    for rank in spliced_ranks(d_model):
        shares = {
            f"of_{whole}": of_contexts(recovered(splices, downstream, sae, rank, whole), rows, rank, bootstrap)
            for whole in WHOLE
        }
        curve.append({"rank": rank, **shares})
    return {"sae": sae, "contexts": len(rows), "rows": int(rows.sum()), "curve": curve}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), from STORED and the committed sums of x and of section 5.3."""
    downstream = read_arrays(reports_of(params.profile).results / DOWNSTREAM)
    return results_of(sums[STORED], shared_sums(params), downstream, params)
