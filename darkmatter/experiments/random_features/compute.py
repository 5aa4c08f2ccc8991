"""Sums of random vectors, some of them masked: how much do the rest and a linear estimate of the error explain? (D)

    x' = Σ_i w_i y_i,   y_i ~ N(0, 1/d),   w_i ~ Bernoulli(p_i),   p_i = min(1, c i^−α),   Σ p_i = expected L0
    Sae(x') = the unmasked part of the sum,   e = x' − Sae(x') = its masked part

The appendix names the number of vectors, d and L0, and "a power law". Assumed here: the power law is that of firing
probabilities (the features of a language model are thought to be so, and B.1 orders them by how common they are); every
firing weighs the same; masking is in random order, since the text "simply masked a portion". The order of B.1 and C.3,
least frequent first, is next to it.

Activations are never held densely: a block of rows is drawn as the list of its firings, masked parts of all shares are
nested sums of the same groups of features, and only moments are kept. Peak memory is `memory_estimate`.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from darkmatter.regression.least_squares import factorise
from darkmatter.regression.moments import Blocks, CrossMoments, CrossMomentsFitter
from darkmatter.storage.artifacts import ArtifactError, write_arrays

SUMS = "sums.npz"
VARIANTS = {"held_out": ("fit", "held_out"), "in_sample": ("all", "all")}  # (rows that fit, rows that are scored)
BLOCK_ROWS = 1024
FREQUENT = 0.05  # above it a feature's firings in a block are drawn row by row, below it as a number and its places


def masked_sums(
    out: Path,
    features: int,
    d_model: int,
    expected_l0: float,
    power_law: float,
    rows: int,
    masked_shares: list[float],
    fit_share: float,
    eigen_cutoff: float,
    order: str,
    seed: int,
) -> None:
    """Sums of squares for every masked share, for one seed and order of masking (a unit of the stage).

    Writes, in the order of VARIANTS, `rows` and `rank` [variant], `spread` [variant] of x' around its mean, `error`
    and `left` [variant, share] (Σ ‖e‖² and Σ ‖e − b*·x'‖²), and `l0` [1], firings per row.

    Args:
        rows: rounded down to whole blocks.
        order: `random` or `least_frequent_first`.

    Raises:
        ArtifactError: no more rows to fit than dimensions.
    """
    if round(fit_share * rows) <= d_model + 1:
        raise ArtifactError(f"{rows} rows leave too few to fit {d_model} dimensions; raise random_features.rows")
    probability = firing_probabilities(features, expected_l0, power_law)
    edges = [round(share * features) for share in masked_shares]
    y = draw_vectors(seed, features, d_model)
    group = mask_groups(mask_rank(order, features, seed), edges)
    blocks, block_rows = row_blocks(rows, fit_share)
    moments = MaskedMoments(blocks, d_model, int(group.max()) + 1)
    fired = 0
    for block in range(len(blocks.members)):
        firings = draw_firings(np.random.default_rng([seed, 1, block]), probability, block_rows)
        fired += len(firings[0])
        moments.update(block, group_parts(firings, group, y, block_rows))
    del y
    sums = share_sums(moments.finish(), edges, eigen_cutoff)
    write_arrays(out / SUMS, sums | {"l0": np.array([fired / blocks.members.size])})


def firing_probabilities(features: int, expected_l0: float, power_law: float) -> Float[np.ndarray, " feature"]:
    """p_i = min(1, c i^−α), most frequent first, with c such that they add up to the expected L0 (by bisection)."""
    shape = np.arange(1, features + 1, dtype=np.float64) ** -power_law
    low, high = 0.0, 1.0
    while np.minimum(1.0, high * shape).sum() < expected_l0:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1.0, middle * shape).sum() < expected_l0 else (low, middle)
    return np.minimum(1.0, high * shape)


def draw_vectors(seed: int, features: int, d_model: int) -> Float[Tensor, "feature d_model"]:
    """y, float32: the one array of features × d_model."""
    drawn = np.random.default_rng([seed, 0]).standard_normal((features, d_model), dtype=np.float32)
    drawn /= np.float32(np.sqrt(d_model))
    return torch.from_numpy(drawn)


def mask_rank(order: str, features: int, seed: int) -> Int[np.ndarray, " feature"]:
    """The place of each feature, most frequent first, in the order of masking."""
    if order == "random":
        return np.random.default_rng([seed, 2]).permutation(features)
    return np.arange(features)[::-1].copy()


def mask_groups(rank: Int[np.ndarray, " feature"], edges: list[int]) -> Int[np.ndarray, " feature"]:
    """Group of each feature: those masked at share k are the groups 0 … k − 1; the last is never masked, or empty."""
    return np.searchsorted(np.asarray(edges[1:]), rank, side="right")


def row_blocks(rows: int, fit_share: float) -> tuple[Blocks, int]:
    """Equal blocks of rows; rows are independent draws, so that the first part of each block may fit."""
    count = max(1, rows // BLOCK_ROWS)
    block_rows = rows // count
    members = np.ones(block_rows, dtype=np.int64)
    members[: round(fit_share * block_rows)] = 0
    sets = {"fit": np.array([0]), "held_out": np.array([1]), "all": np.array([0, 1])}
    return Blocks(np.broadcast_to(members, (count, block_rows)).copy(), sets), block_rows


def draw_firings(
    random: np.random.Generator, probability: Float[np.ndarray, " feature"], rows: int
) -> tuple[Int[np.ndarray, " firing"], Int[np.ndarray, " firing"]]:
    """(row, feature) of independent Bernoulli firings, one row of the block for each draw of all features.

    Of a rare feature first the number of firings (binomial), then so many different rows: a row that is drawn twice is
    drawn again, which leaves every set of rows equally likely.
    """
    often = int(np.count_nonzero(probability > FREQUENT))  # they come first
    feature, row = np.nonzero(random.random((often, rows)) < probability[:often, None])
    wanted = random.binomial(rows, probability[often:])
    cells = np.empty(0, dtype=np.int64)  # feature × rows + row
    while True:
        missing = wanted - np.bincount(cells // rows, minlength=len(wanted))
        if not missing.any():
            break
        rare = np.repeat(np.arange(len(wanted)), missing)
        cells = np.unique(np.concatenate([cells, rare * rows + random.integers(rows, size=len(rare))]))
    return np.concatenate([row, cells % rows]), np.concatenate([feature, often + cells // rows])


def group_parts(
    firings: tuple[np.ndarray, np.ndarray], group: Int[np.ndarray, " feature"], y: Tensor, rows: int
) -> Float[Tensor, "group row d_model"]:
    """The part of x' that each group of features contributes."""
    row, feature = firings
    groups = int(group.max()) + 1
    bag = group[feature] * rows + row
    sorted_by_bag = np.argsort(bag, kind="stable")
    offsets = np.searchsorted(bag[sorted_by_bag], np.arange(groups * rows))
    chosen = torch.from_numpy(feature[sorted_by_bag])
    return embedding_bag(chosen, y, torch.from_numpy(offsets), mode="sum").view(groups, rows, -1)


class MaskedMoments:
    """Moments of x' with the sum of its first groups, for every number of groups; the last is x' itself."""

    def __init__(self, blocks: Blocks, d_model: int, groups: int) -> None:
        self.blocks = blocks
        self.fitters = [CrossMomentsFitter(blocks, d_model, d_model) for _ in range(groups)]
        self.square = torch.zeros(blocks.count, groups, dtype=torch.float64)  # Σ ‖sum of the first groups‖²

    def update(self, block: int, parts: Float[Tensor, "group row d_model"]) -> None:
        """Until `finish`, each fitter holds the moments with its own group alone: sparse sums cost least there."""
        x = parts.sum(0, dtype=torch.float64)
        masked = torch.zeros_like(x)
        for number, (fitter, part) in enumerate(zip(self.fitters, parts, strict=True)):
            fitter.update(block, x, part)
            masked += part
            norms = masked.square().sum(1)
            for member, positions in self.blocks.rows_of(block):
                self.square[member, number] += norms[positions].sum()

    def finish(self) -> "MaskedMoments":
        """Add the groups up, in place: these moments are the largest thing in memory."""
        for before, after in pairwise(self.fitters):
            after.sum_t += before.sum_t
            after.sum_xt += before.sum_xt
        return self

    def error_square(self, group: int, name: str) -> float:
        return float(self.square[torch.from_numpy(self.blocks.fit_sets[name]), group].sum())


def share_sums(moments: MaskedMoments, edges: list[int], cutoff: float) -> dict[str, np.ndarray]:
    """The arrays of `masked_sums` from finished moments; `edges`: features masked at each share."""
    result: dict[str, list] = {}
    for fit_rows, scored_rows in VARIANTS.values():
        x_fit, x_scored = (moments.fitters[-1].fit_set(name) for name in (fit_rows, scored_rows))
        factor = factorise(x_fit, cutoff)
        error, left = [], []
        for number, edge in enumerate(edges):
            if edge == 0:
                error.append(0.0)
                left.append(0.0)
                continue
            group = min(number, len(moments.fitters)) - 1  # with few features, the last shares may mask the same ones
            e_fit, e_scored = (moments.fitters[group].fit_set(name) for name in (fit_rows, scored_rows))
            error.append(moments.error_square(group, scored_rows))
            left.append(unexplained(factor.solve(e_fit.s_xt), e_fit, e_scored, x_scored, error[-1]))
        rows = {"rows": x_scored.rows, "rank": factor.rank, "spread": float(x_scored.s_xt.trace())}
        for name, value in (rows | {"error": error, "left": left}).items():
            result.setdefault(name, []).append(value)
    return {name: np.array(values, dtype=np.float64) for name, values in result.items()}


def unexplained(
    weight: Float[Tensor, "d_model d_model"],
    fitted: CrossMoments,
    scored: CrossMoments,
    x_scored: CrossMoments,
    error_square: float,
) -> float:
    """Σ ‖e − b*·x'‖² over the scored rows, from moments; the intercept is that of the fitted rows."""
    centred = error_square - scored.rows * float(scored.mean_t.square().sum())
    gap = scored.mean_t - fitted.mean_t - (scored.mean_x - fitted.mean_x) @ weight
    quadratic = float((weight * (x_scored.s_xt @ weight)).sum() - 2 * (weight * scored.s_xt).sum())
    return max(0.0, centred + quadratic + scored.rows * float(gap.square().sum()))


def memory_estimate(features: int, d_model: int, shares: int) -> int:
    """Bytes at the peak: vectors, moments of each group on both sides of the split, parts of a block, temporaries."""
    vectors = 4 * features * d_model
    moments = 8 * 2 * shares * d_model**2
    parts = 4 * BLOCK_ROWS * d_model * (shares + 6)
    return vectors + moments + parts + 8 * 6 * d_model**2
