"""Numbers in the words of a title: what a figure found, true whatever it found."""

from collections.abc import Iterable, Sequence
from typing import Any

from darkmatter.params.schema import Params
from darkmatter.results.load import Results

UNKNOWN = "undefined"
FIXED = "\N{NO-BREAK SPACE}"  # before a per cent sign, which begins no line


def known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def values_of(estimates: Iterable[dict[str, Any]]) -> list[float]:
    """The values that are not null."""
    return known(estimate["value"] for estimate in estimates)


def decimals(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(share: float | None, digits: int = 0) -> str:
    return UNKNOWN if share is None else f"{decimals(100 * share, digits)}{FIXED}%"


def span(values: Sequence[float], digits: int = 2) -> str:
    """0.74 to 0.83; one number where both would read the same."""
    if not values:
        return UNKNOWN
    ends = decimals(min(values), digits), decimals(max(values), digits)
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def percent_span(shares: Sequence[float], digits: int = 0) -> str:
    """12 to 32 %."""
    return f"{span([100 * share for share in shares], digits)}{FIXED}%" if shares else UNKNOWN


def changes(*parts: tuple[str, float | None, float | None]) -> str:
    """FVU falls by 33 %, its nonlinear part by 7 %: a verb that is the same again is left out.

    Args:
        parts: name, value before and value after of each.
    """
    sentences, last = [], ""
    for name, before, after in parts:
        if before is None or after is None or before == 0:
            verb, amount = "has no defined change", ""
        elif abs(after / before - 1) < 0.005:
            verb, amount = "stays the same", ""
        else:
            verb, amount = "falls" if after < before else "rises", f" by {percent(abs(after / before - 1))}"
        sentences.append(f"{name}{amount}" if amount and verb == last else f"{name} {verb}{amount}")
        last = verb
    return ", ".join(sentences)


def counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def level_of(params: Params) -> str:
    """95 %: the level of intervals over contexts."""
    return f"{100 * params.decomposition.bootstrap.level:g} %"


def context_note(results: Results, hookpoint: str, params: Params) -> str:
    """Where a figure's numbers come from, in one sentence."""
    run = results.decomposition[hookpoint]
    return (
        f"{run['model']}, {hookpoint}; {run['rows']:,} tokens of {run['contexts']} contexts; token split, the "
        f"paper's conventions; {level_of(params)} intervals over contexts."
    )
