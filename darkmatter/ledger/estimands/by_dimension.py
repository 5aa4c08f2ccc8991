"""Estimands of experiments with FVU and FVU_nonlinear averaged over dimensions, as section 4 averages R²: a variant.

What an experiment judges stands in its results pooled. Here is where the same numbers stand, or follow, otherwise.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from darkmatter.experiments.pursuit.estimates import CLAIMED, OWN
from darkmatter.experiments.pursuit.results import OF_OWN
from darkmatter.ledger.estimands.evidence import Evidence, Missing
from darkmatter.ledger.estimands.quantities import Components, Formula, Keyed, single
from darkmatter.ledger.estimands.stage_seeds import NOT_ASKED
from darkmatter.params.conventions import PRIMARY
from darkmatter.statistics.bootstrap import Statistic, Weights, each_once
from darkmatter.statistics.held_out_numbers import OpenSums
from darkmatter.statistics.per_dimension import fvu_key, fvu_nonlinear_key, mean_of_ratios
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.statistics.seed_noise import NO_SEEDS, SeedNoise, seed_groups
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import select

Content = dict[str, Any]


def error_sae_fvu(content: Content) -> Content:
    """Each part's FVU over seeds; an interval is at the level of one number, which is all that an analogue judges."""
    return content["over_seeds"]["fvu_per_dim"]


def cross_entropy_ratio(content: Content) -> Content:
    """The published code's expectation from variance, which has R² averaged over dimensions, on the same rows."""
    return content["estimands_by_variant"]["context"]["authors"]["cross_entropy_ratio"]


# Estimand → where it stands in the results of its experiment.
STATED: dict[str, Callable[[Content], Content]] = {
    "error_sae_fvu": error_sae_fvu,
    "cross_entropy_ratio": cross_entropy_ratio,
}


def pursuit_fvu_decrease(evidence: Evidence, seed: bool) -> Components:
    return of_pursuit(evidence, seed, {"decrease": lambda own, pursued: 1 - ratio(pursued["error"], own["error"])})


def pursuit_nonlinear_change(evidence: Evidence, seed: bool) -> Components:
    return of_pursuit(
        evidence,
        seed,
        {
            "change": lambda own, pursued: ratio(pursued["nonlinear"], own["nonlinear"]) - 1,
            "share": lambda own, pursued: ratio(
                own["nonlinear"] - pursued["nonlinear"], own["error"] - pursued["error"]
            ),
        },
    )


def pursuit_takes_away(evidence: Evidence, seed: bool) -> Components:
    """`change` of nonlinear error by pursuit, the mean over dimensions of that of each, as the mean R² of a regression.

    `pursuit_nonlinear_change` is the change of a mean instead, in which dimensions count by their share of it.
    """
    return of_pursuit(evidence, seed, {"change": lambda own, pursued: pursued["nonlinear_of_own"] - 1})


# Estimand → the function that makes it from sums.
DERIVED: dict[str, Callable[[Evidence, bool], Components]] = {
    "pursuit_fvu_decrease": pursuit_fvu_decrease,
    "pursuit_nonlinear_change": pursuit_nonlinear_change,
}

Fvus = dict[str, np.ndarray]


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where the denominator is zero, of either sign elsewhere."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def of_pursuit(evidence: Evidence, seed: bool, numbers: dict[str, Callable[[Fvus, Fvus], np.ndarray]]) -> Components:
    """One number per SAE, both encoders on the same contexts, as `experiments.pursuit` has it pooled.

    Args:
        seed: whether the intervals hold the noise of the training seed, where there are SAEs to measure it.

    Raises:
        Missing: the results are not here.
    """
    if "pursuit" not in evidence.results.experiments or evidence.pursuit_sums is None:
        raise Missing("no results of pursuit")
    content = evidence.results.experiments["pursuit"]
    stored = evidence.once("sums of pursuit", lambda: read_arrays(evidence.pursuit_sums))
    rows = stored["rows"]
    fits = {name: int(fit["rank"]) for name, fit in content["regressions"].items()}
    nothing = np.zeros(rows.shape)
    bootstrap = evidence.params.decomposition.bootstrap.model_dump()
    hookpoint = OpenSums(rows, nothing, nothing, fits, bootstrap)
    view, rank = hookpoint.views[PRIMARY[0]], fits[PRIMARY[0]]

    sides = {
        sae["name"]: [select(stored, f"{sae['name']}/{encoder}") for encoder in (OWN, CLAIMED)]
        for sae in content["saes"]
    }
    groups = seed_groups(content["saes"], lambda sae, key: sae[key]) if seed else []

    def each(number: Callable[[Fvus, Fvus], np.ndarray]) -> list[Keyed]:
        def statistic(sae: str) -> Statistic:
            return lambda weights: number(*(fvus(side, weights) for side in sides[sae]))

        once = each_once(len(view.used))
        values = [[float(statistic(sae["name"])(once)[0]) for sae in group] for group in groups]
        noise = SeedNoise.of(values) if values else NO_SEEDS if seed else NOT_ASKED
        return [Keyed({"sae": sae}, single(Formula(view, statistic(sae), rank, sae, noise))) for sae in sides]

    return {name: each(number) for name, number in numbers.items()}


def fvus(sums: Sums, weights: Weights) -> Fvus:
    """FVU and FVU_nonlinear of one encoder, each the mean over dimensions, as far as its sums have them.

    `nonlinear_of_own` is the mean over dimensions of Σ NonlinearError² over that of the SAE's own encoder.
    """
    keys = {"error": fvu_key(PRIMARY[0]), "nonlinear": fvu_nonlinear_key(*PRIMARY), "nonlinear_of_own": OF_OWN}
    return {name: mean_of_ratios(weights, sums[key]) for name, key in keys.items() if key in sums}
