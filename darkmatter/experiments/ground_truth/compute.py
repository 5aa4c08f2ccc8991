"""The parts of one SAE's error, their linear parts, and what pursuit makes of its codes: sums per context."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from darkmatter.experiments.ground_truth.names import OWN, PURSUIT, SUMS
from darkmatter.experiments.ground_truth.train import CODES, DECODER
from darkmatter.experiments.ground_truth.world import EVAL, TRUTH
from darkmatter.experiments.pursuit.algorithm import Dictionary, pursue
from darkmatter.models.activation_files import open_activations
from darkmatter.regression.held_out_regression import regress
from darkmatter.regression.splits import draw_splits
from darkmatter.storage.artifacts import read_arrays, write_arrays

FOLDS = 2  # no cross-fitting here
Codes = dict[str, np.ndarray]  # `index`, `value` [row, slot], `l0` [row]
Rows = Float[Tensor, "context position d_model"]


@dataclass(frozen=True)
class KnownRows:
    """What is known of held-out rows.

    Attributes:
        weights: w_j of each feature.
        directions: y_j, of unit norm.
    """

    x: Rows
    weights: Float[Tensor, "row feature"]
    dense: Rows
    directions: Float[Tensor, "feature d_model"]

    @classmethod
    def of(cls, world: Path) -> "KnownRows":
        x = torch.from_numpy(np.array(open_activations(world / EVAL))).double()
        arrays = {name: torch.from_numpy(array).double() for name, array in read_arrays(world / TRUTH).items()}
        return cls(x, arrays["weights"], arrays["dense"].view(x.shape), arrays["directions"])

    def absent(self, known: Bool[np.ndarray, " feature"]) -> Rows:
        """Σ (w_j − mean of w_j) y_j over the features that are not known."""
        missing = torch.from_numpy(~known)
        weights = self.weights[:, missing]
        return ((weights - weights.mean(0)) @ self.directions[missing]).view(self.x.shape)


def latents_of_features(
    W_dec: Float[np.ndarray, "latent d_model"], directions: Float[np.ndarray, "feature d_model"]
) -> tuple[Int[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """One latent for each feature and one feature for each latent, with the highest cosines in all.

    Returns (latent, cosine) of each feature; −1 and 0 where latents are too few.
    """
    cosines = directions @ W_dec.T
    feature, latent = linear_sum_assignment(cosines, maximize=True)
    latents, best = np.full(len(directions), -1), np.zeros(len(directions))
    latents[feature], best[feature] = latent, cosines[feature, latent]
    return latents, best


@torch.no_grad()
def measure(
    out: Path,
    world: str,
    trained: str,
    cosines: list[float],
    fit_share: float,
    split_seed: int,
    eigen_cutoff: float,
) -> None:
    """Write SUMS over the rows that are held out of the token split (a unit of the stage ground_truth).

    `rows` [context]; `products/ENCODER/COSINE` [context, pair], the pairs of `names.VECTORS` as `triangle` has them;
    `codes/ENCODER/…` [context], as `code_sums`; `known/COSINE`; `cosine` [feature]; `rank`; `latent_fired`.

    Args:
        world, trained: folders that `draw_world` and `train_synthetic` left.
        cosines: at which features count as known; that of codes is the first.
    """
    truth, arrays = KnownRows.of(Path(world)), read_arrays(Path(trained) / DECODER)
    W_dec, b_dec = torch.from_numpy(arrays["W_dec"]), torch.from_numpy(arrays["b_dec"])
    codes = {OWN: read_arrays(Path(trained) / CODES)}
    codes[PURSUIT] = pursued(truth, codes[OWN], W_dec, b_dec)
    errors = {name: truth.x - rebuilt(own, W_dec, b_dec).view(truth.x.shape) for name, own in codes.items()}
    latents, best = latents_of_features(arrays["W_dec"].astype(np.float64), truth.directions.numpy())
    absent = {cosine: truth.absent(best >= cosine) for cosine in cosines}

    targets = torch.cat([truth.dense, *errors.values(), *absent.values()], -1)
    splits = draw_splits(*truth.x.shape[:2], fit_share, FOLDS, split_seed)
    result = regress(lambda context: (truth.x[context], targets[context]), splits, eigen_cutoff)
    fitted = result.maps["token"]
    predicted = (truth.x @ fitted.weight + fitted.b_0).split(truth.x.shape[-1], -1)
    dense_linear, linear = predicted[0], dict(zip([*errors, *absent], predicted[1:], strict=True))

    held_out = torch.from_numpy(~splits.token_fit)
    sums = {"rows": held_out.sum(1).double().numpy()}
    centred = truth.x - truth.x.mean((0, 1))
    for encoder, error in errors.items():
        for cosine, missing in absent.items() if encoder == OWN else [(cosines[0], absent[cosines[0]])]:
            introduced = error - missing - truth.dense
            parts = [linear[cosine], dense_linear, linear[encoder] - linear[cosine] - dense_linear]
            vectors = [centred, missing, truth.dense, introduced, *parts]
            sums[f"products/{encoder}/{cosine:g}"] = triangle(vectors, held_out)
        counted = code_sums(codes[encoder], truth, latents, best >= cosines[0], held_out)
        sums |= {f"codes/{encoder}/{name}": column for name, column in counted.items()}
    sums |= {f"known/{cosine:g}": np.array((best >= cosine).sum()) for cosine in cosines}
    fired = np.unique(codes[OWN]["index"][codes[OWN]["value"] != 0])
    sums |= {"cosine": best, "rank": np.array(fitted.rank), "latent_fired": np.array([len(fired), len(W_dec)])}
    write_arrays(out / SUMS, sums)


def pursued(truth: KnownRows, own: Codes, W_dec: Tensor, b_dec: Tensor) -> Codes:
    """Codes of gradient pursuit, with as many latents on each row as the SAE has."""
    signal = truth.x.flatten(0, 1).float() - b_dec
    l0 = torch.from_numpy(own["l0"].astype(np.int64))
    return pursue(signal, l0, Dictionary.of(W_dec), own["index"].shape[1])["exact_l0"]


def rebuilt(codes: Codes, W_dec: Tensor, b_dec: Tensor) -> Float[Tensor, "row d_model"]:
    """Sae(x), float64."""
    index, value = torch.from_numpy(codes["index"].astype(np.int64)), torch.from_numpy(codes["value"])
    return Dictionary(W_dec.double(), None).combine(index, value.double()) + b_dec.double()


def triangle(vectors: list[Rows], scored: Bool[Tensor, "context position"]) -> Float[np.ndarray, "context pair"]:
    """Σ u·v over the scored rows of each context, for the pairs of vectors above and on the diagonal."""
    above = np.triu_indices(len(vectors))
    sums = np.empty((len(scored), len(above[0])))
    for context, rows in enumerate(scored):
        stacked = torch.stack([vector[context][rows].flatten() for vector in vectors])
        sums[context] = (stacked @ stacked.T).numpy()[above]
    return sums


def code_sums(
    codes: Codes,
    truth: KnownRows,
    latents: Int[np.ndarray, " feature"],
    known: Bool[np.ndarray, " feature"],
    held_out: Bool[Tensor, "context position"],
) -> dict[str, np.ndarray]:
    """How codes compare with the weights of features, summed over the rows of each context.

    `latents`, `features`: that fire. `found`: pairs of a feature and its latent that both fire. `square`: Σ w² over
    the known features, `error`: Σ (code − w)² over them.
    """
    rows = len(codes["index"])
    columns = int(max(codes["index"].max(initial=0), latents.max())) + 1
    place = codes["index"] + columns * np.arange(rows)[:, None]
    dense = np.bincount(place.ravel(), codes["value"].ravel(), minlength=rows * columns).reshape(rows, columns)
    own, weights = dense[:, latents[known]], truth.weights.numpy()[:, known]
    counts = {
        "latents": codes["l0"].astype(np.float64),
        "features": truth.weights.count_nonzero(1).double().numpy(),
        "found": ((own > 0) & (weights > 0)).sum(1).astype(np.float64),
        "square": (weights**2).sum(1),
        "error": ((own - weights) ** 2).sum(1),
    }
    scored = held_out.numpy()
    return {name: (column.reshape(scored.shape) * scored).sum(1) for name, column in counts.items()}
