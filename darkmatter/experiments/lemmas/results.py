"""The results of the stage lemmas: they follow from parameters alone, so that deriving them again is making them."""

from collections.abc import Mapping
from typing import Any

from darkmatter.experiments.lemmas.params import Lemmas
from darkmatter.params.schema import Params
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.theory.lemma_table import lemma_table


def results_of(params: Params) -> dict[str, Any]:
    settings: Lemmas = params.lemmas
    return lemma_table(settings.features, settings.rows, settings.seed, params.decomposition.bootstrap.level)


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`): the algebra, and the Monte Carlo from its seed."""
    return results_of(params)
