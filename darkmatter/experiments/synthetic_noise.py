"""Planted noise on a reconstruction taken as ground truth (appendices B.2 and C.3, Fig. 15, Table 1).

x' = Sae(x) is a sparse sum of known vectors. It passes through the SAE again; a share of the latents is ablated from
that second reconstruction, least active first, and Gaussian noise is added to x' (as Dense) and to the reconstruction
(as Introduced). The SAE encodes x' without the noise, as in the published code, so that noise on x' is what no SAE
could have learned. `noise_moments` has the algebra.
"""

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.activation_files import open_activations, rows_of
from darkmatter.artifacts import ArtifactError, read_arrays, read_json, write_arrays, write_json
from darkmatter.decode import Decoder
from darkmatter.experiments.noise_moments import (
    VARIANTS,
    CleanMoments,
    NoiseMoments,
    SetMoments,
    make_row_blocks,
    solve,
)
from darkmatter.metrics import ROUNDING
from darkmatter.outliers import kept_rows
from darkmatter.pretrained.streamed import MappedDecoder
from darkmatter.sae_folders import open_coder, open_decoder
from darkmatter.splits import Splits, draw_splits

CODES_AGAIN, MOMENTS, FACTS, SUMS = "codes.npz", "moments.npz", "facts.json", "sums.npz"
FOLDS = 2  # no cross-fitting here
GROUP = 4  # contexts multiplied at once: fewer passes over the sums, which are larger than any cache


def prepare_ground_truth(
    out: Path,
    activations: str,
    codes: str,
    sae: str,
    architecture: str,
    d_sae: int,
    k: int | None,
    contexts: int,
    ablated_shares: list[float],
    fit_share: float,
    split_seed: int,
    outlier_norm_ratio: float | None = None,
) -> None:
    """Encode x' again, rank the latents, and write what all noise seeds share (a unit of the stage).

    Args:
        activations: .npy, float32 [context, position, d_model]; the first `contexts` are used.
        codes: .npz with `index`, `value` [row, slot] of the same rows.
        sae: folder of the SAE.
        outlier_norm_ratio: as in `outliers.kept_rows`, of the activations.

    Raises:
        ArtifactError: the SAE, its codes and the activations do not fit together, or rows are too few.
    """
    x = open_activations(Path(activations))[:contexts]
    _, positions, d_model = x.shape
    kept = kept_rows(Path(activations), outlier_norm_ratio)[: len(x)]
    splits = draw_splits(len(x), positions, fit_share, FOLDS, split_seed, kept)
    refuse_few_rows(splits, d_model)
    truth, decoder = ground_truth(Path(codes), Path(sae), len(x), positions, d_model)
    coder = open_coder(Path(sae), architecture, d_sae, k, rows_of(x), outlier_norm_ratio=outlier_norm_ratio)
    index, value, _ = coder.encode(truth.reshape(-1, d_model))
    rows = kept.reshape(-1)
    activity = np.bincount(index[rows].ravel(), weights=value[rows].ravel().astype(np.float64), minlength=d_sae)
    rank = np.empty(d_sae, dtype=np.int32)
    rank[np.argsort(activity, kind="stable")] = np.arange(d_sae, dtype=np.int32)
    shape = (*truth.shape[:2], index.shape[1])
    again = Ablated(index.reshape(shape), value.reshape(shape), rank, decoder, ablated_shares)

    shift = truth[kept.reshape(truth.shape[:2])].mean(0, dtype=np.float64)
    clean = CleanMoments(make_row_blocks(splits, group_of(len(x))), d_model, len(ablated_shares))
    for group, rows in enumerate(truth):
        clean.update(group, *again.shifted(group, rows, torch.from_numpy(shift)))
    groups = zip(x.reshape(truth.shape), truth, kept.reshape(truth.shape[:2]), strict=True)
    error_square = sum(float(np.square(rows[own].astype(np.float64) - sae[own]).sum()) for rows, sae, own in groups)
    facts = {
        "unit": float(np.sqrt(error_square / (kept.sum() * d_model))),
        "d_sae": d_sae,
        "d_model": d_model,
        "contexts": len(x),
        "silent_latents": int(np.count_nonzero(activity == 0)),
        "ablated": again.ablated,
        "activity_ablated": [float(np.sort(activity)[:count].sum() / activity.sum()) for count in again.ablated],
    }
    if not facts["unit"] > 0:
        raise ArtifactError(f"{sae} reconstructs {activations} exactly: there is no error to measure noise in")
    write_json(out / FACTS, facts)
    write_arrays(out / CODES_AGAIN, {"index": again.index, "value": again.value, "rank": rank, "kept": kept})
    write_arrays(out / MOMENTS, clean.arrays() | {"shift": shift})


def noise_sums(
    out: Path,
    codes: str,
    sae: str,
    prepared: str,
    positions: int,
    ablated_shares: list[float],
    noise_deviations: list[float],
    fit_share: float,
    split_seed: int,
    eigen_cutoff: float,
    seed: int,
) -> None:
    """The sums of squares of every cell of the grid, for one seed of the noise (a unit of the stage).

    Writes `rows` [variant], `rank` [variant, σ_x], `spread` and `spread_scalar_mean` [variant, σ_x] of x_n around its
    mean (per dimension; one mean for all dimensions, as the published code), `error` and `left` [variant, σ_x, share,
    3] (the coefficients in σ_s of Σ ‖e‖² and of Σ ‖e − b*·x_n‖², in `Targets.raw`), and `vector_r2` [variant, σ_x,
    σ_s, share] (Eq. 11, mean over dimensions; NaN without variance). Variants in the order of VARIANTS.

    Args:
        prepared: folder written by `prepare_ground_truth` with the same arguments.
    """
    folder = Path(prepared)
    facts, stored, arrays = read_json(folder / FACTS), read_arrays(folder / CODES_AGAIN), read_arrays(folder / MOMENTS)
    contexts, d_model, shares = facts["contexts"], facts["d_model"], len(ablated_shares)
    splits = draw_splits(contexts, positions, fit_share, FOLDS, split_seed, stored["kept"])
    row_blocks = make_row_blocks(splits, group_of(contexts))
    truth, decoder = ground_truth(Path(codes), Path(sae), contexts, positions, d_model)
    again = Ablated(stored["index"], stored["value"], stored["rank"], decoder, ablated_shares)
    shift = torch.from_numpy(arrays.pop("shift"))
    clean = CleanMoments.of_arrays(arrays, row_blocks, d_model, shares)
    noise = NoiseMoments(row_blocks, d_model, shares)
    for group, rows in enumerate(truth):
        noise.update(group, *again.shifted(group, rows, shift), *draw_noise(seed, group, rows.shape))
    sigmas = [facts["unit"] * deviation for deviation in noise_deviations]
    write_arrays(out / SUMS, grid_sums(clean, noise, shift, sigmas, eigen_cutoff))


def grid_sums(
    clean: CleanMoments, noise: NoiseMoments, shift: Float[Tensor, " d_model"], sigmas: list[float], cutoff: float
) -> dict[str, np.ndarray]:
    """The arrays of `noise_sums` from moments, at the noise deviations `sigmas` on both sides."""
    found: dict[str, list] = {}
    for fit_rows, scored_rows in VARIANTS.values():
        fitted = SetMoments.of(clean, noise, fit_rows)
        scored = fitted if scored_rows == fit_rows else SetMoments.of(clean, noise, scored_rows)
        variant: dict[str, list] = {}
        for sigma in sigmas:
            at_fit, at_scored = fitted.at(sigma), scored.at(sigma)
            weight, rank = solve(at_fit, cutoff)
            left, centred = at_scored.left(at_fit, weight), at_scored.centred()
            mean = at_scored.mean_x + shift
            own = at_scored.s_xx.diagonal()
            spread = own.sum()
            between = at_scored.rows * (mean - mean.mean()).square().sum()
            rows = {"rank": rank, "spread": spread, "spread_scalar_mean": spread + between}
            rows |= {
                "error": at_scored.raw().sum(-1).T,
                "left": left.sum(-1).T,
                "vector_r2": r2(left, centred, own, sigmas),
            }
            for name, value in rows.items():
                variant.setdefault(name, []).append(np.asarray(value))
        for name, values in (variant | {"rows": scored.rows}).items():
            found.setdefault(name, []).append(np.stack(values) if isinstance(values, list) else values)
    return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}


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
        decoder: Decoder | MappedDecoder,
        ablated_shares: list[float],
    ) -> None:
        self.index, self.value, self.rank, self.decoder = index, value, rank, decoder
        self.ablated = [int(share * len(rank)) for share in ablated_shares]

    def shifted(self, group: int, truth: np.ndarray, shift: Float[Tensor, " d_model"]) -> tuple[Tensor, Tensor]:
        """(x' [row, d_model], P_f [row, share, d_model]) of a group of contexts, less the shift, float64."""
        index, value = (torch.from_numpy(part[group]) for part in (self.index, self.value))
        rank = torch.from_numpy(self.rank[self.index[group]])
        kept = [self.decoder.decode(index, value * (rank >= count)) for count in self.ablated]
        return torch.from_numpy(truth).double() - shift, torch.stack(kept, 1).double() - shift


def group_of(contexts: int) -> int:
    return math.gcd(contexts, GROUP)


def ground_truth(
    codes: Path, sae: Path, contexts: int, positions: int, d_model: int
) -> tuple[np.ndarray, Decoder | MappedDecoder]:
    """x' = Sae(x) of the first contexts, float32 [group of contexts, row, d_model], and the SAE's decoder."""
    arrays, decoder = read_arrays(codes), open_decoder(sae)
    if decoder.shape[1] != d_model:
        raise ArtifactError(f"{sae} decodes to {decoder.shape[1]} dimensions, the activations have {d_model}")
    rows = contexts * positions
    if len(arrays["index"]) < rows:
        raise ArtifactError(f"{codes} has {len(arrays['index'])} rows, {rows} are needed; run `dvc repro codes`")
    groups = contexts // group_of(contexts)
    truth = np.empty((groups, rows // groups, d_model), dtype=np.float32)
    codes_of = zip(*(arrays[name][:rows].reshape(*truth.shape[:2], -1) for name in ("index", "value")), strict=True)
    for group, (index, value) in enumerate(codes_of):
        truth[group] = decoder.decode(torch.from_numpy(index), torch.from_numpy(value)).numpy()
    return truth, decoder


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
