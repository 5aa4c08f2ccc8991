"""An SAE of any published format in one notation: what it computes, with the weights left in their file."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from darkmatter.saes.published.matrices import Matrix
from darkmatter.storage.artifacts import ArtifactError

Architecture = Literal["jumprelu", "topk", "relu"]


@dataclass(frozen=True)
class Weights:
    """pre = (x − s·b_dec) W_encᵀ + b_enc with s = `subtract_b_dec`; latents = σ(pre); Sae(x) = latents W_dec + b_dec.

    σ keeps what exceeds both 0 and `threshold` (JumpReLU; ReLU has none), or the `k` largest and of these the positive
    ones (TopK). With `norm_in_values` σ acts on pre · ‖W_dec‖ of each latent, and W_dec counts at unit norm. With
    `tanh` latents are tanh(σ(pre)). With `gains` row i of W_dec counts gains[i] times. Next to a threshold `k` is what
    L0 should be (BatchTopK).
    """

    architecture: Architecture
    W_enc: Matrix
    W_dec: Matrix
    b_enc: Float[np.ndarray, " latent"]
    b_dec: Float[np.ndarray, " d_model"]
    threshold: Float[np.ndarray, " _"] | None = None  # as long as there are latents: `check_shapes`
    k: int | None = None
    subtract_b_dec: bool = False
    norm_in_values: bool = False
    tanh: bool = False
    gains: Float[np.ndarray, " latent"] | None = None

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[1]


Read = tuple[Weights, str | None]  # the weights, and the hookpoint in the words of their configuration


def check_shapes(weights: Weights, where: str, d_sae: int | None = None, d_model: int | None = None) -> None:
    """Refuse weights that contradict each other, or the width and d_model that their description names.

    Raises:
        ArtifactError: says which tensor, what it has and what was expected.
    """
    latents, width = d_sae or weights.d_sae, d_model or weights.d_model
    expected = {
        "W_enc": (weights.W_enc.shape, (latents, width)),
        "W_dec": (weights.W_dec.shape, (latents, width)),
        "b_enc": (weights.b_enc.shape, (latents,)),
        "b_dec": (weights.b_dec.shape, (width,)),
    }
    for name in ("threshold", "gains"):
        if (values := getattr(weights, name)) is not None:
            expected[name] = (values.shape, (latents,))
    for name, (result, wanted) in expected.items():
        if result == wanted:
            continue
        hint = ", so it is stored transposed" if result == wanted[::-1] else ""
        raise ArtifactError(
            f"{where}: {name} has latents × d_model {list(result)}, expected {list(wanted)}{hint}. The file is of "
            "another SAE or format than its name says; check the reference, or name the format: "
            "load_pretrained(…, format=…)."
        )
    if (weights.architecture == "jumprelu") != (weights.threshold is not None):
        raise ArtifactError(
            f"{where}: {weights.architecture} {'with' if weights.threshold is not None else 'without'} thresholds"
        )
    if weights.architecture == "topk" and not 1 <= (weights.k or 0) <= weights.d_sae:
        raise ArtifactError(f"{where}: TopK with k = {weights.k} of {weights.d_sae} latents")


def check_finite(weights: Weights, where: str, block: int) -> None:
    """Refuse NaN and infinity anywhere, reading the file once in blocks of `block` latents."""
    for name in ("b_enc", "b_dec", "threshold", "gains"):
        values = getattr(weights, name)
        if values is not None and not np.isfinite(values).all():
            raise ArtifactError(f"{where}: {name} holds NaN or infinity. The file is damaged: download it again.")
    for name in ("W_enc", "W_dec"):
        matrix: Matrix = getattr(weights, name)
        for start in range(0, weights.d_sae, block):
            if not np.isfinite(matrix.block(start, start + block)).all():
                raise ArtifactError(
                    f"{where}: {name} holds NaN or infinity among latents {start} to {start + block - 1}. The file is "
                    "damaged: download it again."
                )
