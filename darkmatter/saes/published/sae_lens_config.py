"""What a cfg.json of sae-lens, version 1 to 6, says that its SAE computes.

sae-lens 6 translates an older file before it reads it, and drops what it no longer has: an activation function, a
target other than the input. So the file itself is read here, and whatever it asks for is done or refused.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.saes.published.options import check_options
from darkmatter.saes.published.registry import REFUSED_LOADERS, TRANSCODER
from darkmatter.saes.published.sae_lens_options import OPTIONS
from darkmatter.saes.published.weights import Architecture
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import json_of

# in the words of `weights.Weights`
STREAMED: dict[str, Architecture] = {"topk": "topk", "jumprelu": "jumprelu", "standard": "relu"}
BATCH = ("batchtopk", "matryoshka_batchtopk")  # of training; for inference they are JumpReLU
DENSE = ("gated", "abstopk", "matching_pursuit", *BATCH)
SCALED = ("topk", "abstopk", *BATCH)  # know `rescale_acts_by_decoder_norm`
PER_ROW = ("layer_norm", "constant_norm_rescale")
FACTOR, WHITENING = "expected_average_only_in", "covariance_whitening"  # one scale for all rows
TANH = "tanh-relu"


@dataclass(frozen=True)
class Config:
    """What an SAE of sae-lens computes, in the same words for every version.

    Attributes:
        architecture: in the words of sae-lens 6.
        tanh: values are the tanh of what ReLU, JumpReLU or the gate keep.
        normalisation: what is done to each row before it enters, and undone in Sae(x).
        subtract_b_dec: b_dec leaves the input.
        norm_in_values: values count in units of the norms of the decoder's rows.
        finetuned: whether the weights have a factor of each latent's value; None: the file does not say.
        hook: the hookpoint in the words of the file.
    """

    where: str
    architecture: str
    d_in: int
    d_sae: int
    k: int | None
    tanh: bool
    normalisation: str
    subtract_b_dec: bool
    norm_in_values: bool
    finetuned: bool | None
    hook: str | None

    @property
    def streamed(self) -> bool:
        """Whether blocks of weights and codes give Sae(x); else only sae-lens's own object does."""
        return self.architecture in STREAMED and self.normalisation in ("none", FACTOR)

    @property
    def named(self) -> str:
        """The architecture in the words of this repository."""
        return STREAMED.get(self.architecture, self.architecture)


def read_config(path: Path, changed: Mapping[str, Any] | None = None) -> Config:
    """Read a cfg.json, and refuse what nobody here does.

    Args:
        changed: what sae-lens's registry corrects in the file.

    Raises:
        ArtifactError: names the key that asks for what nobody here does.
    """
    where = str(path)
    facts = {**json_of(path), **(changed or {})}
    metadata = facts.get("metadata") or {}
    old = is_old(facts.get("sae_lens_version") or metadata.get("sae_lens_version"), where)
    refuse_others(facts.get("architecture", "standard" if old else None), {**facts, **metadata}, where)
    check_options(facts, OPTIONS, where)
    architecture, k, tanh = activation(facts, old, where)
    scaled = bool(facts.get("rescale_acts_by_decoder_norm", False))
    if scaled and architecture not in SCALED:
        raise ArtifactError(
            f"{where}: `rescale_acts_by_decoder_norm` is true, which sae-lens does for TopK alone, not for "
            f"{architecture}. If its decoder has unit norms, set the key to false in a copy"
        )
    return Config(
        where,
        architecture,
        facts["d_in"],
        facts["d_sae"],
        k,
        tanh,
        normalisation(facts.get("normalize_activations"), where),
        bool(facts.get("apply_b_dec_to_input", True)),
        scaled,
        facts.get("finetuning_scaling_factor"),
        metadata.get("hook_name") or facts.get("hook_name") or facts.get("hook_point"),
    )


def is_old(version: Any, where: str) -> bool:
    """Whether a file is of a version before 6, as sae-lens takes one that names none."""
    if not version:
        return True
    major = re.match(r"\d+", str(version))
    if major is None:
        raise ArtifactError(f"{where}: `sae_lens_version` is {version!r}, which says no version")
    return int(major[0]) < 6


def refuse_others(architecture: str | None, facts: Mapping[str, Any], where: str) -> None:
    """Refuse what is no SAE of one row of activations by itself."""
    outputs = {
        "hook_name_out": facts.get("hook_name") or facts.get("hook_point"),
        "out_hook_point": facts.get("hook_name") or facts.get("hook_point"),
        "hf_hook_name_out": facts.get("hf_hook_name"),
        "hook_layer_out": facts.get("hook_layer", facts.get("hook_point_layer")),
        "out_hook_point_layer": facts.get("hook_point_layer", facts.get("hook_layer")),
        "hook_head_index_out": facts.get("hook_head_index", facts.get("hook_point_head_index")),
        "d_out": facts.get("d_in"),
    }
    apart = [f"`{name}` is {facts[name]!r}" for name, own in outputs.items() if facts.get(name) not in (None, "", own)]
    if facts.get("is_transcoder"):
        apart.append("`is_transcoder` is set")
    if "transcoder" in str(architecture):
        apart.append(f"architecture {architecture!r}")
    if apart:
        raise ArtifactError(f"{where}: {apart[0]}: {TRANSCODER}")
    if architecture == "temporal":
        raise ArtifactError(f"{where}: architecture 'temporal': {REFUSED_LOADERS['temporal']}")
    if architecture not in (*STREAMED, *DENSE):
        raise ArtifactError(f"{where}: architecture {architecture!r} is none of {', '.join((*STREAMED, *DENSE))}")


def activation(facts: Mapping[str, Any], old: bool, where: str) -> tuple[str, int | None, bool]:
    """(architecture, k, whether tanh follows), from the architecture and the activation function of older files."""
    architecture = facts.get("architecture", "standard")
    named = {facts[key] for key in ("activation_fn", "activation_fn_str") if facts.get(key)}
    function = named.pop() if named else "topk" if architecture in SCALED else "relu"
    own = (facts.get("activation_fn_kwargs") or {}).get("k")
    if function == "topk" and old and architecture == "standard":
        architecture = "topk"
    fits = {
        "relu": architecture not in SCALED,
        "topk": architecture in SCALED,
        TANH: old and architecture in ("standard", "jumprelu", "gated"),
    }
    if named or not fits.get(function):
        words = " and ".join(repr(word) for word in sorted({function, *named}))
        raise ArtifactError(
            f"{where}: `activation_fn` is {words} and architecture {architecture!r} in a file of sae-lens "
            f"{'before version 6' if old else '6'}, which goes with no SAE known here: topk goes with topk, relu with "
            f"all others, {TANH} before version 6 with standard, jumprelu and gated"
        )
    if architecture not in ("topk", "abstopk"):
        return architecture, None, function == TANH
    k = facts.get("k") if own is None else own
    if not isinstance(k, int):
        raise ArtifactError(f"{where}: `k` of TopK is {k!r}, no whole number. Add the right one to a copy")
    if facts.get("k", k) != k:
        raise ArtifactError(f"{where}: `k` is {facts['k']}, `activation_fn_kwargs.k` {k}: which one holds is unclear")
    return architecture, k, False


def normalisation(value: Any, where: str) -> str:
    """The word of today for `normalize_activations`, which was once true or false."""
    word = {None: "none", False: "none", True: FACTOR}.get(value, value)
    known = ("none", FACTOR, *PER_ROW, WHITENING)
    if word not in known:
        raise ArtifactError(f"{where}: `normalize_activations` is {value!r}, none of {', '.join(known)}")
    return word


def check_factor(factor: float | None, config: Config) -> float:
    """The factor that a normalised SAE's activations were multiplied by.

    Raises:
        ArtifactError: nobody knows it, or it is none; says what to do.
    """
    if factor is None:
        raise ArtifactError(
            f"{config.where}: it was trained on activations times one factor (normalize_activations: {FACTOR}), which "
            "neither cfg.json nor sae-lens's registry has. Put activation_scaler.json of its training checkpoint "
            'beside it, or write one, {"scaling_factor": F} with F = √d_model / the mean norm of the activations that '
            "it was trained on"
        )
    if not (math.isfinite(factor) and factor > 0):
        raise ArtifactError(f"{config.where}: the factor of its activations is {factor}, no positive number")
    return factor
