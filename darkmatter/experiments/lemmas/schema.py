"""What reports/PROFILE/results/lemmas.json holds."""

from typing import NotRequired

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import Estimate


class Exact(TypedDict):
    """A number as a formula, and to float64."""

    exact: str
    value: float


class CheckedNumber(TypedDict):
    """A derived number, and what a sample says of it."""

    quantity: str
    derived: Exact
    monte_carlo: Estimate
    agrees: bool


class LemmaRow(CheckedNumber):
    """A lemma: what the paper prints, null where it prints nothing, and what follows."""

    id: str
    statement: str
    printed: str | None
    print_holds: bool | None
    parts: list[CheckedNumber]
    printed_expression: NotRequired[Exact]
    printed_formula: NotRequired[Exact]
    limit: NotRequired[Exact]


class MonteCarlo(TypedDict):
    """The samples; the intervals of all `checks` hold together at the level `simultaneous`."""

    rows: int
    features: int
    seed: int
    checks: int
    simultaneous: float


class LemmasContent(TypedDict):
    """Appendix C.1 by algebra and by sampling."""

    lemmas: list[LemmaRow]
    monte_carlo: MonteCarlo
