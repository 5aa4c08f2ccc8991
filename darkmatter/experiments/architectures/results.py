"""The results file of the architectures, from the sums as they are stored: no torch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.decomposition.results import regressions
from darkmatter.experiments.architectures.estimands import estimands
from darkmatter.experiments.architectures.estimates import NUMBERS, alone, lead
from darkmatter.experiments.architectures.matched import RANK, Matched
from darkmatter.experiments.architectures.names import STORED, SUMS, TOPK, ComparedSae, trained, variants
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.sae_estimates import Sums, context_products
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import gather, select


def stored(moments: Path, measured: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        moments: what the SAEs share, as `compute.prepare_contexts` writes it.
        measured: SAE → its folder with SUMS.
    """
    shared = read_arrays(moments)
    ranks = {f"{RANK}/{name}": np.array(fit["rank"]) for name, fit in regressions(shared).items() if name in SPLITS}
    of_x = {"rows": shared["rows"], "square": shared["x_square"].sum(-1), "cross": context_products(shared)}
    return of_x | ranks | gather({name: read_arrays(folder / SUMS) for name, folder in measured.items()})


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file.

    Args:
        arrays: content of STORED.
    """
    own = params.architectures
    bootstrap = params.decomposition.bootstrap.model_dump()
    sums = {split: Matched(arrays, own, split, bootstrap) for split in SPLITS}
    variant_estimands = {split: {"paper": estimands(arrays, params, split)} for split in SPLITS}
    pairs = [(size, variant) for size in own.sizes for variant in variants(own)]
    return {
        "hookpoint": params.figures.main_hookpoint,
        "l0": own.l0,
        "saes": [sae_row(sae, arrays, sums) for sae in (trained(own) if own.classes else [])],
        "matched": [
            {
                "variant": variant,
                "d_sae": size.d_sae,
                "seeds": len(size.seeds),
                "estimates": {split: matched_numbers(sums[split], size.d_sae, variant) for split in SPLITS},
            }
            for size, variant in pairs
        ],
        "estimands": variant_estimands[PRIMARY[0]][PRIMARY[1]],
        "estimands_by_variant": variant_estimands,
    }


def sae_row(sae: ComparedSae, arrays: Sums, sums: Mapping[str, Matched]) -> dict[str, Any]:
    """One SAE: what it is, and its numbers on each split."""
    own = select(arrays, sae.name)
    fired, latents = own["latent_fired"].tolist()
    coefficient = float(own["l1_coefficient"])
    facts = {name: getattr(sae, name) for name in ("name", "variant", "d_sae", "k", "seed", "train_tokens")}
    facts |= {"l0": float(own["mean_l0"]), "dead_latents": int(latents - fired)}
    facts |= {"l1_coefficient": None if math.isnan(coefficient) else coefficient}
    estimates = {}
    for split, matched in sums.items():
        view, rank = matched.hookpoint.views[split], matched.hookpoint.rank[split]
        numbers = matched.of_sae(sae.name)
        estimates[split] = {name: view.estimate(numbers[name], rank) for name in NUMBERS}
    return facts | {"estimates": estimates}


def matched_numbers(sums: Matched, d_sae: int, variant: str) -> dict[str, Any]:
    """The numbers of one variant at the L0, and what they lie above those of TopK by, on the same contexts."""
    return {
        "numbers": {name: sums.estimate(d_sae, [(variant, name)], alone) for name in NUMBERS},
        "above_topk": {name: sums.estimate(d_sae, [(variant, name), (TOPK, name)], lead) for name in NUMBERS},
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), from STORED."""
    return results_of(sums[STORED], params)
