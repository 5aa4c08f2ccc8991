"""Transcoders: T(x) is to equal another activation than x, so that they are opened where that one is given too.

Read are sae-lens's own format (transcoder, skip_transcoder, jumprelu_transcoder, jumprelu_skip_transcoder), Gemma
Scope's, Gemma Scope 2's with and without its affine connection, and the files of one layer of circuit-tracer's. Most
stay in their file like an SAE's.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.saes.codes import load_sae
from darkmatter.saes.published import hub
from darkmatter.saes.published.load import Pretrained, configuration
from darkmatter.saes.published.reference import FORMS, Reference, parse
from darkmatter.saes.published.streamed import StreamedSae
from darkmatter.saes.published.tensors import Tensors
from darkmatter.saes.published.weights import Weights, check_finite, check_shapes
from darkmatter.storage.artifacts import ArtifactError, sha256_file
from darkmatter.storage.text_files import json_of

SAE_LENS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
AFFINE = "affine_skip_connection"  # [d_in, d_out]
LAYER = re.compile(r"layer_\d+\.safetensors")
LAYOUTS: dict[str, tuple[str | None, str]] = {  # configuration, if there is one, and weights below a folder
    "sae-lens": ("cfg.json", "sae_weights.safetensors"),
    "gemma-scope-2": ("config.json", "params.safetensors"),
    "gemma-scope": (None, "params.npz"),
}
OPTIONAL = ("config.json",)  # of Gemma Scope 2 some have none
LOADERS = {
    None: "sae-lens",
    "sae_lens": "sae-lens",
    "gemma_2_transcoder": "gemma-scope",
    "gemma_3": "gemma-scope-2",
    "mwhanna_transcoder": "layer",
}
REFUSED = {
    "mntss_clt_layer_transcoder": "one layer of a cross-layer transcoder, whose output is a sum over the layers before "
    "it: alone it predicts no activation"
}
SUM = "each of its decoders adds to another layer, so that one layer's input alone predicts no activation"
NEVER_AFFINE = "says affine_connection {said}, but the weights have {there} " + AFFINE


class Transcoder(StreamedSae):
    """A transcoder whose weights stay in their file.

    Attributes:
        skip: what is added to T(x) is x skip, [d_model, d_out]; None without a skip connection.
    """

    def __init__(self, weights: Weights, where: str, skip: Float[Tensor, "d_model d_out"] | None) -> None:
        super().__init__(weights, where)
        self.skip = skip


def load_transcoder(reference: str | Path) -> Pretrained:
    """Find, check and open a transcoder; `sae` of the result has `encode`, `decode` and perhaps `skip` or `W_skip`.

    Args:
        reference: a local folder (or one layer's file, layer_N.safetensors), `release/id` of sae-lens's registry, or
            `org/repo:folder`, which may pin its revision.

    Raises:
        ArtifactError: not found, not readable, or no transcoder.
    """
    where = str(reference)
    if LAYER.fullmatch(Path(where).name) and Path(where).is_file():
        return opened("layer", None, Path(where), where, {"folder": where, "repo": None, "revision": None})
    wanted = parse(reference)
    if wanted.local:
        return opened(*local(wanted.local), where, {"folder": where, "repo": None, "revision": None})
    return remote(wanted, where)


def local(folder: Path) -> tuple[str, Path | None, Path]:
    """(layout, configuration, weights) of a folder."""
    for layout, (config, weights) in LAYOUTS.items():
        described = folder / config if config and (folder / config).is_file() else None
        if (folder / weights).is_file() and (described or config in (None, *OPTIONAL)):
            return layout, described, folder / weights
    known = ", ".join(" with ".join(filter(None, reversed(files))) for files in LAYOUTS.values())
    raise ArtifactError(f"{folder} holds no transcoder in a known layout ({known}), nor is it a layer_N.safetensors")


def remote(wanted: Reference, where: str) -> Pretrained:
    """A transcoder of a repository, at one revision."""
    listed = wanted.listed
    if listed and listed.loader in REFUSED:
        raise ArtifactError(f"{where}: {REFUSED[listed.loader]}")
    layout = LOADERS.get(listed.loader) if listed else guessed(wanted)
    if layout is None:
        raise ArtifactError(
            f"{where}: no reader of transcoders for it is here; there are {', '.join(LAYOUTS)}. {FORMS}"
        )
    if layout == "layer":
        weights, config = hub.fetch(wanted.repo, wanted.folder, wanted.revision), None
    else:
        beside, file = LAYOUTS[layout]
        weights = hub.fetch(wanted.repo, hub.needed(wanted.folder, file), wanted.revision)
        named = hub.inside(wanted.folder, beside) if beside else None
        config = hub.fetch_if_there(wanted.repo, named, weights.revision)
    revision = weights.revision
    source = {"folder": wanted.folder, "repo": wanted.repo, "revision": revision}
    return opened(layout, config.path if config else None, weights.path, where, source)


def guessed(wanted: Reference) -> str:
    """The layout of a folder that the registry does not list, by its repository's name."""
    if LAYER.fullmatch(PurePosixPath(wanted.folder).name):
        return "layer"
    for start, layout in (("google/gemma-scope-2-", "gemma-scope-2"), ("google/gemma-scope-", "gemma-scope")):
        if wanted.repo.startswith(start):
            return layout
    return "sae-lens"


def opened(layout: str, config: Path | None, weights: Path, where: str, source: dict[str, Any]) -> Pretrained:
    files = {path.name: path for path in (config, weights) if path is not None}
    source |= {"format": layout, "sha256": {name: sha256_file(path) for name, path in files.items()}}
    with configuration(where, config or weights, layout):
        if layout == "sae-lens":
            sae, architecture = of_sae_lens(weights.parent)
            shape = sae.cfg.d_in, sae.cfg.d_sae
        else:
            sae = READERS[layout](config, weights, where)
            architecture, shape = sae.weights.architecture, (sae.d_model, sae.d_sae)
    return Pretrained(sae, architecture, *shape, None, None, source, files)


def of_sae_lens(folder: Path) -> tuple[Any, str]:
    """sae-lens's own object; its `decode` leaves a skip connection out, which `W_skip` then gives."""
    config = json_of(folder / "cfg.json")
    architecture = config.get("architecture")
    if architecture not in SAE_LENS:
        raise ArtifactError(f"{folder}: architecture {architecture!r} is no transcoder's ({', '.join(SAE_LENS)})")
    return load_sae(folder, architecture, config["d_sae"], config["d_in"]), architecture


def of_gemma_scope(config: Path | None, weights: Path, where: str) -> Transcoder:
    """params.npz: JumpReLU, W_enc [d_in, latent], W_dec [latent, d_out]."""
    return jumprelu(Tensors.of_npz(weights), "W_enc", "W_dec", where, None)


def of_gemma_scope_2(config: Path | None, weights: Path, where: str) -> Transcoder:
    """params.safetensors: the same in lower case, perhaps with `affine_skip_connection`, beside config.json."""
    facts = json_of(config) if config else {}
    kind, tensors = facts.get("type"), Tensors.of_safetensors(weights)
    if kind in ("clt", "crosscoder"):
        raise ArtifactError(f"{where}: `type` is {kind}: {SUM}")
    if kind not in (None, "transcoder"):
        raise ArtifactError(f"{where}: `type` is {kind!r}, no transcoder; an SAE is decomposed without --targets")
    if config and facts["architecture"] not in ("jump_relu", "jumprelu"):
        raise ArtifactError(f"{where}: `architecture` is {facts['architecture']!r}, only JumpReLU is read")
    said, there = bool(facts.get("affine_connection", False)), AFFINE in tensors.arrays
    if config and said != there:
        raise ArtifactError(f"{where}: config.json " + NEVER_AFFINE.format(said=said, there="an" if there else "no"))
    return jumprelu(tensors, "w_enc", "w_dec", where, AFFINE if there else None, facts.get("width"))


def of_layer(config: Path | None, weights: Path, where: str) -> Transcoder:
    """layer_N.safetensors, as circuit-tracer's transcoders are published: ReLU, W_enc [latent, d_in]."""
    tensors = Tensors.of_safetensors(weights)
    result = Weights(
        "relu",
        tensors.matrix("W_enc", latents_first=True),
        tensors.matrix("W_dec", latents_first=True),
        tensors.vector("b_enc"),
        tensors.vector("b_dec"),
    )
    return checked(result, tensors, {"W_enc", "W_dec"}, where, "W_skip" if "W_skip" in tensors.arrays else None)


def jumprelu(
    tensors: Tensors, W_enc: str, W_dec: str, where: str, skip: str | None, d_sae: int | None = None
) -> Transcoder:
    weights = Weights(
        "jumprelu",
        tensors.matrix(W_enc, latents_first=False),
        tensors.matrix(W_dec, latents_first=True),
        tensors.vector("b_enc"),
        tensors.vector("b_dec"),
        tensors.vector("threshold"),
    )
    return checked(weights, tensors, {W_enc, W_dec, "threshold"}, where, skip, d_sae)


def checked(
    weights: Weights, tensors: Tensors, used: set[str], where: str, skip: str | None, d_sae: int | None = None
) -> Transcoder:
    """The transcoder, once all its tensors are used, fit each other and are finite.

    Args:
        skip: tensor of the skip connection, [d_in, d_out] but for W_skip, which is [d_out, d_in].
    """
    tensors.refuse_others(used | {"b_enc", "b_dec"} | ({skip} if skip else set()))
    check_shapes(weights, where, d_sae)
    matrix = None
    if skip is not None:
        stored = tensors.matrix(skip, latents_first=True)
        matrix = torch.from_numpy(stored.block(0, stored.shape[0]))
        if matrix.shape != (weights.d_model, weights.d_model) or not matrix.isfinite().all():
            raise ArtifactError(
                f"{where}: {skip} is {list(matrix.shape)} or not finite, needed is {[weights.d_model] * 2}"
            )
        matrix = matrix.T.contiguous() if skip == "W_skip" else matrix
    result = Transcoder(weights, where, matrix)
    check_finite(weights, where, result.block)
    return result


READERS = {"gemma-scope": of_gemma_scope, "gemma-scope-2": of_gemma_scope_2, "layer": of_layer}
