"""The gate: an SAE is used on activations only after it has been measured on some of them.

Files can be right in every shape and still wrong: TopK has been loaded as ReLU (sae-lens issue 553), a bias missed when
a norm factor was folded (354), a threshold left at another scale (483). L0 and explained variance show all three.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from darkmatter.saes import l0 as tolerance
from darkmatter.saes.dense import DenseSae
from darkmatter.saes.protocol import Sae
from darkmatter.storage.artifacts import ArtifactError


@dataclass(frozen=True)
class Gate:
    """What is accepted.

    L0 may lie between `nominal / l0_factor` and `nominal · l0_factor`.
    Explained variance 1 − FVU must reach `floor`, and where it is published the published value less `margin`.
    """

    l0_factor: float = tolerance.PUBLISHED
    floor: float = 0.3
    margin: float = 0.2
    rows: int = 4096


DEFAULT = Gate()


@dataclass(frozen=True)
class Measured:
    rows: int
    l0: float
    explained_variance: float


def measure(
    sae: Sae | DenseSae,
    rows: Float[np.ndarray, "row d_model"] | Tensor,
    where: str,
    nominal_l0: float | None = None,
    published: float | None = None,
    gate: Gate = DEFAULT,
) -> Measured:
    """L0 and explained variance on a sample spread evenly over `rows`, once they are what was published.

    Args:
        nominal_l0: None: only what no sparse code shows is refused.
        published: explained variance, where known.

    Raises:
        ArtifactError: what was measured, what was expected, and what to do.
    """
    array = np.asarray(rows)
    sample = array[np.linspace(0, len(rows) - 1, min(gate.rows, len(rows))).astype(int)].astype(np.float32)
    sample = sample.reshape(len(sample), -1)
    codes, output = sae.rebuild(sample)
    l0 = float(codes.l0.mean())
    low, high = tolerance.around(nominal_l0, gate.l0_factor) if nominal_l0 else (1e-9, sae.d_model)
    if not low <= l0 <= high:
        expected = (
            f"about {nominal_l0:g} ({low:g} to {high:g})" if nominal_l0 else f"above 0 and at most d_model = {high}"
        )
        raise ArtifactError(f"{where}: L0 is {l0:.1f} on {len(sample)} rows, expected {expected}. {advice(l0 > high)}")
    error = np.square(sample - output, dtype=np.float64).sum()
    total = np.square(sample - sample.mean(0, dtype=np.float64)).sum()
    if not total > 0:
        raise ArtifactError(
            f"{where}: the {len(sample)} rows to measure on are all the same; give activations of real text"
        )
    explained = float(1 - error / total)
    floor = max(gate.floor, published - gate.margin) if published else gate.floor
    if not explained >= floor:
        known = f" ({published:g} is published)" if published else ""
        raise ArtifactError(
            f"{where}: explains {explained:.3g} of the variance of {len(sample)} rows, expected at least "
            f"{floor:.3g}{known}; L0 is {l0:.1f}. The decoder or its bias is at another scale or transposed, or the "
            "rows come from another model, layer or hookpoint than it was trained on. Check the hookpoint; leave out "
            "the first tokens of each context, whose norms are extreme."
        )
    return Measured(len(sample), l0, explained)


def advice(too_large: bool) -> str:
    if too_large:
        return (
            "Thresholds at another scale than the activations, TopK read as ReLU, or rows of another model, layer or "
            "hookpoint do this. Check the format and the hookpoint; leave out the first tokens of each context."
        )
    return "Rows of another model, layer or hookpoint, or scaled ones, do this. Check the hookpoint."
