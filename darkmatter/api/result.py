"""What a decomposition found, as numbers, as JSON and as a table. No torch: a result can be read back anywhere."""

from dataclasses import asdict, dataclass
from typing import Any

from darkmatter.storage.artifacts import to_json

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
        estimates: split (`token`, `context`) → convention (`paper`, `authors`) → name → estimate; an estimate is
            `value`, `low`, `high`, `rows`, `contexts`, `rank`, or a null value with its `reason`.
        l0: latents that fire per row; None where Sae(x) came without its SAE. So are d_sae and dead_latents.
        dead_latents: latents that fired on none of these rows.
        regressions: rows, rank and condition number of each fit set.
        settings: shares, seeds and level that determine the numbers.
        notes: what a reader should know of the rows, such as that a few hold most of the variance.
        source: where activations and SAE came from, as far as the caller said.
        seconds: what it took, not part of `to_json`.
    """

    rows: int
    dropped_rows: int
    masked_rows: int
    contexts: int
    d_model: int
    d_sae: int | None
    l0: float | None
    dead_latents: int | None
    estimates: dict[str, Any]
    regressions: dict[str, dict[str, float]]
    settings: dict[str, Any]
    source: dict[str, Any]
    notes: list[str]
    seconds: float

    def estimate(self, name: str, split: str = "token", convention: str = "paper") -> dict[str, Any]:
        """One estimate, such as `estimate("fvu_nonlinear")["value"]`."""
        return self.estimates[split][convention][name]

    def to_json(self) -> str:
        """Everything but the time; the same bytes for the same numbers."""
        content = asdict(self)
        del content["seconds"]
        return to_json(content)

    def table(self, convention: str = "paper") -> str:
        """L0, FVU, FVU_nonlinear and both R² with their intervals, one column per split."""
        level = f"{100 * self.settings['bootstrap']['level']:g} %"
        return "\n".join([*self.head(), "", *self.rows_of_table(convention), "", *self.footnotes(level, convention)])

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
