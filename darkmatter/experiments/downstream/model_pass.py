"""One context on its way through the model: its residual, held against what is stored, and the loss after a splice.

Passes multiply as the model's manifest says (`runner.arithmetic`); everything else here does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from darkmatter.decomposition.shared_moments import FILE
from darkmatter.models.activation_files import open_activations
from darkmatter.models.extract import load_once
from darkmatter.models.splice import residual_at, spliced, spliced_loss
from darkmatter.runner.arithmetic import BFLOAT16, FLOAT32, arithmetic_of, products
from darkmatter.storage.artifacts import ArtifactError, open_array, read_arrays

# Of a row's norm: other CPUs and batches add in another order, and bfloat16 has two to three digits. Another model or
# text is far beyond it.
RESIDUAL_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}

Rows = Float[Tensor, "position d_model"]


@dataclass(frozen=True)
class ModelPass:
    """A context that can be spliced.

    Attributes:
        kept: the positions that take part: not outliers.
        residual_gap: largest relative distance of a row from the stored activation.
        residual: of the whole context at the hookpoint, [1, context_length, d_model].
        loss_of: Σ cross-entropy over the kept positions, in nats, of a residual in place of this one; by name.
    """

    kept: Bool[Tensor, " position"]
    residual_gap: float
    residual: Tensor
    first_position: int
    loss_of: Callable[[Tensor, str], np.ndarray]

    @classmethod
    def of(
        cls,
        model: str,
        tokens: str,
        hookpoint: str,
        first_position: int,
        context: int,
        activations: str,
        prepared: str,
        place: torch.device,
    ) -> "ModelPass":
        """Run a context up to the hookpoint.

        Args:
            model, tokens, context, prepared: as of `compute.splice_context`.

        Raises:
            ArtifactError: the residual is not the stored one.
        """
        language_model = load_once(Path(model), place)
        arithmetic = arithmetic_of(Path(model) / "manifest.json")
        texts = open_array(Path(tokens), (None, None), "int32")
        ids = torch.from_numpy(texts[context : context + 1].astype(np.int64)).to(place)
        with products(arithmetic):
            residual = residual_at(language_model, ids, hookpoint)
        stored = torch.from_numpy(np.array(open_activations(Path(activations))[context])).to(place)
        gap = residual_gap(residual[0, first_position:-1], stored, f"{activations}, context {context}", arithmetic)
        kept = torch.from_numpy(read_arrays(Path(prepared) / FILE)["kept"][context]).to(place)

        def loss_of(spliced_residual: Tensor, name: str) -> np.ndarray:
            with products(arithmetic):
                loss = spliced_loss(language_model, ids, hookpoint, spliced_residual, first_position)
            if not loss.isfinite().all():
                raise ArtifactError(f"context {context}, splice {name}: the model returned NaN or infinity")
            return loss.flatten()[kept].sum(dtype=torch.float64).cpu().numpy()

        return cls(kept, gap, residual, first_position, loss_of)

    def cross_entropy(self, rows: Rows, x: Rows, name: str) -> np.ndarray:
        """Σ cross-entropy over the kept positions with these rows in place of x there, nats.

        Args:
            name: of the splice, for the error.

        Raises:
            ArtifactError: it is not finite.
        """
        rows = torch.where(self.kept[:, None], rows, x)
        return self.loss_of(spliced(self.residual, rows[None], self.first_position), name)


def residual_gap(result: Rows, stored: Float[Tensor, "_ _"], where: str, arithmetic: str = FLOAT32) -> float:
    """Largest ‖result − stored‖ / ‖stored‖ of a row; 0 where the pass repeats to the last bit.

    Args:
        arithmetic: of the products of both passes.

    Raises:
        ArtifactError: it exceeds RESIDUAL_TOLERANCE, or the shapes differ.
    """
    fix = "Activations, tokens and model do not belong together: run `dvc repro -f activations`."
    if result.shape != stored.shape:
        raise ArtifactError(f"{where}: stored {list(stored.shape)}, the model gives {list(result.shape)}. {fix}")
    distance = (result.double() - stored.double()).norm(dim=1)
    gap = float((distance / stored.double().norm(dim=1).clamp(min=1e-300)).max())
    rounds = torch.bfloat16 if arithmetic == BFLOAT16 else result.dtype
    if not gap <= RESIDUAL_TOLERANCE[rounds]:
        raise ArtifactError(f"{where}: a row differs by {gap:.1e} of its norm from what the model gives now. {fix}")
    return gap
