"""What a decomposition of many SAEs found: one result each, by name, and all of them as one table."""

from typing import TYPE_CHECKING

from darkmatter.api import frames
from darkmatter.api.result import Decomposed
from darkmatter.storage.artifacts import to_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class DecomposedSaes(dict[str, Decomposed]):
    """Name of each SAE → its result. The rows and the moments of x are the same for all."""

    def to_frame(self) -> "pd.DataFrame":
        """One line for each estimate of each SAE, with its interval (`frames.to_frame`)."""
        return frames.to_frame(self)

    def plot(self) -> "Figure":
        """A bar for each SAE: its FVU, split into what is linear in x and what is not."""
        return frames.plot(self)

    def to_json(self) -> str:
        """The content of each result, by name."""
        return to_json({name: one.content() for name, one in self.items()})

    def table(self, convention: str = "paper") -> str:
        """The table of each SAE, under its name."""
        return "\n\n".join(f"{name}\n{one.table(convention)}" for name, one in self.items())

    def __str__(self) -> str:
        return "\n\n".join(f"{name}\n{one}" for name, one in self.items())
