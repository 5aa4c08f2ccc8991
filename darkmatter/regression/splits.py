"""Which rows fit and which are held out: by token (the paper's split), by context, and by folds of contexts.

One permutation per seed and number of rows, drawn from NumPy's PCG64, so that the same rows are held out at
every hookpoint and on every machine. Rows left out as outliers (`outliers`) are neither fitted on nor scored; the
draw does not depend on them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from darkmatter.storage.artifacts import ArtifactError

SPLITS = ("token", "context")  # the paper's, and the one without contexts on both sides
ROW_SETS = (*SPLITS, "all")  # rows held out of the token split, of the context split; every row


@dataclass(frozen=True)
class Splits:
    """Which rows each split fits on, and which take part at all.

    Attributes:
        token_fit: rows the token split fits on.
        context_fit: contexts the context split fits on.
        fold: the cross-fitting fold of each context, 0 … folds − 1.
        kept: rows that belong to any set at all.
    """

    token_fit: Bool[np.ndarray, "context position"]
    context_fit: Bool[np.ndarray, " context"]
    fold: Int[np.ndarray, " context"]
    kept: Bool[np.ndarray, "context position"]

    @property
    def fit_sets(self) -> list[str]:
        """Names of the sets of rows that a regression may be fitted on."""
        return ["token", "context", "all", *(f"not-fold-{fold}" for fold in range(self.fold.max() + 1))]

    def fits_on(self, name: str) -> Bool[np.ndarray, "context position"]:
        """The rows of one fit set."""
        match name.rsplit("-", 1):
            case ["token"]:
                return self.kept & self.token_fit
            case ["context"]:
                return self.kept & self.context_fit[:, None]
            case ["all"]:
                return self.kept
            case ["not-fold", fold]:
                return self.kept & (self.fold != int(fold))[:, None]
        raise ValueError(f"unknown fit set {name!r}; there are {self.fit_sets}")

    def row_sets(self) -> Bool[np.ndarray, "set context position"]:
        """The sets of rows on which results are scored, in the order of ROW_SETS."""
        held_out = [self.kept & ~self.fits_on(name) for name in SPLITS]
        return np.stack([*held_out, self.kept])


def draw_splits(
    contexts: int,
    positions: int,
    fit_share: float,
    folds: int,
    seed: int,
    kept: Bool[np.ndarray, "context position"] | None = None,
) -> Splits:
    """Draw the three splits (section 4: 150k of 247k rows fit).

    Args:
        kept: as in `Splits`; None keeps every row.

    Raises:
        ArtifactError: too few contexts to have both sides or every fold.
    """
    if contexts < max(folds, 3):
        raise ArtifactError(f"{contexts} eval contexts are too few for {folds} folds; raise tokens.eval_contexts")
    rows = contexts * positions
    fit = np.zeros(rows, dtype=bool)
    fit[np.random.default_rng([seed, rows]).permutation(rows)[: round(fit_share * rows)]] = True
    order = np.random.default_rng([seed, contexts]).permutation(contexts)
    context_fit = np.zeros(contexts, dtype=bool)
    context_fit[order[: min(max(round(fit_share * contexts), 1), contexts - 1)]] = True
    fold = np.empty(contexts, dtype=np.int64)
    fold[order] = np.arange(contexts) % folds
    token_fit = fit.reshape(contexts, positions)
    return Splits(token_fit, context_fit, fold, np.ones_like(token_fit) if kept is None else kept)
