"""What one check of `darkmatter doctor` found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, in words.

    Attributes:
        ok: nothing here stops a run.
        command: what fixes it, where something does.
    """

    check: str
    ok: bool
    message: str
    command: str | None = None

    def __str__(self) -> str:
        fix = f"\n      fix: {self.command}" if self.command else ""
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.check}: {self.message}{fix}"
