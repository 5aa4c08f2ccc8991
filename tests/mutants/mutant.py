"""A bug that is planted in one module, and what the tests made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CAUGHT, SURVIVED = OUTCOMES = ("caught", "survived")


@dataclass(frozen=True)
class Mutant:
    """A planted bug.

    Attributes:
        module: the file.
        text: what stands there once.
        replacement: what takes its place.
        seen: what a user would see of it.
        test_since: the first run missed it; the test that was written for it then.
    """

    module: str
    text: str
    replacement: str
    seen: str
    test_since: str = ""

    def planted(self, root: Path = ROOT) -> str:
        """The text of the module with the bug.

        Raises:
            ValueError: what is to be replaced is not there once: the list is of another revision.
        """
        content = (root / self.module).read_text(encoding="utf-8")
        if (count := content.count(self.text)) != 1:
            raise ValueError(f"{self.module} holds {self.text!r} {count} times, not once: bring the list up to date")
        return content.replace(self.text, self.replacement)

    def facts(self) -> dict[str, Any]:
        """What the results file says of the bug itself."""
        own = {"module": self.module, "text": self.text, "replacement": self.replacement, "seen": self.seen}
        return own | ({"test_since": self.test_since} if self.test_since else {})

    def is_of(self, result: Mapping[str, Any]) -> bool:
        """Whether a result is of this very bug."""
        return all(result.get(key) == getattr(self, key) for key in ("module", "text", "replacement"))
