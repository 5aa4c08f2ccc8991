"""Where the four numbers should lie, why, and whether they do."""

from dataclasses import dataclass

from darkmatter.api.result import Decomposed
from darkmatter.saes.l0 import ON_LIKE_TEXT, around

FVU = (0.1, 0.5)
VECTOR_R2, NORM_R2 = (0.15, 0.72), (0.70, 0.95)  # sections 4.2 and 4.1, over all SAEs


@dataclass(frozen=True)
class Judged:
    """A number that was measured, beside the range in which it should lie.

    Attributes:
        measured: on the held-out tokens, the paper's split and conventions.
        why: what the range rests on.
    """

    name: str
    measured: float
    low: float
    high: float
    why: str

    @property
    def inside(self) -> bool:
        return self.low <= self.measured <= self.high

    def __str__(self) -> str:
        said = "inside" if self.inside else "OUTSIDE"
        return f"{self.name:<30} {self.measured:8.3f}  {said:<7} {self.low:.3g} to {self.high:.3g}: {self.why}"


def held_out(r2: float, rows: int, rank: int) -> float:
    """Held-out R² of a regression on `rank` directions from `rows` rows, where endless rows would give `r2`.

    The noise of the coefficients adds rank/(rows − rank) of the residual's variance on rows not fitted, so that
    1 − R² grows by rows/(rows − rank) (exact for Gaussian regressors up to terms of 1/rows).
    """
    return 1 - (1 - r2) * rows / (rows - rank)


def judge(result: Decomposed, nominal_l0: float) -> list[Judged]:
    """L0, FVU and both R² of the check, each against its range."""
    fit = result.regressions["token"]
    rows, rank = fit["fit_rows"], fit["rank"]

    def widened(name: str, label: str, low: float, high: float, section: str) -> Judged:
        least, factor = held_out(low, rows, rank), rows / (rows - rank)
        why = (
            f"section {section} has {low:g} to {high:g}; {rows:,} rows for {rank:,} coefficients make 1 − R² larger by "
            f"a factor of {factor:.2f}, which the lower end allows for"
        )
        return Judged(label, result.estimate(name)["value"], least, high, why)

    low, high = around(nominal_l0, ON_LIKE_TEXT)
    l0_why = f"published average {nominal_l0:g} over other text, within a factor of √2 (an assumption)"
    fvu_why = "an assumption: SAEs of this L0 leave a tenth to a half; one that is read wrongly leaves more"
    return [
        Judged("L0", result.l0, low, high, l0_why),
        Judged("FVU", result.estimate("fvu")["value"], *FVU, fvu_why),
        widened("vector_r2", "R² of the error vector", *VECTOR_R2, "4.2"),
        widened("norm_r2", "R² of its squared norm", *NORM_R2, "4.1"),
    ]
