"""The results file of appendix C.2 from the latents' table, as it is stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.latent_probe.estimates import latent_results
from darkmatter.experiments.latent_probe.params import LatentProbe
from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.statistics.seed_noise import names_alike
from darkmatter.storage.packed_sums import gather, select

STORED = "latent_probe_sums.npz"  # table of the latents, `probe_sums/SUM`, `rank` by row set; FURTHER/SAE/…, a table
FURTHER = "further"
NOT_OF_TABLE = ("probe_sums/", "rank", f"{FURTHER}/")


def stored(
    latents: Sums, probe_sums: Sums, rank: Mapping[str, int], further: Mapping[str, Sums] | None = None
) -> dict[str, np.ndarray]:
    """Content of STORED; other arguments as of `latent_results`.

    Args:
        further: name of a further SAE → its table of latents, of which no group of contexts is left out.
    """
    arrays = {**latents, **gather({"probe_sums": probe_sums}), "rank": np.array([rank[name] for name in ROW_SETS])}
    return arrays | gather({f"{FURTHER}/{name}": one_group(table) for name, table in (further or {}).items()})


def one_group(table: Sums) -> dict[str, np.ndarray]:
    """The table with the sums of its groups of contexts added up."""
    grouped = {name: array.sum(0, keepdims=True) for name, array in table.items() if name.startswith("group_")}
    return {**table, **grouped}


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    chosen: LatentProbe = params.latent_probe
    latents = {name: array for name, array in arrays.items() if not name.startswith(NOT_OF_TABLE)}
    tables = {chosen.sae: latents} | {name: select(arrays, f"{FURTHER}/{name}") for name in chosen.further_saes}
    groups = names_alike(params.at_main(tables))
    rank = dict(zip(ROW_SETS, arrays["rank"].tolist(), strict=True))
    windows = {"paper": chosen.smoothing, "authors": chosen.smoothing_authors}
    bootstrap = params.decomposition.bootstrap.model_dump()
    result = latent_results(
        latents,
        select(arrays, "probe_sums"),
        rank,
        chosen.min_firings,
        windows,
        bootstrap,
        [[tables[name] for name in group] for group in groups],
    )
    return {"sae": f"{params.figures.main_hookpoint}/{chosen.sae}", **result}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`)."""
    return results_of(sums[STORED], params)
