"""The noise grid of appendix C.3 from moments: no cell of it is fitted by a regression of its own.

With x' the ground truth, P_f its reconstruction without a share f of the latents, A and R standard normal:

    x_n = x' + σ_x A          stands for the activation, A for Dense(x')
    s   = P_f + σ_s R         stands for Sae(x'), R for Introduced(x')
    e   = x_n − s = E_f − σ_s R,    E_f = x' − P_f + σ_x A

Least squares is linear in its target: b* = B_f − σ_s N with the maps B_f of E_f and N of R on x_n. What they leave is
r_f − σ_s r_R, so that any sum of its squares is a quadratic in σ_s, and its three coefficients are quadratic forms of
the maps in the moments of (x', A, R, P_f) over whichever rows are scored, fitted on or held out. A is a target like
E_f: what the best map of x_n leaves of it says whether any linear map finds Dense.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.regression.least_squares import factorise
from darkmatter.regression.moments import Blocks, CrossMoments, CrossMomentsFitter
from darkmatter.regression.splits import Splits

# Variant → (rows that fit, rows that are scored).
VARIANTS = {
    "token": ("token", "token/held-out"),
    "context": ("context", "context/held-out"),
    "in_sample": ("all", "all"),
}


def make_row_blocks(splits: Splits, group: int = 1) -> Blocks:
    """Rows by their side of both splits, outliers apart, and the row sets of VARIANTS as unions of the first four.

    Args:
        group: contexts that the fitters take together, a divisor of their number: they then count as one, since no
            number here is resampled over contexts.
    """
    members = np.where(splits.kept, 2 * splits.token_fit.astype(np.int64) + splits.context_fit[:, None], 4)
    members = members.reshape(len(members) // group, -1)
    chosen = {"token": [2, 3], "token/held-out": [0, 1], "context": [1, 3], "context/held-out": [0, 2]}
    present = np.unique(members)
    fit_sets = {name: np.intersect1d(blocks, present) for name, blocks in chosen.items()}
    return Blocks(members, fit_sets | {"all": present[present < 4]})


class ProductSums:
    """Accumulates Σ a∘b of each block, for products of which only one dimension with itself is needed."""

    def __init__(self, blocks: Blocks, dims: int) -> None:
        self.blocks = blocks
        self.sums = torch.zeros(blocks.count, dims, dtype=torch.float64)

    def update(self, group: int, products: Float[Tensor, "row dim"]) -> None:
        for block, positions in self.blocks.rows_of(group):
            self.sums[block] += products[positions].sum(0)

    def over(self, name: str) -> Float[Tensor, " dim"]:
        return self.sums[torch.from_numpy(self.blocks.fit_sets[name])].sum(0)


class CleanMoments:
    """What has no noise in it: moments of x' with itself and with each P_f, and Σ P_f².

    All of x' and P_f is shifted by one vector, which leaves every error as it is.
    """

    def __init__(self, blocks: Blocks, d_model: int, shares: int) -> None:
        self.x = CrossMomentsFitter(blocks, d_model, (1 + shares) * d_model)
        self.p_square = ProductSums(blocks, shares * d_model)

    def update(self, group: int, x: Float[Tensor, "row d_model"], p: Float[Tensor, "row share d_model"]) -> None:
        p = p.flatten(1)
        self.x.update(group, x, torch.cat([x, p], 1))
        self.p_square.update(group, p.square())


class NoiseMoments:
    """Moments of the noise with itself, with x' and with each P_f."""

    def __init__(self, blocks: Blocks, d_model: int, shares: int) -> None:
        self.a = CrossMomentsFitter(blocks, d_model, (3 + shares) * d_model)  # A with A, x', R and each P_f
        self.x = CrossMomentsFitter(blocks, d_model, d_model)  # x' with R
        self.r_square = ProductSums(blocks, d_model)
        self.rp = ProductSums(blocks, shares * d_model)

    def update(
        self,
        group: int,
        x: Float[Tensor, "row d_model"],
        p: Float[Tensor, "row share d_model"],
        a: Float[Tensor, "row d_model"],
        r: Float[Tensor, "row d_model"],
    ) -> None:
        self.a.update(group, a, torch.cat([a, x, r, p.flatten(1)], 1))
        self.x.update(group, x, r)
        self.r_square.update(group, r.square())
        self.rp.update(group, (r[:, None] * p).flatten(1))


@dataclass(frozen=True)
class SetMoments:
    """Centred moments of everything over one set of rows; `p` has one leading entry for each ablated share."""

    rows: int
    mean_x: Float[Tensor, " d_model"]
    mean_a: Float[Tensor, " d_model"]
    mean_r: Float[Tensor, " d_model"]
    mean_p: Float[Tensor, "share d_model"]
    xx: Float[Tensor, "d_model d_model"]
    xa: Float[Tensor, "d_model d_model"]
    aa: Float[Tensor, "d_model d_model"]
    xr: Float[Tensor, "d_model d_model"]
    ar: Float[Tensor, "d_model d_model"]
    xp: Float[Tensor, "d_model share_x_d_model"]
    ap: Float[Tensor, "d_model share_x_d_model"]
    rr: Float[Tensor, " d_model"]
    rp: Float[Tensor, "share d_model"]
    pp: Float[Tensor, "share d_model"]

    @classmethod
    def of(cls, clean: CleanMoments, noise: NoiseMoments, name: str) -> "SetMoments":
        x, a, r = clean.x.fit_set(name), noise.a.fit_set(name), noise.x.fit_set(name)
        d, n = len(x.mean_x), x.rows
        mean_p = x.mean_t[d:].view(-1, d)
        aa, ax, ar, ap = a.s_xt.split([d, d, d, len(x.mean_t) - d], 1)
        return cls(
            rows=n,
            mean_x=x.mean_x,
            mean_a=a.mean_x,
            mean_r=r.mean_t,
            mean_p=mean_p,
            xx=x.s_xt[:, :d],
            xa=ax.T,
            aa=aa,
            xr=r.s_xt,
            ar=ar,
            xp=x.s_xt[:, d:],
            ap=ap,
            rr=noise.r_square.over(name) - n * r.mean_t.square(),
            rp=noise.rp.over(name).view(-1, d) - n * r.mean_t * mean_p,
            pp=clean.p_square.over(name).view(-1, d) - n * mean_p.square(),
        )

    def at(self, sigma: float) -> "Targets":
        """The moments of x_n = x' + σ_x A and of the targets E_f, A and R."""
        d = len(self.mean_x)
        s_xx = self.xx + sigma * (self.xa + self.xa.T) + sigma**2 * self.aa
        towards_p = self.xp + sigma * self.ap
        s_xr, s_xa = self.xr + sigma * self.ar, self.xa + sigma * self.aa
        shares = len(self.mean_p)
        own = towards_p.view(d, shares, d).diagonal(dim1=0, dim2=2)  # (share, d_model): x_n with P_f, same dimension
        mean_x = self.mean_x + sigma * self.mean_a
        return Targets(
            rows=self.rows,
            mean_x=mean_x,
            s_xx=s_xx,
            mean_t=torch.cat([mean_x - self.mean_p, self.mean_a[None], self.mean_r[None]]),
            s_xt=torch.cat([s_xx.repeat(1, shares) - towards_p, s_xa, s_xr], 1),
            square=torch.cat([s_xx.diagonal() - 2 * own + self.pp, self.aa.diagonal()[None], self.rr[None]]),
            with_r=torch.cat([s_xr.diagonal() - self.rp, self.ar.diagonal()[None], self.rr[None]]),
        )


@dataclass(frozen=True)
class Targets:
    """Centred moments over one set of rows at one σ_x; the targets are E_f for each share, then A, then R."""

    rows: int
    mean_x: Float[Tensor, " d_model"]
    s_xx: Float[Tensor, "d_model d_model"]
    mean_t: Float[Tensor, "target d_model"]
    s_xt: Float[Tensor, "d_model target_x_d_model"]
    square: Float[Tensor, "target d_model"]
    with_r: Float[Tensor, "target d_model"]

    def raw(self) -> Float[Tensor, "3 share_and_a d_model"]:
        """Σ of E_f², E_f R and R² about zero: the coefficients of Σ e² = c_0 − 2 σ_s c_1 + σ_s² c_2; of A alike."""
        return coefficients(
            self.square + self.rows * self.mean_t.square(), self.with_r + self.rows * self.mean_t * self.mean_t[-1]
        )

    def centred(self) -> Float[Tensor, "3 share_and_a d_model"]:
        """The same about the mean."""
        return coefficients(self.square, self.with_r)

    def left(self, fitted: "Targets", weight: Float[Tensor, "d_model target_x_d_model"]):
        """The same coefficients for what the maps leave on these rows, [3, shares and A, d_model].

        Args:
            fitted: the moments of the rows that the maps were fitted on, whose means are their intercepts.
            weight: coefficients of every target.
        """
        d = len(self.mean_x)
        of = lambda product: product.view(d, -1, d).sum(0)  # noqa: E731 - (target, d_model)
        through = self.s_xx @ weight
        gap = self.mean_t - fitted.mean_t - ((self.mean_x - fitted.mean_x) @ weight).view(-1, d)
        square = self.square - 2 * of(weight * self.s_xt) + of(weight * through) + self.rows * gap.square()
        noise, s_xr, through_r = weight[:, -d:], self.s_xt[:, -d:], through[:, -d:]
        targets = self.mean_t.shape[0]
        one = of(weight * s_xr.repeat(1, targets))
        other = of(noise.repeat(1, targets) * self.s_xt)
        both = of(weight * through_r.repeat(1, targets))
        return coefficients(square, self.with_r - one - other + both + self.rows * gap * gap[-1])


def coefficients(square: Float[Tensor, "target d_model"], with_r: Float[Tensor, "target d_model"]):
    targets = len(square) - 1
    return torch.stack([square[:-1], with_r[:-1], square[-1].expand(targets, -1)]).contiguous()


def solve(fitted: Targets, cutoff: float) -> tuple[Float[Tensor, "d_model target_x_d_model"], int]:
    """The maps of every target on x_n, and their rank.

    Raises:
        ArtifactError: no more rows than dimensions.
    """
    factor = factorise(CrossMoments(fitted.rows, fitted.mean_x, fitted.mean_x, fitted.s_xx), cutoff)
    return factor.solve(fitted.s_xt), factor.rank
