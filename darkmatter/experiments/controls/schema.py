"""What reports/PROFILE/results/controls.json holds."""

from typing import Literal

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import Estimate


class Checked(TypedDict):
    """A control under one split; `found` is compared with what is known."""

    r2: Estimate
    found: Estimate
    holds: bool | None


class ControlRow(TypedDict):
    """One control: what was done, what is known, what was found."""

    id: str
    control: str
    relation: Literal["equals", "at most", "above"]
    expected: str
    value: float | None
    token: Checked
    context: Checked


class FitEnding(TypedDict):
    """Where some of the starts of the power law end."""

    starts: int
    asymptote: float
    exponent: float
    rss: float
    flat: bool


class PowerLawStarts(TypedDict):
    """Whether all random starts of the power law end in one optimum."""

    starts: int
    agreeing: int | None
    flat: int | None
    endings: list[FitEnding]
    holds: bool | None
    reason: str | None


class ControlsContent(TypedDict):
    """Every control; intervals hold for all `checks` of a split together at the level `simultaneous`."""

    hookpoint: str
    sae: str
    contexts: int
    positions: int
    controls: list[ControlRow]
    simultaneous: float
    checks: int
    power_law_starts: PowerLawStarts
