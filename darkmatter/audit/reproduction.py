"""Did a run reproduce another one of the same profile? Outcomes first, then intervals, then how far numbers moved.

Another class of CPU trains SAEs to other weights, so that numbers move; the spread over training seeds says how far a
number moves with nothing changed but the seed. Its unit here is the standard deviation that claims.json says, or that
its interval of the seed stands for.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import t as t_distribution

from darkmatter.audit.compare import NOISE, TOLERANCE
from darkmatter.audit.runs import Run
from darkmatter.ledger.estimands.experiments import KEYS

Content = dict[str, Any]
ENDS = ("low", "high")
NOT_THERE = "absent"


@dataclass(frozen=True)
class Changed:
    """An outcome that is not the same.

    Attributes:
        component: None for the claim itself.
        there, here: verdict and analogue; None where that run does not have it.
        other_rule: whether another rule judged it.
    """

    claim: str
    component: str | None
    there: tuple[str, str] | None
    here: tuple[str, str] | None
    other_rule: bool


@dataclass(frozen=True)
class NumberPair:
    """One number of both runs.

    Attributes:
        key: what an element of a list is of, such as the name of an SAE; empty where there is one number.
        there, here: estimates as claims.json has them.
        seed_spread: standard deviation over training seeds, of the other run; None where it is not known.
    """

    claim: str
    component: str
    key: str
    there: Content
    here: Content
    seed_spread: float | None

    @property
    def shift(self) -> float:
        return self.here["value"] - self.there["value"]

    @property
    def in_spreads(self) -> float | None:
        return abs(self.shift) / self.seed_spread if self.seed_spread else None

    @property
    def in_half_widths(self) -> float | None:
        """The shift in half widths of the other run's interval; None where it has none."""
        if None in (low_high := [self.there[end] for end in ENDS]):
            return None
        half = (low_high[1] - low_high[0]) / 2
        return abs(self.shift) / half if half > NOISE else None

    @property
    def disjoint(self) -> bool:
        """Whether the intervals lie apart by more than another CPU's arithmetic may do to their ends."""
        if None in (ends := [one[end] for one in (self.there, self.here) for end in ENDS]):
            return False
        (low, high), (other_low, other_high) = ends[:2], ends[2:]
        return any(
            first < second and not math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=NOISE)
            for first, second in ((high, other_low), (other_high, low))
        )


@dataclass
class Reproduction:
    """What two runs of one profile have in common, and where they differ.

    Attributes:
        changed: outcomes that differ.
        pairs: numbers that both runs have.
        alone: numbers that one run has and the other has not, or has not defined.
        machines: `machine` or `libraries` of the receipts → field → values there and here, where they differ.
        parameters: dotted name → its value there and here where they differ, of the stages that both runs have.
    """

    there: Run
    here: Run
    changed: list[Changed] = field(default_factory=list)
    pairs: list[NumberPair] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    machines: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def equal(self) -> int:
        return sum(pair.shift == 0 for pair in self.pairs)

    @property
    def disjoint(self) -> list[NumberPair]:
        return [pair for pair in self.pairs if pair.disjoint]

    def farthest(self) -> list[NumberPair]:
        """Numbers that moved and whose spread over training seeds is known, farthest first."""
        moved = [pair for pair in self.pairs if pair.shift and pair.in_spreads is not None]
        return sorted(moved, key=lambda pair: -(pair.in_spreads or 0.0))

    def farthest_of_others(self) -> list[NumberPair]:
        """Numbers that moved, have an interval and no known spread over training seeds, farthest first."""
        moved = [
            pair for pair in self.pairs if pair.shift and pair.in_spreads is None and pair.in_half_widths is not None
        ]
        return sorted(moved, key=lambda pair: -(pair.in_half_widths or 0.0))


def reproduction(there: Run, here: Run) -> Reproduction:
    """Compare two runs of one profile.

    Args:
        there: what is to be reproduced.
    """
    result = Reproduction(there, here, machines=machines(there, here), parameters=parameters(there, here))
    rows, others = here.judged, there.judged
    for claim in dict.fromkeys([*others, *rows]):
        row, other = rows.get(claim, {}), others.get(claim, {})
        result.changed += changed(claim, other, row)
        mine, theirs = row.get("components", {}), other.get("components", {})
        for component in dict.fromkeys([*theirs, *mine]):
            first, second = by_key(theirs.get(component, [])), by_key(mine.get(component, []))
            for key in dict.fromkeys([*first, *second]):
                one, two = (side.get(key, {"value": None}) for side in (first, second))
                if None not in (one["value"], two["value"]):
                    spread = seed_spread(one, there.seed_freedom)
                    result.pairs.append(NumberPair(claim, component, key, one, two, spread))
                elif one["value"] != two["value"]:
                    where = there.name if two["value"] is None else "here"
                    result.alone.append(f"{' '.join(filter(None, (claim, component, key)))}: only {where}")
    return result


def changed(claim: str, there: Content, here: Content) -> Iterator[Changed]:
    """The claim where its outcome differs, then each of its components that does; early runs tell none of these."""
    other_rule = bool(there and here) and there["rule_sha256"] != here["rule_sha256"]
    if (one := outcome(there)) != (two := outcome(here)):
        yield Changed(claim, None, one, two, other_rule)
    if "outcomes" not in there or "outcomes" not in here:
        return
    theirs, mine = there["outcomes"], here["outcomes"]
    for name in dict.fromkeys([*theirs, *mine]):
        if (one := outcome(theirs.get(name))) != (two := outcome(mine.get(name))):
            yield Changed(claim, name, one, two, other_rule)


def outcome(row: Mapping[str, Any] | None) -> tuple[str, str] | None:
    return (row["verdict"], row["analogue"]) if row else None


def by_key(estimates: Sequence[Content]) -> dict[str, Content]:
    """The estimates of a component, each by what it is of, or by its place where several are of the same."""
    names = [next((str(one[key]) for key in KEYS if key in one), "") for one in estimates]
    if len(set(names)) < len(names):
        names = [f"{name}#{place}" for place, name in enumerate(names)]
    return dict(zip(names, estimates, strict=True))


def seed_spread(estimate: Content, freedom: int) -> float | None:
    """The standard deviation over training seeds, as the estimate says it, or as the seed's own interval stands for it.

    Args:
        freedom: of an interval that does not say its own: it is t of the deviation on either side.
    """
    if said := estimate.get("of_seed", {}).get("deviation", 0.0):
        return said if said > NOISE else None
    alone = estimate.get("intervals", {}).get("seed")
    if alone is None or freedom == 0:
        return None
    half = (alone["high"] - alone["low"]) / 2
    spread = half / float(t_distribution.ppf(0.5 + estimate["level"] / 2, freedom))
    return spread if spread > NOISE else None


def machines(there: Run, here: Run) -> dict[str, tuple[list[str], list[str]]]:
    """What the receipts say of machine and libraries, where it differs: field → its values there and here."""
    first, second = facts(there), facts(here)
    return {
        name: (first.get(name, []), second.get(name, []))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    }


def parameters(there: Run, here: Run) -> dict[str, tuple[str, str]]:
    """Dotted name → value there and here, or NOT_THERE, where it differs in the stages that both runs have."""
    stages = there.receipts.keys() & here.receipts.keys()
    first, second = (run.parameters(stages) for run in (there, here))
    pairs = {name: (first.get(name, NOT_THERE), second.get(name, NOT_THERE)) for name in sorted({*first, *second})}
    return {name: both for name, both in pairs.items() if both[0] != both[1]}


def facts(run: Run) -> dict[str, list[str]]:
    """Field of the receipts' machine and libraries → its values over all stages."""
    result: dict[str, list[str]] = {}
    for _, receipt in sorted(run.receipts.items()):
        for name, value in (receipt["machine"] | receipt["libraries"]).items():
            if str(value) not in result.setdefault(name, []):
                result[name].append(str(value))
    return {name: sorted(values) for name, values in result.items()}
