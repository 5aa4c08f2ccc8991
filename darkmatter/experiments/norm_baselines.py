"""What else predicts the error norm? (appendix A.3, Fig. 13): the token, the activation's norm, the model's loss, L0.

The target is Eq. 10's, ‖SaeError‖². A.3 prints the regressor "activation norm" without a square, so ‖x‖ is the
paper's and ‖x‖² stands beside it. Regressions only; `norm_baseline_estimates` makes numbers of their sums.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int

from darkmatter.artifacts import ArtifactError
from darkmatter.context_sums import scalar_sums
from darkmatter.experiments.norm_baseline_estimates import SEEN, Baseline
from darkmatter.held_out import regress
from darkmatter.splits import ROW_SETS, SPLITS, Splits

PerToken = Float[np.ndarray, "context position"]


def baselines(
    table: Mapping[str, PerToken],
    token_ids: Int[np.ndarray, "context position"],
    loss: PerToken,
    splits: Splits,
    cutoff: float,
) -> dict[str, Baseline]:
    """Every regressor's sums for one SAE.

    Args:
        table: per-token table of the SAE: `error` and `x` squared norms, `norm_x`, `l0`.
        token_ids: the token at each row.
        loss: cross-entropy of the next token.
        cutoff: as for `held_out.regress`.

    Raises:
        ArtifactError: the rows differ.
    """
    target = table["error"].astype(np.float64)
    if not target.shape == token_ids.shape == loss.shape:
        raise ArtifactError(
            f"rows of the per-token table {list(target.shape)}, of the tokens {list(token_ids.shape)} and of the loss "
            f"{list(loss.shape)} differ; run `dvc repro decomposition`"
        )
    columns = {
        "activation_norm": table["norm_x"],
        "activation_norm_squared": table["x"],
        "model_loss": loss,
        "l0": table["l0"],
    }
    found = token_means(token_ids, target, splits)
    for name, column in columns.items():
        found[name] = one_number(column.astype(np.float64), target, splits, cutoff)
    return found


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


def token_means(ids: Int[np.ndarray, "context position"], target: PerToken, splits: Splits) -> dict[str, Baseline]:
    """Least squares on one-hot tokens: each token's mean over the fit rows, the grand mean for tokens not among them.

    `token_identity` is scored on all held-out rows, `token_identity_seen` on those whose token has a mean of its own:
    the difference is what rare tokens cost. The sums are as those of `held_out.regress`.
    """
    shifted = target - target[splits.kept].mean()
    tokens = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    sets = splits.row_sets().astype(np.float64)
    seen, residuals, rank = sets.copy(), {}, {}
    for number, name in enumerate(ROW_SETS):
        fitted = splits.fits_on(name)
        count = np.bincount(tokens[fitted], minlength=tokens.max() + 1)
        total = np.bincount(tokens[fitted], shifted[fitted], minlength=len(count))
        mean = np.divide(total, count, out=np.full(len(count), shifted[fitted].mean()), where=count > 0)
        residuals[name] = (shifted - mean[tokens]) ** 2
        seen[number] *= count[tokens] > 0
        rank[name] = int(np.count_nonzero(count)) - 1  # beside the intercept

    def baseline(row_sets: np.ndarray, more: Mapping[str, np.ndarray]) -> Baseline:
        columns = {"total": shifted, "square": shifted**2, **more}
        columns |= {f"residual/{split}/paper": residuals[split] for split in SPLITS}
        sums = {name: scalar_sums(row_sets, column)[..., None] for name, column in columns.items()}
        return Baseline({"rows": row_sets.sum(-1)} | sums, rank)

    return {"token_identity": baseline(sets, {"residual/in-sample": residuals["all"]}), SEEN: baseline(seen, {})}
