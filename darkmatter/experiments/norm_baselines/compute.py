"""What else predicts the error norm? (appendix A.3, Fig. 13): the token, the activation's norm, the model's loss, L0.

A.3 prints the target ‖SaeError‖ without a square, Eq. 10 with one: there is a set of regressions for each. A.3 prints
the regressor "activation norm" without a square, too, so ‖x‖ is the paper's and ‖x‖² is next to it. The activation
and the token are also scored on those rows alone whose token is among the fit rows: of any other token its identity
says nothing. Regressions only; `norm_baseline_estimates` makes numbers of their sums.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from darkmatter.experiments.norm_baselines.estimates import ACTIVATION, ACTIVATION_SEEN, SEEN, Baseline
from darkmatter.experiments.norm_baselines.results import packed
from darkmatter.models.activation_files import Activations, open_activations
from darkmatter.regression.context_sums import scalar_sums
from darkmatter.regression.held_out_regression import regress
from darkmatter.regression.splits import ROW_SETS, SPLITS, Splits, draw_splits
from darkmatter.storage.artifacts import ArtifactError, open_array, read_arrays, write_arrays

PerToken = Float[np.ndarray, "context position"]
RowSets = Bool[np.ndarray, "set context position"]


BASELINES = "baselines.npz"


def measure_baselines(
    out: Path,
    table: str,
    moments: str,
    activations: str,
    loss: str,
    tokens: str,
    first_position: int,
    fit_share: float,
    folds: int,
    split_seed: int,
    cutoff: float,
) -> None:
    """Write `out`/BASELINES: the sums of every regressor of one SAE, as they are stored (a unit of the stage).

    Args:
        table: tokens.npz of the SAE.
        moments: of its hookpoint; they say which rows are kept.
        activations: of its hookpoint, .npy.
        loss: .npy [context, position], cross-entropy of the next token.
        tokens: .npy [context, token].
        first_position: the token of the first row of a context.

    Raises:
        ArtifactError: the files are of different rows, or damaged.
    """
    losses = open_array(Path(loss), (None, None))
    ids = open_array(Path(tokens), (len(losses), None), "int32")[:, first_position : first_position + losses.shape[1]]
    columns, x = read_arrays(Path(table)), open_activations(Path(activations))
    check_rows(table=columns["error"].shape, activations=x.shape[:2], tokens=ids.shape, loss=losses.shape)
    splits = draw_splits(*losses.shape, fit_share, folds, split_seed, read_arrays(Path(moments))["kept"])
    write_arrays(out / BASELINES, packed(baselines(columns, x, ids, losses, splits, cutoff)))


def baselines(
    table: Mapping[str, PerToken],
    activations: Activations,
    token_ids: Int[np.ndarray, "context position"],
    loss: PerToken,
    splits: Splits,
    cutoff: float,
) -> dict[str, dict[str, Baseline]]:
    """Target → every regressor's sums, for one SAE.

    Args:
        table: per-token table of the SAE: `error` and `x` squared norms, `norm_x`, `l0`.
        activations: [context, position, d_model].
        token_ids: the token at each row.
        loss: cross-entropy of the next token.
        cutoff: as for `held_out_regression.regress`.
    """
    square = table["error"].astype(np.float64)
    targets = {"norm": np.sqrt(square), "square": square}
    columns = {"activation_norm": table["norm_x"], "activation_norm_squared": table["x"]}
    columns |= {"model_loss": loss, "l0": table["l0"]}
    seen = seen_rows(token_ids, splits)
    probes = activation_probes(activations, targets, seen, splits, cutoff)
    result = {}
    for name, target in targets.items():
        result[name] = probes[name] | token_means(token_ids, target, seen, splits)
        for key, column in columns.items():
            result[name][key] = one_number(column.astype(np.float64), target, splits, cutoff)
    return result


def check_rows(**shapes: Sequence[int]) -> None:
    """Refuse rows of different runs.

    Args:
        shapes: what it is of → contexts, positions.

    Raises:
        ArtifactError: two shapes differ.
    """
    if len({*map(tuple, shapes.values())}) > 1:
        rows = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ArtifactError(f"the rows differ ({rows}); run `dvc repro decomposition`")


def activation_probes(
    activations: Activations,
    targets: Mapping[str, PerToken],
    seen: RowSets,
    splits: Splits,
    cutoff: float,
) -> dict[str, dict[str, Baseline]]:
    """Target → the probe of the activation (Eq. 10), on all held-out rows and on those of `seen`."""
    t = np.stack(list(targets.values()), -1)

    def rows(context: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(np.array(activations[context], dtype=np.float64)), torch.from_numpy(t[context])

    fitted = regress(rows, splits, cutoff)
    left = {split: np.empty_like(t) for split in SPLITS}
    for context in range(len(t)):
        x, own = rows(context)
        for split in SPLITS:
            linear_map = fitted.maps[split]
            left[split][context] = (own - linear_map.b_0 - x @ linear_map.weight).numpy() ** 2
    result = {}
    for number, (name, target) in enumerate(targets.items()):
        residuals = {f"residual/{split}/paper": left[split][..., number] for split in SPLITS}
        shifted = target - target[splits.kept].mean()
        result[name] = {
            regressor: baseline(row_sets, shifted, residuals, fitted.rank)
            for regressor, row_sets in ((ACTIVATION, splits.row_sets()), (ACTIVATION_SEEN, seen))
        }
    return result


def baseline(
    row_sets: RowSets, shifted: PerToken, residuals: Mapping[str, PerToken], rank: Mapping[str, int]
) -> Baseline:
    """Sums as those of `held_out_regression.regress` over any sets of rows."""
    members = row_sets.astype(np.float64)
    columns = {"total": shifted, "square": shifted**2, **residuals}
    sums = {name: scalar_sums(members, column)[..., None] for name, column in columns.items()}
    return Baseline({"rows": members.sum(-1)} | sums, rank)


def seen_rows(ids: Int[np.ndarray, "context position"], splits: Splits) -> RowSets:
    """The row sets without the rows whose token is on no row of their fit set."""
    tokens = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    row_sets = splits.row_sets()
    for number, name in enumerate(ROW_SETS):
        row_sets[number] &= np.isin(tokens, tokens[splits.fits_on(name)])
    return row_sets


def one_number(column: PerToken, target: PerToken, splits: Splits, cutoff: float) -> Baseline:
    """Regression on one number per token, with intercept; refused where it is the same on every fit row."""
    for split in SPLITS:
        on_fit = column[splits.fits_on(split)]
        if np.ptp(on_fit) == 0:
            return Baseline({}, {}, float(on_fit[0]))
    x, t = (torch.from_numpy(part[..., None]) for part in (column, target))
    held_out = regress(lambda context: (x[context], t[context]), splits, cutoff)
    names = ("rows", "total", "square", *(f"residual/{split}/paper" for split in SPLITS))
    return Baseline({name: held_out.sums[name] for name in names}, held_out.rank)


def token_means(
    ids: Int[np.ndarray, "context position"], target: PerToken, seen: RowSets, splits: Splits
) -> dict[str, Baseline]:
    """Least squares on one-hot tokens: each token's mean over the fit rows, the grand mean for tokens not among them.

    `token_identity` is scored on all held-out rows, `token_identity_seen` on those whose token has a mean of its own:
    the difference is what rare tokens cost.
    """
    shifted = target - target[splits.kept].mean()
    tokens = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    left, rank = {}, {}
    for name in ROW_SETS:
        fitted = splits.fits_on(name)
        count = np.bincount(tokens[fitted], minlength=tokens.max() + 1)
        total = np.bincount(tokens[fitted], shifted[fitted], minlength=len(count))
        mean = np.divide(total, count, out=np.full(len(count), shifted[fitted].mean()), where=count > 0)
        left[name] = (shifted - mean[tokens]) ** 2
        rank[name] = int(np.count_nonzero(count)) - 1  # beside the intercept
    residuals = {f"residual/{split}/paper": left[split] for split in SPLITS} | {"residual/in-sample": left["all"]}
    return {
        regressor: baseline(row_sets, shifted, residuals, rank)
        for regressor, row_sets in (("token_identity", splits.row_sets()), (SEEN, seen))
    }
