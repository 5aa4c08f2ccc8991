"""Regressions whose answer is known, on real activations and on sparse orthogonal features (our controls).

A unit makes the rows of a control, runs them through the regression that every experiment uses, and writes the sums per
context, one file for each control; with the leverage of the held-out rows where an exact share is known.
`control_estimates` holds them against what is known.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from sympy import Rational
from torch import Tensor

from darkmatter.models.activation_files import open_activations
from darkmatter.models.outliers import kept_rows
from darkmatter.regression.context_sums import scalar_sums
from darkmatter.regression.held_out_regression import HeldOut, Rows, regress
from darkmatter.regression.least_squares import factorise
from darkmatter.regression.moments import CrossMomentsFitter, make_blocks
from darkmatter.regression.splits import ROW_SETS, SPLITS, Splits, draw_splits
from darkmatter.saes.reconstructions import open_reconstructions
from darkmatter.statistics.r2_estimates import of_targets
from darkmatter.storage.artifacts import ArtifactError, write_arrays
from darkmatter.theory.lemma_table import bernoulli_draw, poisson_draw, sparse_exponential_draw
from darkmatter.theory.norm_samples import Draw

FEATURES = ("bernoulli", "poisson", "exponential")


def on_activations(
    out: Path,
    control: str,
    shares: list[float],
    activations: str,
    codes: str,
    sae: str,
    contexts: int,
    seed: int,
    fit_share: float,
    folds: int,
    split_seed: int,
    eigen_cutoff: float,
    outlier_norm_ratio: float | None = None,
) -> None:
    """One control on the first contexts of a hookpoint (a unit of the controls stage).

    Args:
        control: one of CONTROLS, or `planted`.
        shares: of the planted errors' variance that are linear.
        activations: .npy, float32 [context, position, d_model].
        codes, sae: codes.npz and folder of the SAE.
        outlier_norm_ratio: as in `outliers.kept_rows`.

    Raises:
        ArtifactError: the SAE does not fit the activations.
    """
    everything = open_activations(Path(activations))
    x = np.array(everything[:contexts])
    kept = kept_rows(Path(activations), outlier_norm_ratio)[:contexts]
    splits = draw_splits(*x.shape[:2], fit_share, folds, split_seed, kept)
    if control != "planted":
        vectors = CONTROLS[control](sae_errors(x, codes, sae, len(everything)), kept, seed)

        def rows(context: int) -> tuple[Tensor, Tensor]:
            return torch.from_numpy(x[context]), with_norm(vectors(context))

        result = regress(rows, splits, eigen_cutoff, torch.float32)
        write_arrays(out / f"{control}.npz", result.sums | ranks(result))
        return
    vectors = planted(x, kept, shares, seed)

    def planted_rows(context: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(x[context]), vectors(context)

    result = regress(planted_rows, splits, eigen_cutoff, torch.float32)
    shared = ranks(result) | {"leverage": leverages(planted_rows, splits, eigen_cutoff)}
    for number, share in enumerate(shares):
        own = of_targets(result.sums, slice(number * x.shape[2], (number + 1) * x.shape[2]))
        write_arrays(out / f"planted-{share:g}.npz", own | shared)


def ranks(held_out: HeldOut) -> dict[str, np.ndarray]:
    return {f"rank/{name}": np.array(rank) for name, rank in held_out.rank.items()}


def on_features(
    out: Path,
    weights: str,
    features: int,
    probability: float,
    contexts: int,
    positions: int,
    seed: int,
    fit_share: float,
    folds: int,
    split_seed: int,
    eigen_cutoff: float,
) -> None:
    """The norm test on x = Σ w_i y_i with orthonormal y_i and independent sparse weights (a unit of the stage).

    Args:
        weights: one of FEATURES.
    """
    rotation = np.linalg.qr(np.random.default_rng([seed, features]).standard_normal((features, features)))[0]
    draw = feature_draw(weights, features, probability)

    def rows(context: int) -> tuple[Tensor, Tensor]:
        w = draw(np.random.default_rng([seed, FEATURES.index(weights), context]), positions)
        x = torch.from_numpy(w @ rotation)
        return x, x.square().sum(1, keepdim=True)

    splits = draw_splits(contexts, positions, fit_share, folds, split_seed)
    result = regress(rows, splits, eigen_cutoff)
    leverage = {"leverage": leverages(rows, splits, eigen_cutoff)}
    write_arrays(out / f"features-{weights}.npz", result.sums | ranks(result) | leverage)


def feature_draw(weights: str, features: int, probability: float) -> Draw:
    """Weights of all features: of one distribution, but for the Bernoulli ones' scales between 1 and 2."""
    p = Rational(str(probability))
    match weights:
        case "bernoulli":
            return bernoulli_draw([1 + Rational(i, features) for i in range(features)], [p] * features)
        case "poisson":
            return poisson_draw([p] * features)
        case "exponential":
            return sparse_exponential_draw(p, features)
    raise ValueError(f"unknown weights {weights!r}; there are {FEATURES}")


Kept = Bool[np.ndarray, "context position"]  # rows that are no outliers
Vectors = Callable[[int], Float[Tensor, "position d_model"]]  # the error that stands for SaeError in one context


def sae_errors(x: np.ndarray, codes: str, sae: str, contexts: int) -> Float[Tensor, "context position d_model"]:
    """x − Sae(x), float32.

    Raises:
        ArtifactError: the SAE decodes to another d_model, or the codes are of other rows.
    """
    source = open_reconstructions(codes, sae, contexts, x.shape[1])
    if source.decoder.d_model != x.shape[2]:
        raise ArtifactError(f"{sae} decodes to {source.decoder.d_model} dimensions, the activations have {x.shape[2]}")
    return torch.stack([torch.from_numpy(x[context]) - source.context(context) for context in range(len(x))])


def real(errors: Float[Tensor, "context position d_model"], kept: Kept, seed: int) -> Vectors:
    return lambda context: errors[context]


def shuffled(errors: Float[Tensor, "context position d_model"], kept: Kept, seed: int) -> Vectors:
    """Each kept row gets the error of another kept row of any context: nothing is left to predict."""
    flat = errors.flatten(0, 1)
    rows = np.flatnonzero(kept)
    order = np.arange(len(flat))
    order[rows] = rows[np.random.default_rng(seed).permutation(len(rows))]
    order = torch.from_numpy(order).view(errors.shape[:2])
    return lambda context: flat[order[context]]


def random_direction(errors: Float[Tensor, "context position d_model"], kept: Kept, seed: int) -> Vectors:
    """The norm of each error in a uniformly random direction: as predictable in norm, and not at all as a vector."""

    def vectors(context: int) -> Tensor:
        normal = torch.from_numpy(np.random.default_rng([seed, context]).standard_normal(errors.shape[1:]))
        return normal * (errors[context].double().norm(dim=1) / normal.norm(dim=1))[:, None]

    return vectors


CONTROLS = {"error": real, "shuffled": shuffled, "random-direction": random_direction}


def planted(x: Float[np.ndarray, "context position d_model"], kept: Kept, shares: list[float], seed: int) -> Vectors:
    """√s · L + √(1 − s) · N for each share s: L a random linear map of x, N Gaussian noise, each of unit variance.

    The variance is that over the kept rows. The dimensions of all shares stand side by side; L and N are the same for
    all.
    """
    d_model = x.shape[-1]
    matrix = torch.from_numpy(np.random.default_rng([seed, d_model]).standard_normal((d_model, d_model)))
    mean = torch.from_numpy(x[kept].mean(0, dtype=np.float64))
    linear = [(torch.from_numpy(rows).double() - mean) @ matrix for rows in x]
    squares = [part[torch.from_numpy(rows)].square().sum(0) for part, rows in zip(linear, kept, strict=True)]
    scale = (sum(squares) / int(kept.sum())).sqrt()
    linear = [part / scale for part in linear]

    def vectors(context: int) -> Tensor:
        noise = torch.from_numpy(np.random.default_rng([seed, context]).standard_normal(x.shape[1:]))
        return torch.cat([share**0.5 * linear[context] + (1 - share) ** 0.5 * noise for share in shares], 1)

    return vectors


def with_norm(vectors: Float[Tensor, "position d_model"]) -> Float[Tensor, "position target"]:
    """The vector and, as one more target, its squared norm: Eqs. 11 and 10 in one regression."""
    vectors = vectors.double()
    return torch.cat([vectors, vectors.square().sum(1, keepdim=True)], 1)


def leverages(rows: Rows, splits: Splits, cutoff: float) -> Float[np.ndarray, "set context"]:
    """Σ h over each split's held-out rows, h = 1/n + (x − x̄)ᵀ S_xx⁺ (x − x̄) with n, x̄ and S_xx of its fit rows.

    The error of a prediction at x by a fit to noise of variance σ² has the variance σ² h.
    """
    x_shift = rows(0)[0][torch.from_numpy(splits.kept[0])].double().mean(0)
    fitter = CrossMomentsFitter(make_blocks(splits), len(x_shift), len(x_shift))
    for context in range(len(splits.fold)):
        x = rows(context)[0].double() - x_shift
        fitter.update(context, x, x)
    factors = {name: factorise(fitter.fit_set(name), cutoff) for name in SPLITS}
    h = {name: np.empty(splits.token_fit.shape) for name in SPLITS}
    for context in range(len(splits.fold)):
        x = rows(context)[0].double() - x_shift
        for name, factor in factors.items():
            h[name][context] = (1 / factor.rows + ((x - factor.mean_x) @ factor.root).square().sum(1)).numpy()
    row_sets = splits.row_sets().astype(np.float64)
    sums = [scalar_sums(row_sets[[number]], h[name])[0] for number, name in enumerate(ROW_SETS) if name in SPLITS]
    return np.stack(sums)
