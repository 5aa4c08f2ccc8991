"""Two ways to the same result, timed in turn: ours, rival, ours, rival, so that whatever else runs falls on both.

Our side has the products that the stages have; the rival those that its library comes with.

A row of the table is the ratio of each pair, its median and spread, and what was compared of the results.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from darkmatter.runner.arithmetic import FLOAT32, products

Run = Callable[[], Any]


@dataclass(frozen=True)
class Pairs:
    """Amounts of both sides, pair by pair, and what each returned last.

    Attributes:
        ours, rival: seconds (of memory: gigabytes).
        results: of our side, then of the rival.
    """

    ours: list[float]
    rival: list[float]
    results: tuple[Any, Any]

    @property
    def ratios(self) -> list[float]:
        return [rival / ours for ours, rival in zip(self.ours, self.rival, strict=True)]


@dataclass(frozen=True)
class Check:
    """A number beside the ratio that the goal asks for.

    Attributes:
        at_least: whether `bound` is the least or the most that `value` may be.
    """

    name: str
    value: float
    bound: float
    at_least: bool

    @property
    def reached(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Limit:
    """How near our side comes to what the machine can do, as measured in the same run.

    Attributes:
        what: of which limit.
        share: what the limit allows as the shortest time, over our time.
    """

    what: str
    share: float


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        goal: least ratio of rival over ours; None where only the checks count.
        unit: of the amounts of both sides.
        note: what the two sides did, and what was scaled.
    """

    group: str
    name: str
    rival: str
    goal: float | None
    pairs: Pairs
    unit: str = "s"
    checks: Sequence[Check] = ()
    limit: Limit | None = None
    note: str = ""

    def facts(self) -> dict[str, Any]:
        """The line as reports/bench.json has it."""
        ratios = sorted(self.pairs.ratios)
        middle = median(ratios)
        reached = (self.goal is None or middle >= self.goal) and all(check.reached for check in self.checks)
        return {
            "group": self.group,
            "name": self.name,
            "rival": self.rival,
            "ratio": {"median": middle, "low": ratios[0], "high": ratios[-1], "pairs": len(ratios)},
            "goal": self.goal,
            "reached": bool(reached),
            "ours": median(self.pairs.ours),
            "rivals": median(self.pairs.rival),
            "unit": self.unit,
            "checks": [asdict(check) | {"reached": bool(check.reached)} for check in self.checks],
            "limit": None if self.limit is None else asdict(self.limit),
            "note": self.note,
        }


def timed(run: Run) -> tuple[float, Any]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def timed_as_in_stages(run: Run) -> tuple[float, Any]:
    with products(FLOAT32):
        return timed(run)


def shortest(run: Run, attempts: int, clock: Callable[[Run], tuple[float, Any]] = timed_as_in_stages) -> float:
    """Seconds of the quickest of some runs."""
    return min(clock(run)[0] for _ in range(attempts))


def interleave(ours: Run, rival: Run, pairs: int, scale: float = 1.0, warm_up: int = 0) -> Pairs:
    """Time both sides in turn.

    Args:
        scale: how many times the rival would have to do what it is timed on.
        warm_up: pairs that are run before and not counted.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    results: list[Any] = [None, None]
    for _ in range(warm_up + pairs):
        for side, (clock, run) in enumerate(((timed_as_in_stages, ours), (timed, rival))):
            taken, results[side] = clock(run)
            seconds[side].append(taken * (scale if side else 1.0))
    return Pairs(seconds[0][warm_up:], seconds[1][warm_up:], (results[0], results[1]))


@dataclass(frozen=True)
class Peaks:
    """What one thread of this machine does at best.

    Attributes:
        float32, float64: floating-point operations per second of a matrix product, as the stages compute it.
        bandwidth: bytes per second that a sum over an array larger than the caches reads.
    """

    float32: float
    float64: float
    bandwidth: float


def measure_peaks(size: int = 2048, attempts: int = 5) -> Peaks:
    rates = []
    for dtype in (torch.float32, torch.float64):
        a = torch.ones(size, size, dtype=dtype)
        rates.append(2 * size**3 / shortest(lambda a=a: a @ a, attempts))
    array = np.ones(1 << 25)
    read = array.nbytes / shortest(array.sum, attempts, timed)
    return Peaks(*rates, read)
