"""What a decomposition found, as numbers, as JSON and as a table. No torch: a result can be read back anywhere."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darkmatter.api import frames
from darkmatter.storage.artifacts import to_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from darkmatter.api.parts import RowParts

SHOWN = {
    "fvu": "FVU",
    "fvu_nonlinear": "FVU_nonlinear",
    "vector_r2": "R² of the error vector (Eq. 11)",
    "norm_r2": "R² of its squared norm (Eq. 10)",
}
SPLIT_NAMES = {"token": "held-out tokens", "context": "held-out contexts"}
FEW_CONTEXTS = 30


@dataclass(frozen=True)
class Decomposed:
    """The error of one SAE, split into a linear function of the activation and the rest.

    Attributes:
        rows: that take part: neither masked nor outliers.
        dropped_rows: outliers.
        masked_rows: positions that the mask left out.
        d_out: width of a transcoder's targets, of which all numbers then speak where they say x; None for an SAE.
        estimates: split (`token`, `context`) → convention (`paper`, `authors`) → name → estimate; an estimate is
            `value`, `low`, `high`, `rows`, `contexts`, `rank`, or a null value with its `reason`.
        l0: latents that fire per row; None where Sae(x) came without its SAE. So are d_sae and dead_latents.
        dead_latents: latents that fired on none of these rows.
        core: means over rows and latents, by the names of SAEBench's `core` evaluation.
        regressions: rows, rank and condition number of each fit set.
        settings: shares, seeds and level that determine the numbers.
        notes: what a reader should know of the rows, such as that a few hold most of the variance.
        source: where activations and SAE came from, as far as the caller said.
        without_skip: of a transcoder with a skip connection, the error of what its latents alone give.
        parts: the error of each row and its parts, where they were asked for; not part of `to_json`.
        seconds: what it took, not part of `to_json`.
    """

    rows: int
    dropped_rows: int
    masked_rows: int
    contexts: int
    d_model: int
    d_out: int | None
    d_sae: int | None
    l0: float | None
    dead_latents: int | None
    estimates: dict[str, Any]
    core: dict[str, float]
    regressions: dict[str, dict[str, float]]
    settings: dict[str, Any]
    source: dict[str, Any]
    notes: list[str]
    without_skip: "Decomposed | None"
    parts: "RowParts | None"
    seconds: float

    def estimate(self, name: str, split: str = "token", convention: str = "paper") -> dict[str, Any]:
        """One estimate, such as `estimate("fvu_nonlinear")["value"]`."""
        return self.estimates[split][convention][name]

    def content(self) -> dict[str, Any]:
        """Everything but the time and the parts of each row."""
        result = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        del result["seconds"], result["parts"]
        return result | {"without_skip": self.without_skip and self.without_skip.content()}

    def to_json(self) -> str:
        """`content`; the same bytes for the same numbers."""
        return to_json(self.content())

    def to_frame(self) -> "pd.DataFrame":
        """One line for each estimate, with its interval: split, convention, estimate, value, low, high, rows, …"""
        return frames.to_frame({"": self})

    def plot(self) -> "Figure":
        """FVU on held-out tokens, split into what is linear in x and what is not, with intervals."""
        return frames.plot({"": self})

    def table(self, convention: str = "paper") -> str:
        """L0, FVU, FVU_nonlinear and both R² with their intervals, one column per split."""
        level = f"{100 * self.settings['bootstrap']['level']:g} %"
        lines = [*self.head(), "", *self.rows_of_table(convention), "", *self.footnotes(level, convention)]
        if self.without_skip is not None:
            bare = self.without_skip.rows_of_table(convention)
            lines += ["", "without the skip connection, whose part of the error is linear in x", *bare]
        return "\n".join(lines)

    def rows_of_table(self, convention: str = "paper") -> list[str]:
        """The numbers alone, with the names of their columns first."""
        columns = [[name, *self.column(split, convention)] for split, name in SPLIT_NAMES.items()]
        lines = [["", *SHOWN.values(), "rows scored", "contexts scored", "rank of the regression"], *columns]
        widths = [max(map(len, line)) for line in lines]
        columns = [[cell.ljust(width) for cell in line] for line, width in zip(lines, widths, strict=True)]
        return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]

    def column(self, split: str, convention: str) -> list[str]:
        vector = self.estimate("vector_r2", split, convention)
        facts = [vector["rows"], vector["contexts"], vector["rank"]]
        return [shown(self.estimate(name, split, convention)) for name in SHOWN] + [f"{fact:,}" for fact in facts]

    def head(self) -> list[str]:
        counts = {"outliers": self.dropped_rows, "masked rows": self.masked_rows}
        left_out = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        left_out = f" ({left_out} left out)" if left_out else ""
        lines = [f"{self.rows:,} rows of {self.contexts:,} contexts{left_out}, d_model {self.d_model:,}"]
        if self.d_out is not None:
            lines = [f"{lines[0]}; error of a transcoder to d_out {self.d_out:,}"]
        if self.l0 is None:
            return [*lines, "Sae(x) given without its SAE: L0 unknown"]
        return [*lines, f"L0 {self.l0:.2f} of {self.d_sae:,} latents, {self.dead_latents:,} of them never fire here"]

    def footnotes(self, level: str, convention: str) -> list[str]:
        notes = [f"{level} intervals over contexts, without the noise of the fit and of the SAE's training"]
        if self.contexts < FEW_CONTEXTS:
            notes.append(f"{self.contexts} contexts are few: take the intervals as rough")
        if convention == "authors":
            notes.append("conventions of the published code: no intercept, FVU on all rows, fitted ones among them")
        return notes

    def __str__(self) -> str:
        return "\n".join([self.table(), *(f"note: {note}" for note in self.notes)])


def shown(estimate: dict[str, Any]) -> str:
    """0.195 (0.187 to 0.203), or why there is no number."""
    if estimate["value"] is None:
        return f"none: {estimate['reason']}"
    value, low, high = (f"{estimate[name]:.4f}".replace("-", "−") for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
