"""What one pass over the rows tells of them: norms, repeated rows, a few rows that hold nearly all the variance."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from darkmatter.api.grid import Grid
from darkmatter.api.masks import NONE, PaddingWatch
from darkmatter.models.outliers import kept_of, row_norms
from darkmatter.storage.artifacts import ArtifactError

RATIOS = (10, 5, 3)  # median norms above which a row may be one of few that hold the variance
FEW, MOST = 0.25, 0.5  # share of rows (one in each of short contexts is still few), share of variance
REPEATED = 0.01  # share of rows
NEAR = 0.01  # squared distance to the next row ÷ that of rows that differ
BLOCK_ROWS = 8192  # held at once


@dataclass
class Survey:
    """Collects facts of each context as it is read.

    Attributes:
        watch: refuses what looks like padding; None lets it pass.
    """

    watch: PaddingWatch | None
    norms: list[np.ndarray] = field(default_factory=list)
    hashes: list[np.ndarray] = field(default_factory=list)
    steps: list[np.ndarray] = field(default_factory=list)

    def look(self, number: int, rows: Float[np.ndarray, "row d_model"]) -> None:
        """Take in the rows of one context that count."""
        hashes = self.hash(rows)
        if self.watch:
            self.watch.look(number, rows, hashes)
        self.norms.append(row_norms(rows))
        self.hashes.append(hashes)
        self.steps.append(row_norms(np.diff(rows, axis=0)) ** 2)

    def hash(self, rows: Float[np.ndarray, "row d_model"]) -> np.ndarray:
        """uint64 of each row: a random linear function of its bits, where −0 (x · mask makes it) is 0."""
        bits = np.ascontiguousarray(rows + np.float32(0)).view(np.uint32)
        return bits.astype(np.uint64) @ self.multipliers(rows.shape[1])

    @staticmethod
    def multipliers(d_model: int) -> np.ndarray:
        return np.random.default_rng(0).integers(1 << 63, size=d_model, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    @cached_property
    def all_norms(self) -> Float[np.ndarray, " row"]:
        return np.concatenate(self.norms)

    def kept(self, ratio: float | None, grid: Grid) -> Bool[np.ndarray, "context position"]:
        """The rows that count and have no more than `ratio` median norms.

        Raises:
            ArtifactError: a context is left without a row.
        """
        if ratio is None:
            return grid.present
        kept = grid.on_grid(kept_of(self.all_norms, ratio))
        if not kept.any(1).all():
            raise ArtifactError(
                f"activations: context {int(np.argmin(kept.any(1)))} has no row below {ratio:g} times the median norm; "
                "raise outlier_norm_ratio (--outlier-norm-ratio)"
            )
        return kept

    def notes(self, grid: Grid, kept: Bool[np.ndarray, "context position"]) -> list[str]:
        """What a reader of the numbers should know of the rows behind them; refuses what looks like padding."""
        chosen = grid.of_rows(kept)
        notes = (self.outliers(grid, chosen), self.copies(), self.repeated(chosen), self.alike(grid))
        return [note for note in notes if note]

    @cached_property
    def first(self) -> Bool[np.ndarray, " context"]:
        """Which contexts are no copy of an earlier one; a single row may be a token that comes again."""
        numbers: dict[bytes, int] = {}
        earliest = [numbers.setdefault(rows.tobytes(), number) for number, rows in enumerate(self.hashes)]
        alone = np.array([len(rows) == 1 for rows in self.hashes])
        return alone | (np.array(earliest) == np.arange(len(earliest)))

    def copies(self) -> str | None:
        if self.first.all():
            return None
        return (
            f"{np.count_nonzero(~self.first):,} of {len(self.first):,} contexts are copies of another, bit for bit: "
            "what is fitted on one side of the split comes again on the other, which flatters the held-out numbers. "
            "Leave the copies out"
        )

    def repeated(self, chosen: Bool[np.ndarray, " row"]) -> str | None:
        own = np.repeat(self.first, [len(rows) for rows in self.hashes])
        hashes = np.concatenate(self.hashes)[chosen & own]
        counts = np.unique(hashes, return_counts=True)[1]
        copies = int(counts[counts > 1].sum())
        if copies < REPEATED * len(hashes):
            return None
        result = f"{copies:,} of {len(hashes):,} rows are equal to another row, bit for bit"
        if not self.watch:
            return result
        return (
            f"{result}. Where this is padding, or the same first token of every context, leave it out with --mask "
            "FILE.npy (mask=)"
        )

    def alike(self, grid: Grid) -> str | None:
        """Of pad tokens a model makes rows that are nearly the same; where nothing said what they are.

        Raises:
            ArtifactError: they are nearly the same from context to context too, and there is no mask.
        """
        limit = RATIOS[-1] * np.median(self.all_norms)  # beside a sink all other steps would be short
        ordinary = [(norms[1:] <= limit) & (norms[:-1] <= limit) for norms in self.norms]
        steps = np.concatenate([step[usual] for step, usual in zip(self.steps, ordinary, strict=True)])
        if not (self.watch and steps.size):
            return None
        near = NEAR * np.quantile(steps, 0.9)
        for side, turn in (("end", -1), ("start", 1)):
            runs = np.array([run_of(step[::turn] < near) for step in self.steps])
            contexts = np.flatnonzero(runs > 1)
            rows = int((runs[contexts] + 1).sum())
            if len(contexts) < 2 or rows < REPEATED * len(self.all_norms):
                continue
            result = f"{len(contexts):,} contexts {side} with rows that are nearly the same, {rows:,} in all"
            edges = grid.rows[grid.starts[contexts] if side == "start" else grid.starts[contexts + 1] - 1]
            if not self.watch.masked and scatter(edges) < near:
                raise ArtifactError(
                    f"activations: {result}, from context to context too. Padding looks so, through a model. "
                    "Give a mask, 1 for each row that counts: --mask FILE.npy [context, position] (mask=), such as the "
                    f"tokenizer's attention_mask. Where these rows are meant: --mask {NONE}"
                )
            return f"{result}. Where this is padding, leave it out with --mask FILE.npy (mask=)"
        return None

    def outliers(self, grid: Grid, chosen: Bool[np.ndarray, " row"]) -> str | None:
        median, count = np.median(self.all_norms[chosen]), np.count_nonzero(chosen)
        sets = {ratio: np.flatnonzero(chosen & (self.all_norms > ratio * median)) for ratio in RATIOS}
        sets = {ratio: few for ratio, few in sets.items() if 0 < len(few) <= FEW * count}
        for ratio, share in shares_of_variance(grid.rows, chosen, sets).items():
            if share >= MOST:
                return (
                    f"{len(sets[ratio]):,} of {count:,} rows hold {share:.0%} of the variance: their norm is above "
                    f"{ratio} median norms, as that of attention sinks. The numbers are mostly about them; "
                    f"--outlier-norm-ratio {ratio} (outlier_norm_ratio={ratio}) leaves them out"
                )
        return None


def run_of(near: Bool[np.ndarray, " step"]) -> int:
    """How many steps are short before the first that is not; 0 where all are."""
    return 0 if near.all() else int(np.argmin(near))


def scatter(edges: Float[np.ndarray, "context d_model"]) -> float:
    """Squared distance between two of these rows, as most of them have it."""
    return 2 * float(np.median(row_norms(edges - np.median(edges, axis=0)) ** 2))


def shares_of_variance(
    rows: np.ndarray, chosen: Bool[np.ndarray, " row"], sets: dict[int, np.ndarray]
) -> dict[int, float]:
    """Σ ‖x − x̄‖² over each set (numbers of rows) ÷ that over all the chosen ones; without a set nothing is read."""
    if not sets:
        return {}
    index = np.flatnonzero(chosen)
    parts = [index[start : start + BLOCK_ROWS] for start in range(0, len(index), BLOCK_ROWS)]
    mean = sum(rows[part].sum(0, dtype=np.float64) for part in parts) / len(index)
    whole = sum(np.square(rows[part] - mean).sum() for part in parts)
    return {name: float(np.square(rows[few] - mean).sum() / whole) if whole else 0.0 for name, few in sets.items()}
