"""The decomposition as an evaluator of sae-lens's trainers: its numbers are logged while an SAE is being trained."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from darkmatter.api.coders import inference
from darkmatter.api.contexts import Activations
from darkmatter.api.decompose import decompose
from darkmatter.api.result import SHOWN, Decomposed
from darkmatter.saes.published.sae_lens_config import BATCH

PREFIX = "darkmatter"


@dataclass
class SaeLensEvaluator:
    """Called by sae-lens's `SAETrainer`, `MultiSAETrainingRunner` and `LanguageModelSAETrainingRunner`.

    The SAE in training is decomposed on the same activations each time, which are not those it is trained on. They are
    raw: what the trainer does to activations before the SAE sees them is done here, and undone in Sae(x).

    Attributes:
        activations: as `decompose` takes them, other than an iterator, which could be read once.
        every: of the trainer's evaluations, make every so many-th.
        also: another evaluator, whose metrics are logged too.
        options: of `decompose`, such as `context_length`, `mask` or `resamples`.
        last: the result of the latest call.
    """

    activations: Activations
    every: int = 1
    also: Callable[[Any, Any, Any], dict[str, Any]] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    calls: int = field(default=0, init=False)
    last: Decomposed | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.activations, Iterator):
            raise TypeError("activations are an iterator, which can be read once: give an array or the path of a file")

    def __call__(self, sae: Any, data_provider: Any, activation_scaler: Any) -> dict[str, Any]:
        """The metrics, by names that begin with `darkmatter/`."""
        metrics = {} if self.also is None else self.also(sae, data_provider, activation_scaler)
        self.calls += 1
        if (self.calls - 1) % self.every:
            return metrics
        saved = for_inference(sae)
        # early in training an SAE may be worse than the mean, which is no reason to stop
        options = {"max_fvu": math.inf, **self.options}
        with inference(saved):
            result = decompose(self.activations, on_raw_rows(saved, activation_scaler), **options)
        self.last = result
        return metrics | numbers(result)


def numbers(result: Decomposed) -> dict[str, float]:
    """Each estimate with both ends of its interval, and L0."""
    logged = {"l0": result.l0, "dead_latents": result.dead_latents}
    for name in SHOWN:
        estimate = result.estimate(name)
        logged |= {name: estimate["value"], f"{name}_low": estimate["low"], f"{name}_high": estimate["high"]}
    return {f"{PREFIX}/{name}": float(value) for name, value in logged.items() if value is not None}


def for_inference(sae: Any) -> Any:
    """The SAE that would be saved now; BatchTopK is JumpReLU then, since its own codes depend on the whole batch."""
    if sae.cfg.architecture() not in BATCH:
        return sae
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig  # takes 6–13 s to import

    weights = {name: weight.clone() for name, weight in sae.state_dict().items()}
    sae.process_state_dict_for_saving_inference(weights)
    result = JumpReLUSAE(JumpReLUSAEConfig.from_dict(sae.cfg.get_inference_sae_cfg_dict()))
    result.load_state_dict(weights)
    return result.to(sae.device).eval()


def on_raw_rows(sae: Any, scaler: Any) -> Any:
    """The SAE on activations before the trainer scales them: itself, or its `encode` and `decode` with the scale."""
    if scaler.scaling_factor is None and scaler.whitening is None:
        return sae

    def encode(x: Tensor) -> Tensor:
        return sae.encode(scaler.scale(x.to(sae.device, sae.dtype)))

    def decode(acts: Tensor) -> Tensor:
        return scaler.unscale(sae.decode(acts.to(sae.device, sae.dtype)))

    return encode, decode
