"""Reduced-rank regression from moments: the best map of rank r is the full one, projected on r directions.

Let X and E have the rows x − x̄ and e − ē. Of all maps B of rank r, ‖E − XB‖² is least at B = W V_r V_rᵀ, with W the
least-squares map and V_r the first r principal directions of the fitted values XW: residuals of least squares are
orthogonal to every linear function of x, so that

    ‖E − XB‖² = ‖E − XW‖² + ‖X(W − B)‖²,

and the best approximation of XW by a matrix of rank r is XW V_r V_rᵀ (Eckart and Young 1936), which is a function of X.
Izenman 1975 has the theorem with any weighting of the targets, Reinsel and Velu 1998 (ch. 2) this case, all weighted
alike. One eigen-decomposition gives the maps of all ranks, each of them the first directions of the next.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.regression.least_squares import Factor, LinearMap


@dataclass(frozen=True)
class Directions:
    """A map e ≈ ē + (x − x̄)W with the principal directions of what it fits.

    Attributes:
        basis: V, one direction per column, the strongest first.
        weight: W V, so that (x − x̄)W V has the fitted values in coordinates of V.
        mean_x: x̄ of the fitted rows, relative to the shift of x.
        mean_e: ē of the fitted rows.
    """

    basis: Float[Tensor, "d_model direction"]
    weight: Float[Tensor, "d_model direction"]
    mean_x: Float[Tensor, " d_model"]
    mean_e: Float[Tensor, " d_model"]

    def truncated(self, rank: int) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, " d_model"]]:
        """Weight and intercept of the best map of this rank, for shifted x."""
        weight = self.weight[:, :rank] @ self.basis[:, :rank].T
        return weight, self.mean_e - self.mean_x @ weight


def directions_of(linear_map: LinearMap, factor: Factor) -> Directions:
    """The principal directions of the values that a map fits, over the rows it was fitted on.

    S_xx⁺ = root rootᵀ and W = root A with A = rootᵀ S_xe, so that the fitted values have the moments Wᵀ S_xx W = AᵀA.
    """
    fitted = unscaled(factor) @ linear_map.weight
    basis = strongest_first(fitted.T @ fitted)
    return Directions(
        basis=basis,
        weight=linear_map.weight @ basis,
        mean_x=factor.mean_x,
        mean_e=linear_map.intercept + factor.mean_x @ linear_map.weight,
    )


def components_of(factor: Factor, count: int) -> Float[Tensor, "d_model component"]:
    """The first principal components of x over the rows of a fit set, one per column."""
    half = unscaled(factor)
    return strongest_first(half.T @ half)[:, :count]


def unscaled(factor: Factor) -> Float[Tensor, "rank d_model"]:
    """P with PᵀP = S_xx, where S_xx⁺ = root rootᵀ has an inverse: R⁻¹Qᵀ of root = QR, so that P root = 1."""
    q, r = torch.linalg.qr(factor.root)
    return torch.linalg.solve_triangular(r, q.T, upper=True)


def strongest_first(moments: Float[Tensor, "d_model d_model"]) -> Float[Tensor, "d_model direction"]:
    """The principal directions of symmetric moments, one per column."""
    return torch.linalg.eigh((moments + moments.T) / 2).eigenvectors.flip(1)


def span(vectors: Float[Tensor, "vector d_model"]) -> Float[Tensor, "d_model dimension"]:
    """An orthonormal basis of what some vectors span; null vectors and copies add no dimension."""
    left, singular, _ = torch.linalg.svd(vectors.T, full_matrices=False)
    smallest = max(vectors.shape) * torch.finfo(vectors.dtype).eps * singular.max() if len(singular) else 0.0
    return left[:, singular > smallest]


def cosines(
    one: Float[Tensor, "d_model dimension"], other: Float[Tensor, "d_model other_dimension"]
) -> Float[Tensor, " angle"]:
    """Cosines of the principal angles between two subspaces with orthonormal bases, largest first."""
    return torch.linalg.svdvals(one.T @ other).clamp(max=1.0)
