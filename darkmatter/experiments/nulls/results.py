"""The results file of the nulls from stored sums: no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.decomposition.results import MOMENTS, committed_sums, regressions
from darkmatter.experiments.nulls.estimands import estimands
from darkmatter.experiments.nulls.estimates import NullSums
from darkmatter.experiments.nulls.names import NULLS, STORED, TRAINED
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.storage.artifacts import read_arrays, read_json
from darkmatter.storage.packed_sums import gather, select
from darkmatter.storage.paths import reports_of

RANK = "rank"


def stored(folders: Mapping[str, Path], saes: list[str]) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        folders: null → what the decomposition left of it, as of a hookpoint.
    """
    parts: dict[str, dict[str, np.ndarray]] = {}
    for null, folder in folders.items():
        fits = regressions(read_arrays(folder / MOMENTS))
        ranks = {f"{RANK}/{name}": np.array(fit["rank"]) for name, fit in fits.items()}
        parts[null] = committed_sums(folder, saes) | ranks
    return gather(parts)


def null_sums(arrays: Sums) -> dict[str, NullSums]:
    """Null → its sums, of those in the content of STORED."""
    result = {}
    for null in NULLS:
        if f"{null}/rows" in arrays:
            own = select(arrays, null)
            ranks = {name: int(rank) for name, rank in select(own, RANK).items()}
            result[null] = NullSums(own, ranks)
    return result


def trained_sums(params: Params) -> NullSums:
    """The committed sums of the SAEs that the nulls are held against."""
    reports, hookpoint = reports_of(params.profile), params.figures.main_hookpoint
    fits = read_json(reports.decomposition / f"{hookpoint}.json")["regressions"]
    return NullSums(
        read_arrays(reports.sums / f"{hookpoint}.npz"), {name: int(fit["rank"]) for name, fit in fits.items()}
    )


def results_of(arrays: Sums, trained: NullSums, params: Params) -> dict[str, Any]:
    """The results file.

    Args:
        arrays: content of STORED.
        trained: as `trained_sums`.
    """
    sums = {TRAINED: trained, **null_sums(arrays)} if params.nulls.saes else {}
    variants = {split: {way: estimands(sums, params, split, way) for way in CONVENTIONS} for split in SPLITS}
    return {
        "hookpoint": params.figures.main_hookpoint,
        "nulls": [
            {"null": name, "saes": [sae_row(sae, own, params) for sae in params.nulls.saes]}
            for name, own in sums.items()
        ],
        "estimands": variants[PRIMARY[0]][PRIMARY[1]],
        "estimands_by_variant": variants,
    }


def sae_row(sae: str, sums: NullSums, params: Params) -> dict[str, Any]:
    """One SAE: what it is, and its numbers under each split and convention."""
    spec = params.sae_spec(f"{params.figures.main_hookpoint}/{sae}")
    bootstrap = params.decomposition.bootstrap.model_dump()
    l0, dead = sums.latents(sae)
    estimates = {split: {way: sums.estimates(sae, split, way, bootstrap) for way in CONVENTIONS} for split in SPLITS}
    facts = spec.model_dump(include={"name", "group", "architecture", "d_sae", "k", "seed", "train_tokens"})
    return facts | {"l0": l0, "dead_latents": dead, "estimates": estimates}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), from STORED and the committed sums of the trained SAEs."""
    return results_of(sums[STORED], trained_sums(params), params)
