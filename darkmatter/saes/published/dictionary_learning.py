"""SAEs of the dictionary_learning package: config.json and ae.pt, a state dict of one of its classes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.saes.published.dictionary_learning_options import OPTIONS
from darkmatter.saes.published.matrices import Matrix, scratch
from darkmatter.saes.published.options import check_options
from darkmatter.saes.published.tensors import Tensors
from darkmatter.saes.published.weights import Read, Weights, check_shapes
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import json_of

Facts = Mapping[str, Any]
BLOCK = 4096  # latents that are scaled at once


def read_dictionary_learning(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """dictionary_learning: what an instance's `decode(encode(x))` gives after `load_state_dict`.

    Activations normalised in training need nothing here: the package writes the factor into the biases and the
    threshold before it saves. Codes are at the scale of W_dec as stored, whatever `normalize_decoder` says.

    Raises:
        ArtifactError: another class, a key that would be left out in silence, or files that contradict each other.
    """
    where = str(paths["config.json"])
    config = json_of(paths["config.json"])
    check_options(config, OPTIONS, where)
    facts = config["trainer"]
    name = facts["dict_class"]
    if name not in CLASSES:
        raise ArtifactError(
            f"{where}: dict_class {name!r} is none of {', '.join(CLASSES)}, so what it computes is not known here"
        )
    result = Tensors.of_pickle(paths["ae.pt"])
    weights, used = CLASSES[name](result, facts)
    result.refuse_others(used)
    check_shapes(weights, where, facts["dict_size"], facts["activation_dim"])
    return weights, hookpoint(config, paths["config.json"])


Class = Callable[[Tensors, Facts], tuple[Weights, set[str]]]


def linear(tensors: Tensors, b_dec: str) -> tuple[Weights, set[str]]:
    """ReLU with nn.Linear's matrices; `b_dec` leaves the input."""
    weights = Weights(
        "relu",
        tensors.matrix("encoder.weight", latents_first=True),
        tensors.matrix("decoder.weight", latents_first=False),
        tensors.vector("encoder.bias"),
        tensors.vector(b_dec),
        subtract_b_dec=True,
    )
    return weights, {"encoder.weight", "decoder.weight", "encoder.bias", b_dec}


def standard(tensors: Tensors, facts: Facts) -> tuple[Weights, set[str]]:
    return linear(tensors, "bias")


def new(tensors: Tensors, facts: Facts) -> tuple[Weights, set[str]]:
    """Of Anthropic's April update: the decoder's bias stays in the input."""
    weights, used = linear(tensors, "decoder.bias")
    return replace(weights, subtract_b_dec=False), used


def topk(tensors: Tensors, facts: Facts) -> tuple[Weights, set[str]]:
    """The k largest of each row; the threshold that newer versions store is not used by `encode` unless asked."""
    weights, used = linear(tensors, "b_dec")
    return replace(weights, architecture="topk", k=k_of(tensors, facts)), used | {"k", "threshold"}


def batch_topk(tensors: Tensors, facts: Facts) -> tuple[Weights, set[str]]:
    weights, used = linear(tensors, "b_dec")
    return above(weights, tensors, facts), used | {"k", "threshold"}


def matryoshka(tensors: Tensors, facts: Facts) -> tuple[Weights, set[str]]:
    """As BatchTopK, with all groups of latents in use, as they are when loaded."""
    sizes = tensors.integers("group_sizes")
    if sizes.sum() != facts["dict_size"]:
        raise ArtifactError(f"{tensors.path}: its groups have {sizes.sum()} latents, dict_size is {facts['dict_size']}")
    weights, used = parameters(tensors)
    weights = replace(weights, subtract_b_dec=True)
    return above(weights, tensors, facts), used | {"k", "threshold", "group_sizes"}


def jumprelu(tensors: Tensors, facts: Facts) -> tuple[Weights, set[str]]:
    """b_dec stays in the input; older versions scale codes by ‖W_dec‖ and divide again, which cancels in Sae(x)."""
    weights, used = parameters(tensors)
    return replace(weights, architecture="jumprelu", threshold=tensors.vector("threshold")), used | {"threshold"}


def gated(tensors: Tensors, facts: Facts) -> tuple[Weights, set[str]]:
    """A gate x_enc + gate_bias > 0 on ReLU(e^r x_enc + mag_bias) is a threshold: both rise with the same x_enc.

    The gate is open where e^r x_enc + mag_bias exceeds mag_bias − e^r gate_bias.
    """
    gain = np.exp(tensors.vector("r_mag"))
    magnitude, gate = tensors.vector("mag_bias"), tensors.vector("gate_bias")
    W_enc = tensors.matrix("encoder.weight", latents_first=True)
    if not W_enc.shape[0] == len(gain) == len(magnitude) == len(gate):
        raise ArtifactError(
            f"{tensors.path}: encoder.weight, r_mag, mag_bias and gate_bias have other numbers of latents"
        )
    weights = Weights(
        "jumprelu",
        times(W_enc, gain),
        tensors.matrix("decoder.weight", latents_first=False),
        magnitude,
        tensors.vector("decoder_bias"),
        magnitude - gain * gate,
        subtract_b_dec=True,
    )
    return weights, {"r_mag", "mag_bias", "gate_bias", "encoder.weight", "decoder.weight", "decoder_bias"}


CLASSES: dict[str, Class] = {
    "AutoEncoder": standard,
    "AutoEncoderNew": new,
    "AutoEncoderTopK": topk,
    "BatchTopKSAE": batch_topk,
    "MatryoshkaBatchTopKSAE": matryoshka,
    "MatroyshkaBatchTopKSAE": matryoshka,  # as the package spelled it at first
    "JumpReluAutoEncoder": jumprelu,
    "GatedAutoEncoder": gated,
}


def parameters(tensors: Tensors) -> tuple[Weights, set[str]]:
    """ReLU with matrices [d_model, latent] and [latent, d_model]."""
    W_enc, W_dec = tensors.matrix("W_enc", latents_first=False), tensors.matrix("W_dec", latents_first=True)
    weights = Weights("relu", W_enc, W_dec, tensors.vector("b_enc"), tensors.vector("b_dec"))
    return weights, {"W_enc", "W_dec", "b_enc", "b_dec"}


def above(weights: Weights, tensors: Tensors, facts: Facts) -> Weights:
    """The codes of inference: those above one threshold, of which k of a batch are meant to be.

    Raises:
        ArtifactError: training has not set the threshold, so nothing but a batch determines the codes.
    """
    threshold = tensors.number("threshold") if "threshold" in tensors.arrays else -1.0
    if threshold < 0:
        raise ArtifactError(
            f"{tensors.path}: its threshold is {threshold:g}, which training has not set: which latents fire depends "
            "on the other rows of a batch (BatchTopK), so one row does not determine its codes. Train it past "
            "`threshold_start_step`, or set the threshold that its authors used."
        )
    return replace(
        weights,
        architecture="jumprelu",
        threshold=np.full(weights.d_sae, threshold, dtype=np.float32),
        k=k_of(tensors, facts),
    )


def k_of(tensors: Tensors, facts: Facts) -> int:
    """k of the file, else of the configuration; annealing changes the file's while the configuration is the first."""
    if "k" not in tensors.arrays:
        return facts["k"]
    k = tensors.number("k")
    if "k" in facts and facts["k"] != k and not facts.get("k_anneal_steps"):
        raise ArtifactError(f"{tensors.path}: k is {k:g}, but {facts['k']} in config.json. One is of another SAE.")
    return int(k)


def times(matrix: Matrix, factors: np.ndarray) -> Matrix:
    """Each latent times its factor, in a temporary file."""
    stored = scratch(matrix.shape)
    for start in range(0, len(stored), BLOCK):
        stored[start : start + BLOCK] = matrix.block(start, start + BLOCK) * factors[start : start + BLOCK, None]
    return Matrix(stored, latents_first=True)


def hookpoint(config: Facts, path: Path) -> str | None:
    """`resid_post.L` where submodule or folder say `resid_post_layer_L`; other submodules may be read otherwise here.

    Raises:
        ArtifactError: `layer` is another one.
    """
    trainer, buffer = config["trainer"], config.get("buffer") or {}
    named = [trainer.get("submodule_name") or "", *(folder.name for folder in list(path.parents)[:2])]
    matches = [match for name in named if (match := re.fullmatch(r"resid_post_layer_(\d+)(?:_checkpoints)?", name))]
    if not matches or buffer.get("io", "out") != "out":
        return None
    layer = int(matches[0][1])
    if trainer.get("layer") not in (None, layer):
        raise ArtifactError(f"{path}: `layer` is {trainer['layer']}, but it is named {matches[0][0]}")
    return f"resid_post.{layer}"
