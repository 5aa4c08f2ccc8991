"""The results of the stage synthetic_noise from its stored sums: no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.synthetic_noise_estimates import Sums, all_estimands, cell_estimates, facts_of
from darkmatter.params import Params
from darkmatter.paths import RESULTS

STORED = RESULTS / "synthetic_noise_sums.npz"  # sums [seed, …] of `noise_sums`, `positions`, FACTS
# Of the ground truth, see `synthetic_noise.prepare_ground_truth`: one number each, or one for each ablated share.
FACTS = ("unit", "d_sae", "d_model", "contexts", "silent_latents", "ablated", "activity_ablated")


def stored(by_seed: Sequence[Sums], facts: Mapping[str, Any], positions: int) -> dict[str, np.ndarray]:
    """Content of STORED: sums of `synthetic_noise.noise_sums` stacked over seeds, and facts."""
    stacked = {name: np.stack([sums[name] for sums in by_seed]) for name in by_seed[0]}
    return stacked | {name: np.array(facts[name]) for name in FACTS} | {"positions": np.array(positions)}


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    section, level = params.synthetic_noise, params.decomposition.bootstrap.level
    facts = {name: arrays[name].tolist() for name in FACTS}
    sums = {name: array for name, array in arrays.items() if name not in (*FACTS, "positions")}
    by_seed = [{name: array[number] for name, array in sums.items()} for number in range(len(section.seeds))]
    sigmas = facts["unit"] * np.array(section.noise_deviations)
    return {
        "hookpoint": params.figures.main_hookpoint,
        "sae": section.sae,
        "level": level,
        **section.model_dump(include={"noise_deviations", "ablated_shares", "seeds"}),
        **facts,
        "rows": facts_of(by_seed, "in_sample")[0],
        **all_estimands(by_seed, sigmas, facts["d_model"], level),
        **cell_estimates(by_seed, section.noise_deviations, section.ablated_shares, facts["unit"], level),
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`audit.derivations`)."""
    return results_of(sums[STORED.as_posix()], params)
