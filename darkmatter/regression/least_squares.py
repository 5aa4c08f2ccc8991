"""Least squares from moments: one factorisation of S_xx per fit set serves every target and every SAE."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.regression.moments import CrossMoments
from darkmatter.storage.artifacts import ArtifactError

# Above this condition number of the correlation matrix, float32 products lose digits that R² would show.
SINGLE_PRECISION_CONDITION = 1e7


@dataclass(frozen=True)
class Factor:
    """The pseudo-inverse of S_xx over one fit set, as a factor: S_xx⁺ = root @ rootᵀ.

    Attributes:
        rows: rows of the fit set.
        mean_x: mean activation, relative to the shift of the moments.
        root: [d_model, rank], float64.
        rank: directions fitted; eigenvalues of the correlation matrix above the cutoff.
        condition_number: largest over smallest fitted eigenvalue of the correlation matrix.
    """

    rows: int
    mean_x: Float[Tensor, " d_model"]
    root: Float[Tensor, "d_model rank"]
    rank: int
    condition_number: float

    def solve(self, s_xt: Float[Tensor, "d_model target"]) -> Float[Tensor, "d_model target"]:
        """The least-squares coefficients S_xx⁺ S_xt."""
        return self.root @ (self.root.T @ s_xt)


def factorise(moments: CrossMoments, cutoff: float) -> Factor:
    """Factor S_xx (the moments of x with itself) by an eigen-decomposition of its correlation matrix.

    Scaling to unit variance first makes the cutoff mean the same in a dimension of variance 10⁶ and one of
    10⁻⁶. Directions whose eigenvalue is below `cutoff` times the largest are not fitted: an exact null
    direction (LayerNorm leaves one) has no coefficient to find.

    Raises:
        ArtifactError: no more rows than dimensions.
    """
    d_model = moments.s_xt.shape[0]
    if moments.rows <= d_model + 1:
        raise ArtifactError(
            f"a regression on {d_model} dimensions with intercept needs more than {d_model + 1} rows, this fit set "
            f"has {moments.rows}; raise tokens.eval_contexts"
        )
    scale = moments.s_xt.diagonal().clamp(min=0).sqrt()
    inverse = torch.where(scale > 0, 1 / scale, torch.zeros_like(scale))
    correlation = inverse[:, None] * moments.s_xt * inverse[None, :]
    values, vectors = torch.linalg.eigh((correlation + correlation.T) / 2)
    kept = values > cutoff * values[-1]
    root = inverse[:, None] * vectors[:, kept] / values[kept].sqrt()
    return Factor(moments.rows, moments.mean_x, root, int(kept.sum()), float(values[-1] / values[kept][0]))


@dataclass(frozen=True)
class LinearMap:
    """A fitted map from x̃ = x − x_shift to t, with its variant through the origin of x.

    With intercept: t ≈ x̃ weight + intercept. Without (the published code): t ≈ x weight_0. By the
    Sherman–Morrison formula weight_0 differs from weight by a matrix of rank one, so that

        x weight_0 = x weight + α(x) b_0,    b_0 = t̄ − x̄ weight,    α(x) = x · origin,

    and one matrix product serves both conventions.
    """

    weight: Float[Tensor, "d_model target"]
    intercept: Float[Tensor, " target"]
    b_0: Float[Tensor, " target"]
    origin: Float[Tensor, " d_model"]
    origin_at_shift: float
    rank: int
    rows: int

    def excess(self, x: Float[Tensor, "row d_model"]) -> Float[Tensor, " row"]:
        """α(x) − 1 for shifted x: prediction through the origin = prediction with intercept + excess · b_0."""
        return x @ self.origin.to(x.dtype) + (self.origin_at_shift - 1.0)


def fit(
    factor: Factor, moments: CrossMoments, x_shift: Float[Tensor, " d_model"], t_shift: Float[Tensor, " target"]
) -> LinearMap:
    """Least squares of t on x over the rows of a fit set (Eqs. 10 and 11); the shifts are those of the moments."""
    weight = factor.solve(moments.s_xt)
    mean_x = factor.mean_x + x_shift
    b_0 = moments.mean_t + t_shift - mean_x @ weight
    direction = factor.solve(mean_x[:, None])[:, 0]
    origin = factor.rows * direction / (1 + factor.rows * (mean_x @ direction))
    return LinearMap(
        weight=weight,
        intercept=moments.mean_t + t_shift - factor.mean_x @ weight,
        b_0=b_0,
        origin=origin,
        origin_at_shift=float(x_shift @ origin),
        rank=factor.rank,
        rows=factor.rows,
    )
