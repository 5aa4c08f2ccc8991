"""What an audit finds, and the exit code that says how bad it is."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

# What code meets in a file that has another form than its stage writes.
MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, zlib.error)
Kind = Literal["tampered", "differs", "rule-changed", "stale", "missing"]

# Gravest first: bytes are not those that the stage wrote; a number does not follow from the stored sums; a rule
# or a prediction came or changed after a result had been seen; made from other code, parameters or inputs than those
# here; not here, so not checked. 1 is for an audit that could not be made, 2 for wrong arguments.
EXIT_CODES: dict[Kind, int] = {"tampered": 3, "differs": 4, "rule-changed": 5, "stale": 6, "missing": 7}


@dataclass(frozen=True)
class AuditFinding:
    """One thing that is wrong.

    Attributes:
        path: of the file, or the name of the stage or claim.
        message: what is wrong with it, and the command that fixes it where there is one.
    """

    kind: Kind
    path: str
    message: str


def exit_code(findings: Sequence[AuditFinding]) -> int:
    """That of the gravest finding; 0 without any."""
    return min((EXIT_CODES[finding.kind] for finding in findings), default=0)


def as_json(findings: Sequence[AuditFinding]) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in findings]


def as_text(findings: Sequence[AuditFinding]) -> list[str]:
    """One line per finding, gravest first."""
    ordered = sorted(findings, key=lambda finding: (EXIT_CODES[finding.kind], finding.path))
    return [f"{finding.kind}: {finding.path}: {finding.message}" for finding in ordered]


def printable(line: str) -> str:
    """A line that a terminal shows and does not obey: names of files may hold escape sequences and lone surrogates."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
