"""Hold what was derived against what is committed, number by number."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 1e-6  # relative: what another CPU's arithmetic may do
NOISE = 1e-9  # absolute: a difference that cancels to zero, on R² and FVU


@dataclass
class Comparison:
    """What came of holding a derived file against the committed one.

    Attributes:
        equal: numbers that came out the same, to the last bit.
        close: those within the tolerance.
        given: numbers of the committed file that were not derived: facts such as a width, and what needs more sums.
        differing: (place, committed, derived).
        values: (place, derived number), of those that came out the same.
    """

    equal: int = 0
    close: int = 0
    given: int = 0
    differing: list[tuple[str, Any, Any]] = field(default_factory=list)
    values: list[tuple[str, float]] = field(default_factory=list)

    @property
    def derived(self) -> int:
        return self.equal + self.close


def compare(committed: Any, derived: Any, place: str = "") -> Comparison:
    """Every leaf of `derived` must stand in `committed`; what `committed` has beyond is counted as given.

    Args:
        place: of both in their file.
    """
    comparison = Comparison()
    walk(committed, derived, place, comparison)
    return comparison


def walk(committed: Any, derived: Any, place: str, comparison: Comparison) -> None:
    match committed, derived:
        case dict(), dict():
            for key in sorted(committed.keys() | derived.keys()):
                inner = f"{place}.{key}" if place else key
                if key not in derived:
                    comparison.given += numbers(committed[key])
                elif key not in committed:
                    comparison.differing.append((inner, None, derived[key]))
                else:
                    walk(committed[key], derived[key], inner, comparison)
        case list(), list() if len(committed) == len(derived):
            for index, pair in enumerate(zip(committed, derived, strict=True)):
                walk(*pair, f"{place}[{name_of(pair[0], index)}]", comparison)
        case _ if is_number(committed) and is_number(derived):
            if committed == derived:
                comparison.equal += 1
            elif math.isclose(committed, derived, rel_tol=TOLERANCE, abs_tol=NOISE):
                comparison.close += 1
            else:
                comparison.differing.append((place, committed, derived))
                return
            comparison.values.append((place, derived))
        case _ if type(committed) is not type(derived) or committed != derived:
            comparison.differing.append((place, committed, derived))


def name_of(item: Any, index: int) -> Any:
    """What an element of a list is called: its name or id where it has one."""
    return item.get("name", item.get("id", index)) if isinstance(item, dict) else index


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers(value: Any) -> int:
    """How many numbers a tree holds."""
    return sum(1 for leaf in leaves(value) if is_number(leaf))


def leaves(value: Any) -> Iterator[Any]:
    match value:
        case dict():
            for part in value.values():
                yield from leaves(part)
        case list():
            for part in value:
                yield from leaves(part)
        case _:
            yield value
