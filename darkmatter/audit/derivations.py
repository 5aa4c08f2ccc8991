"""Which results follow from which sums: a table, one row for each results file that can be derived again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from darkmatter.experiments.components import results as components_results
from darkmatter.experiments.controls import results as control_results
from darkmatter.experiments.downstream import results as downstream_results
from darkmatter.experiments.error_saes import results as error_sae_results
from darkmatter.experiments.interpretability import results as interpretability_results
from darkmatter.experiments.latent_probe import results as latent_probe_estimates
from darkmatter.experiments.norm_baselines import results as norm_baseline_estimates
from darkmatter.experiments.per_token_scaling import results as per_token_scaling_results
from darkmatter.experiments.pursuit import results as pursuit_estimates
from darkmatter.experiments.random_features import results as random_features_estimates
from darkmatter.experiments.synthetic_noise import results as synthetic_noise_results
from darkmatter.params.schema import Params
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.theory import lemma_results

# (path → sums, the committed results, parameters) → the results that follow, under the same keys
Derive = Callable[[Mapping[str, Sums], dict[str, Any], Params], dict[str, Any]]


@dataclass(frozen=True)
class Derivation:
    """How a results file is made again.

    Attributes:
        sums: files that hold its sums. Those below `reports/` are committed. Those below `data/` come with `dvc pull`;
            where one is missing, `derive` is called without it and leaves out the numbers that need it.
        derive: the function; of the committed results it takes names and text, never a number that it returns.
    """

    sums: tuple[str, ...]
    derive: Derive

    @property
    def committed(self) -> tuple[str, ...]:
        return tuple(path for path in self.sums if path.startswith("reports/"))

    @property
    def pulled(self) -> tuple[str, ...]:
        return tuple(path for path in self.sums if not path.startswith("reports/"))


# Name of the file in reports/results, without .json → how it is derived.
DERIVATIONS: dict[str, Derivation] = {
    "components": Derivation(
        (components_results.STORED.as_posix(), components_results.STORED_DIMENSIONS.as_posix()),
        components_results.derive,
    ),
    "controls": Derivation(
        (control_results.STORED.as_posix(), control_results.STORED_DIMENSIONS.as_posix()), control_results.derive
    ),
    "downstream": Derivation(
        (downstream_results.STORED.as_posix(), downstream_results.STORED_DIMENSIONS.as_posix()),
        downstream_results.derive,
    ),
    "error_saes": Derivation(
        (error_sae_results.STORED.as_posix(), error_sae_results.STORED_DIMENSIONS.as_posix()), error_sae_results.derive
    ),
    "interpretability": Derivation((interpretability_results.STORED.as_posix(),), interpretability_results.derive),
    "latent_probe": Derivation((latent_probe_estimates.STORED.as_posix(),), latent_probe_estimates.derive),
    "lemmas": Derivation((), lemma_results.derive),
    "norm_baselines": Derivation((norm_baseline_estimates.STORED.as_posix(),), norm_baseline_estimates.derive),
    "per_token_scaling": Derivation((per_token_scaling_results.STORED.as_posix(),), per_token_scaling_results.derive),
    "pursuit": Derivation(
        (pursuit_estimates.STORED.as_posix(), pursuit_estimates.STORED_DIMENSIONS.as_posix()), pursuit_estimates.derive
    ),
    "random_features": Derivation((random_features_estimates.STORED.as_posix(),), random_features_estimates.derive),
    "synthetic_noise": Derivation((synthetic_noise_results.STORED.as_posix(),), synthetic_noise_results.derive),
}
