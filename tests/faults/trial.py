"""One fault injected into one thing, and what came of it."""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from darkmatter.params.types import ParamsError
from darkmatter.runner.unit import UnitError
from darkmatter.storage.artifacts import ArtifactError

# What a stage and the command print as one line before they end with 1; all else is a traceback to a user.
CLEAR = (ArtifactError, ParamsError, UnitError)
LONGEST = 1000  # characters of one clear line
SECONDS, MEMORY = 60.0, 1 << 30  # what a read of a file of kilobytes may take
SURVIVED, REFUSED, UNCLEAR, WRONG, LOST = OUTCOMES = ("survived", "refused", "unclear", "silently_wrong", "lost")


@dataclass(frozen=True)
class Trial:
    """A fault and its outcome.

    Attributes:
        fault: what was done.
        target: what it was done to.
        outcome: survived: the right result; refused: one clear line that names what is wrong; unclear: it ended, but
            not with such a line; silently_wrong: another result, and nobody said so; lost: finished work is gone.
        says: the line, or what was wrong.
        bytes_lost: of outputs that were finished before the fault.
        seconds: until all was right again; None where there was nothing to recover.
    """

    group: str
    fault: str
    target: str
    outcome: str
    says: str = ""
    bytes_lost: int = 0
    seconds: float | None = None

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def try_read(
    group: str,
    fault: str,
    target: str,
    read: Callable[[], Any],
    right: Callable[[Any], bool],
    names: Sequence[str] = (),
    hidden: Path | None = None,
) -> Trial:
    """Read what was damaged, and judge what comes of it.

    Args:
        read: what a stage or the command does with it.
        right: whether its result is what it would have been without the fault.
        names: what a refusal must name.
        hidden: a folder of this run, left out of what is recorded.
    """

    def trial(outcome: str, says: str = "") -> Trial:
        text = says.replace(str(hidden), "…") if hidden else says
        return Trial(group, fault, target, outcome, text)

    start, before = time.monotonic(), peak()
    try:
        result = read()
    except CLEAR as error:
        says = str(error)
        if "\n" in says or len(says) > LONGEST:
            return trial(UNCLEAR, f"more than one line: {says[:LONGEST]}")
        if missing := [name for name in names if name not in says]:
            return trial(UNCLEAR, f"does not name {', '.join(missing)}: {says}")
        outcome = trial(REFUSED, says)
    except Exception as error:
        return trial(UNCLEAR, f"{type(error).__name__}: {str(error)[:LONGEST]}")
    else:
        outcome = trial(SURVIVED) if right(result) else trial(WRONG, "another result, and nobody said so")
    if (took := time.monotonic() - start) > SECONDS:
        return trial(UNCLEAR, f"took {took:.0f} s")
    if (grown := peak() - before) > MEMORY:
        return trial(UNCLEAR, f"took {grown / 2**30:.1f} GB of memory")
    return outcome


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def never(_: object) -> bool:
    """Of what must be refused: no result is right."""
    return False
