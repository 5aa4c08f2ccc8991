"""The results file of appendix C.2 from the latents' table, as it is stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.latent_probe.estimates import latent_results
from darkmatter.experiments.latent_probe.params import LatentProbe
from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.storage.packed_sums import gather, select

STORED = "latent_probe_sums.npz"  # table of the latents, `probe_sums/SUM`, `rank` by row set


def stored(latents: Sums, probe_sums: Sums, rank: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Content of STORED; arguments as of `latent_results`."""
    return {**latents, **gather({"probe_sums": probe_sums}), "rank": np.array([rank[name] for name in ROW_SETS])}


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    chosen: LatentProbe = params.latent_probe
    latents = {name: array for name, array in arrays.items() if not name.startswith(("probe_sums/", "rank"))}
    rank = dict(zip(ROW_SETS, arrays["rank"].tolist(), strict=True))
    windows = {"paper": chosen.smoothing, "authors": chosen.smoothing_authors}
    bootstrap = params.decomposition.bootstrap.model_dump()
    result = latent_results(latents, select(arrays, "probe_sums"), rank, chosen.min_firings, windows, bootstrap)
    return {"sae": f"{params.figures.main_hookpoint}/{chosen.sae}", **result}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`)."""
    return results_of(sums[STORED], params)
