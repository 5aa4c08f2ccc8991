"""The results of the stage synthetic_noise from its stored sums: no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.synthetic_noise.cells import Sums
from darkmatter.experiments.synthetic_noise.estimates import (
    SaeDraws,
    all_estimands,
    cell_estimates,
    facts_of,
    widths,
)
from darkmatter.experiments.synthetic_noise.params import SyntheticNoise
from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.statistics.seed_noise import names_alike
from darkmatter.storage.packed_sums import gather, select

STORED = "synthetic_noise_sums.npz"  # SAE/…: sums [seed, …] of `noise_grid`, FACTS
# Of each draw, see `compute.noise_grid`: one number each, or one for each ablated share.
FACTS = ("unit", "d_sae", "d_model", "silent_latents", "ablated", "activity_ablated")
FURTHER_VARIANTS = ("token",)  # what is computed of the further SAEs, the first of VARIANTS


def saes_of(params: Params) -> list[SaeSpec]:
    """The SAE of the whole grid, then the further ones."""
    section: SyntheticNoise = params.synthetic_noise
    return params.at_main((section.sae, *section.further_saes))


def stored(by_sae: Mapping[str, Sequence[tuple[Sums, Mapping[str, Any]]]]) -> dict[str, np.ndarray]:
    """Content of STORED: the sums and facts of each SAE, stacked over seeds."""
    result = {}
    for name, draws in by_sae.items():
        both = [{**sums, **{fact: np.array(facts[fact]) for fact in FACTS}} for sums, facts in draws]
        result[name] = {key: np.stack([one[key] for one in both]) for key in both[0]}
    return gather(result)


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    section: SyntheticNoise = params.synthetic_noise
    level = params.decomposition.bootstrap.level
    measured = []
    for spec in saes_of(params):
        own = select(arrays, spec.name)
        by_seed = [{key: array[number] for key, array in own.items()} for number in range(len(section.seeds))]
        measured.append(SaeDraws({"sae": spec.name, "d_sae": spec.d_sae}, by_seed))
    main = select(arrays, section.sae)
    groups = names_alike(saes_of(params))
    return {
        "hookpoint": params.figures.main_hookpoint,
        "sae": section.sae,
        "level": level,
        **section.model_dump(include={"noise_deviations", "ablated_shares", "seeds", "contexts"}),
        "contexts_per_seed": section.contexts_per_seed,
        "d_sae": int(main["d_sae"][0]),
        "d_model": int(main["d_model"][0]),
        "unit": float(main["unit"].mean()),
        "units": main["unit"].tolist(),
        "silent_latents": main["silent_latents"].tolist(),
        "ablated": main["ablated"][0].tolist(),
        "activity_ablated": main["activity_ablated"].mean(0).tolist(),
        "rows": facts_of(measured[0].by_seed, "in_sample")["rows"],
        **all_estimands(measured, section.noise_deviations, level, groups),
        **widths(measured, section.noise_deviations, level),
        **cell_estimates(measured[0], section.noise_deviations, section.ablated_shares, level),
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`)."""
    return results_of(sums[STORED], params)
