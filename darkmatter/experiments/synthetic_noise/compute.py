"""Planted noise on a reconstruction taken as ground truth (appendices B.2 and C.3, Fig. 15, Table 1).

x' = Sae(x) is a sparse sum of known vectors. It passes through the SAE again; a share of the latents is ablated from
that second reconstruction, least active first, and Gaussian noise is added to x' (as Dense) and to the reconstruction
(as Introduced). The SAE encodes x' without the noise, as in the published code, so that noise on x' is what no SAE
could have learned. `noise_moments` has the algebra.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from darkmatter.experiments.synthetic_noise.noise_moments import (
    VARIANTS,
    CleanMoments,
    NoiseMoments,
    ProductSums,
    SetMoments,
    make_row_blocks,
    solve,
)
from darkmatter.models.activation_files import open_activations, rows_of
from darkmatter.models.outliers import kept_rows
from darkmatter.regression.splits import Splits, draw_splits
from darkmatter.saes.open import open_decoder, open_sae
from darkmatter.saes.protocol import Codes, Decodes, Sae
from darkmatter.statistics.metrics import ROUNDING
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays, write_json

SUMS, FACTS = "sums.npz", "facts.json"
FOLDS = 2  # no cross-fitting here
GROUP = 4  # contexts multiplied at once: fewer passes over the sums, which are larger than any cache


def noise_grid(
    out: Path,
    activations: str,
    codes: str,
    sae: str,
    architecture: str,
    d_sae: int,
    k: int | None,
    first: int,
    contexts: int,
    ablated_shares: list[float],
    noise_deviations: list[float],
    variants: list[str],
    fit_share: float,
    split_seed: int,
    eigen_cutoff: float,
    seed: int,
    outlier_norm_ratio: float | None = None,
) -> None:
    """The sums of squares of every cell of the grid, for one SAE and one draw of contexts and noise (a unit).

    Writes SUMS, over the variants asked for: `rows` [variant], `rank` [variant, σ_x], `spread` and
    `spread_scalar_mean` [variant, σ_x] of x_n around its mean (per dimension; one mean for all dimensions, as the
    published code), `error` and `left` [variant, σ_x, share, 3] (the coefficients in σ_s of Σ ‖e‖² and of
    Σ ‖e − b*·x_n‖², in `Targets.raw`), `introduced` [variant, share] (Σ ‖P_f − T_f‖² with T_f the part of x' that the
    latents kept make up: what the SAE itself introduces), `dense_recovered` [variant, σ_x] (pooled R² of the best
    linear map of x_n for the noise on x', whatever the SAE) and `vector_r2` [variant, σ_x, σ_s, share] (Eq. 11, mean
    over dimensions; NaN without variance). And FACTS.

    Args:
        activations: .npy, float32 [context, position, d_model].
        codes: .npz with `index`, `value` [row, slot] of the same rows.
        sae: folder of the SAE.
        first, contexts: the contexts taken.
        noise_deviations: in units of the SAE's root mean square error per dimension on these contexts.
        variants: names of VARIANTS.
        outlier_norm_ratio: as in `outliers.kept_rows`, of the activations.

    Raises:
        ArtifactError: the SAE, its codes and the activations do not fit together, or rows are too few.
    """
    chosen = slice(first, first + contexts)
    x = open_activations(Path(activations))[chosen]
    _, positions, d_model = x.shape
    kept = kept_rows(Path(activations), outlier_norm_ratio)[chosen]
    splits = draw_splits(len(x), positions, fit_share, FOLDS, split_seed, kept)
    refuse_few_rows(splits, d_model)
    truth = ground_truth(
        Path(codes), Path(sae), slice(first * positions, (first + len(x)) * positions), d_model, len(x)
    )
    opened = open_sae(Path(sae), architecture, d_sae, k, rows_of(x), outlier_norm_ratio=outlier_norm_ratio)
    again, activity = encode_again(opened, truth, kept.reshape(-1), d_sae, ablated_shares)
    kept = kept.reshape(truth.rows.shape[:2])
    flat, size = rows_of(x), truth.rows.shape[1]
    parts = (np.asarray(flat[start : start + size]) for start in range(0, len(flat), size))
    groups = zip(parts, truth.rows, kept, strict=True)
    error_square = sum(float(np.square(rows[own].astype(np.float64) - sae_x[own]).sum()) for rows, sae_x, own in groups)
    unit = float(np.sqrt(error_square / (kept.sum() * d_model)))
    if not unit > 0:
        raise ArtifactError(f"{sae} reconstructs {activations} exactly: there is no error to measure noise in")

    row_blocks, shares = make_row_blocks(splits, group_of(len(x))), len(ablated_shares)
    clean, noise = CleanMoments(row_blocks, d_model, shares), NoiseMoments(row_blocks, d_model, shares)
    introduced = ProductSums(row_blocks, shares)
    shift = torch.from_numpy(truth.rows[kept].mean(0, dtype=np.float64))
    for group, rows in enumerate(truth.rows):
        of_x, of_p = torch.from_numpy(rows).double() - shift, again.without(group) - shift
        clean.update(group, of_x, of_p)
        noise.update(group, of_x, of_p, *draw_noise(seed, group, rows.shape))
        introduced.update(group, (of_p - (again.without(group, truth) - shift)).square().sum(-1))
    sigmas = [unit * deviation for deviation in noise_deviations]
    sums = grid_sums(clean, noise, shift, sigmas, eigen_cutoff, variants)
    sums["introduced"] = np.stack([introduced.over(VARIANTS[name][1]).numpy() for name in variants])
    write_arrays(out / SUMS, sums)
    facts = {
        "unit": unit,
        "d_sae": d_sae,
        "d_model": d_model,
        "silent_latents": int(np.count_nonzero(activity == 0)),
        "ablated": again.ablated,
        "activity_ablated": [float(np.sort(activity)[:count].sum() / activity.sum()) for count in again.ablated],
    }
    write_json(out / FACTS, facts)


def grid_sums(
    clean: CleanMoments,
    noise: NoiseMoments,
    shift: Float[Tensor, " d_model"],
    sigmas: list[float],
    cutoff: float,
    variants: Sequence[str] = tuple(VARIANTS),
) -> dict[str, np.ndarray]:
    """The arrays of `noise_grid` from moments, at the noise deviations `sigmas` on both sides."""
    result: dict[str, list] = {}
    for fit_rows, scored_rows in (VARIANTS[name] for name in variants):
        fitted = SetMoments.of(clean, noise, fit_rows)
        scored = fitted if scored_rows == fit_rows else SetMoments.of(clean, noise, scored_rows)
        variant: dict[str, list] = {}
        for sigma in sigmas:
            at_fit, at_scored = fitted.at(sigma), scored.at(sigma)
            weight, rank = solve(at_fit, cutoff)
            left, centred, raw = at_scored.left(at_fit, weight), at_scored.centred(), at_scored.raw()
            (left, left_of_a), (centred, of_a), raw = apart(left), apart(centred), apart(raw)[0]
            mean = at_scored.mean_x + shift
            own = at_scored.s_xx.diagonal()
            spread = own.sum()
            between = at_scored.rows * (mean - mean.mean()).square().sum()
            rows = {"rank": rank, "spread": spread, "spread_scalar_mean": spread + between}
            rows |= {
                "error": raw.sum(-1).T,
                "left": left.sum(-1).T,
                "dense_recovered": 1 - left_of_a.sum() / of_a.sum(),
                "vector_r2": r2(left, centred, own, sigmas),
            }
            for name, value in rows.items():
                variant.setdefault(name, []).append(np.asarray(value))
        for name, values in (variant | {"rows": scored.rows}).items():
            result.setdefault(name, []).append(np.stack(values) if isinstance(values, list) else values)
    return {name: np.asarray(values, dtype=np.float64) for name, values in result.items()}


def apart(
    coefficients: Float[Tensor, "3 share_and_a d_model"],
) -> tuple[Float[Tensor, "3 share d_model"], Float[Tensor, " d_model"]]:
    """The coefficients of each E_f, and the sum of squares of A."""
    return coefficients[:, :-1], coefficients[0, -1]


def r2(
    left: Float[Tensor, "3 share d_model"],
    centred: Float[Tensor, "3 share d_model"],
    spread: Float[Tensor, " d_model"],
    sigmas: list[float],
) -> Float[Tensor, "sigma_s share"]:
    """Mean over dimensions of 1 − Σ left² / Σ (e − ē)² at each σ_s.

    A dimension whose error varies by no more than the rounding of x_n's own `spread` is left out.
    """
    powers = torch.tensor([[1.0, -2 * sigma, sigma**2] for sigma in sigmas], dtype=torch.float64)
    above, below = (torch.einsum("sc,cfd->sfd", powers, part) for part in (left, centred))
    return torch.where(below > ROUNDING * spread, 1 - above / below, torch.nan).nanmean(-1)


@dataclass(frozen=True)
class Truth:
    """x' and the codes that it is made of, [group of contexts, row, …], and the SAE's decoder."""

    rows: Float[np.ndarray, "group row d_model"]
    index: np.ndarray
    value: np.ndarray
    decoder: Decodes


class Ablated:
    """P_f for every ablated share f, rebuilt group by group from the codes of x'.

    Attributes:
        ablated: number of latents ablated at each share.
    """

    def __init__(
        self,
        index: np.ndarray,
        value: np.ndarray,
        rank: np.ndarray,
        decoder: Decodes,
        ablated_shares: list[float],
    ) -> None:
        self.index, self.value, self.rank, self.decoder = index, value, rank, decoder
        self.ablated = [int(share * len(rank)) for share in ablated_shares]

    def without(self, group: int, truth: Truth | None = None) -> Float[Tensor, "row share d_model"]:
        """P_f of a group of contexts, float64; with `truth`, T_f from the codes that x' is made of."""
        codes = self if truth is None else truth
        index, value = codes.index[group], codes.value[group]
        rank = self.rank[index]
        kept = [self.decoder.decode(Codes.of(index, value * (rank >= count))) for count in self.ablated]
        return torch.from_numpy(np.stack(kept, 1)).double()


def encode_again(
    sae: Sae, truth: Truth, kept: Bool[np.ndarray, " row"], d_sae: int, ablated_shares: list[float]
) -> tuple[Ablated, Float[np.ndarray, " latent"]]:
    """The codes of x', ready to be ablated least active latent first, and each latent's activity on the kept rows."""
    index, value, _ = sae.encode(truth.rows.reshape(len(kept), -1))
    activity = np.bincount(index[kept].ravel(), weights=value[kept].ravel().astype(np.float64), minlength=d_sae)
    rank = np.empty(d_sae, dtype=np.int32)
    rank[np.argsort(activity, kind="stable")] = np.arange(d_sae, dtype=np.int32)
    shape = (*truth.rows.shape[:2], index.shape[1])
    return Ablated(index.reshape(shape), value.reshape(shape), rank, truth.decoder, ablated_shares), activity


def group_of(contexts: int) -> int:
    return math.gcd(contexts, GROUP)


def ground_truth(codes: Path, sae: Path, rows: slice, d_model: int, contexts: int) -> Truth:
    """x' = Sae(x) of these rows, float32.

    Args:
        contexts: how many these rows are.
    """
    arrays, decoder = read_arrays(codes), open_decoder(sae)
    if decoder.d_model != d_model:
        raise ArtifactError(f"{sae} decodes to {decoder.d_model} dimensions, the activations have {d_model}")
    if len(arrays["index"]) < rows.stop:
        raise ArtifactError(f"{codes} has {len(arrays['index'])} rows, {rows.stop} are needed; run `dvc repro codes`")
    shape = (contexts // group_of(contexts), (rows.stop - rows.start) * group_of(contexts) // contexts)
    index, value = (arrays[name][rows].reshape(*shape, -1) for name in ("index", "value"))
    truth = np.empty((*shape, d_model), dtype=np.float32)
    for group, own in enumerate(zip(index, value, strict=True)):
        truth[group] = decoder.decode(Codes.of(*own))
    return Truth(truth, index, value, decoder)


def draw_noise(seed: int, group: int, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A and R of a group of contexts, standard normal float64 [row, d_model]."""
    drawn = torch.from_numpy(np.random.default_rng([seed, group]).standard_normal((2, *shape)))
    return drawn[0], drawn[1]


def refuse_few_rows(splits: Splits, d_model: int) -> None:
    """Before minutes of work, what `factorise` would refuse after them."""
    fewest = min(int(splits.fits_on(name).sum()) for name in ("token", "context"))
    if fewest <= d_model + 1:
        raise ArtifactError(
            f"{fewest} rows to fit {d_model} dimensions with intercept are too few; raise synthetic_noise.contexts"
        )
