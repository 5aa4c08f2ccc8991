"""How dense SAEs are: L0 as a share of the model's dimensions, here and in the paper.

An L0 means little across models of different width: 32 latents of 576 dimensions are a larger share than 60 of 3,584.
The paper's numbers are those of conf/manifests.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Density:
    """`l0` active latents of a model of `d_model` dimensions."""

    l0: float
    d_model: int

    @property
    def share(self) -> float:
        return self.l0 / self.d_model

    def __str__(self) -> str:
        return f"{self.l0:g} of {self.d_model:,} dimensions ({100 * self.share:.1f} %)"


OF_WIDTHS = Density(60, 3584)  # Figs. 1, 4 and 5: Gemma 2 9B, L0 near 60
DENSEST = Density(445, 2304)  # of the paper's maps: Gemma 2 2B, layer 12, 16k


def of_sae(sae: dict[str, Any], d_model: int) -> Density:
    """By its k, or by its measured L0 where it has none."""
    return Density(sae["k"] or sae["l0"], d_model)


def beside_the_papers(saes: Sequence[dict[str, Any]], d_model: int) -> str:
    """Sentences for a caption: how dense these SAEs are, how dense the paper's, and which exceed all of those."""
    results = [of_sae(sae, d_model) for sae in saes]
    (most, _), *_ = Counter(round(one.l0) for one in results).most_common(1)
    text = (
        f"Most of these SAEs have L0 near {Density(most, d_model)}, the paper's widths {OF_WIDTHS}; "
        f"the densest has {Density(round(max(one.l0 for one in results)), d_model)}, the paper's {DENSEST}."
    )
    if denser := sorted({round(one.l0) for one in results if one.share > DENSEST.share}):
        text += (
            f" Those with L0 = {', '.join(map(str, denser))} are denser than any of the paper's: section 4.1 exempts "
            "extremely dense SAEs from the trend of the error norm with L0, so they are drawn and left out of it."
        )
    return text
