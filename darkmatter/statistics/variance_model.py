"""The one variance model of every interval that has more sources of noise than contexts: no torch.

    value of SAE i  =  μ + SAE_i + context noise,   SAE_i = its hyperparameters' own effect + its training seed

The sources are independent, so their variances add. Each is a `Term`: the standard deviation that it gives to the
estimate, downwards and upwards, with its degrees of freedom. The interval is `value ± t·√Σ sd²`, each side for itself,
with Satterthwaite's degrees of freedom. Where the scatter of SAEs is a term, the noise of their seeds is in it, since
each was trained from its own; where it is not, SAEs that differ in their seed alone give a term.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import norm as normal_distribution
from scipy.stats import t as t_distribution

FEWEST_FREEDOM = 4  # of a scatter of SAEs, five for a mean: with fewer Satterthwaite's interval covers below 94 %
SEED_HELD = "the scatter of SAEs holds it: each was trained from its own seed"
PLURAL = {"sae": "SAEs", "seed": "seeds", "context": "contexts"}


@dataclass(frozen=True)
class Term:
    """One source of noise.

    Attributes:
        name: such as `context`, `sae` or `seed`.
        below, above: standard deviation of the estimate downwards and upwards.
        freedom: degrees of freedom that these are known with; infinite where they are exact, or hold a t of their own.
    """

    name: str
    below: float
    above: float
    freedom: float


def of_interval(name: str, value: float, ends: tuple[float, float], units: int, level: float) -> Term:
    """The term that a bootstrap interval stands for.

    A bootstrap of n units knows their variance with n − 1 degrees of freedom and makes it (n − 1)/n of what it is.

    Args:
        ends: of the interval at `level`.
        units: how many were resampled.
    """
    scale = np.sqrt(units / max(units - 1, 1)) / normal_distribution.ppf(0.5 + level / 2)
    below, above = (max(side, 0.0) * scale for side in (value - ends[0], ends[1] - value))
    return Term(name, float(below), float(above), max(units - 1, 1))


def of_values(name: str, values: Sequence[float] | Float[np.ndarray, " value"]) -> Term | str:
    """The term of a mean of independent values, one per SAE; or the reason why there is none."""
    freedom = len(values) - 1
    if freedom < FEWEST_FREEDOM:
        return too_few(f"{len(values)} {PLURAL.get(name, name)}", freedom)
    deviation = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Term(name, deviation, deviation, freedom)


def too_few(what: str, freedom: int) -> str:
    return f"their scatter is not known: {what} leave {max(freedom, 0)} degrees of freedom, {FEWEST_FREEDOM} are needed"


def interval(value: float, terms: Sequence[Term], level: float) -> tuple[float, float]:
    """The ends of the interval that holds all terms together."""
    below, above = ([getattr(term, side) for term in terms] for side in ("below", "above"))
    freedom = [term.freedom for term in terms]
    return value - half_width(below, freedom, level), value + half_width(above, freedom, level)


def half_width(deviations: Sequence[float], freedom: Sequence[float], level: float) -> float:
    """t·√Σ sd², with the degrees of freedom by Satterthwaite (1946)."""
    variances = np.square(deviations)
    total = float(variances.sum())
    if total == 0:
        return 0.0
    uncertainty = float((variances**2 / np.asarray(freedom, dtype=float)).sum())
    together = total**2 / uncertainty if uncertainty > 0 else np.inf
    return float(t_distribution.ppf(0.5 + level / 2, together) * np.sqrt(total))


def combined(
    value: float, terms: Sequence[Term], level: float, absent: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What an estimate says of its interval: `low`, `high`, what was `resampled`, and each term's own `intervals`.

    Args:
        absent: sources of noise that the interval does not hold → why.
    """
    low, high = interval(value, terms, level)
    alone = {term.name: dict(zip(("low", "high"), interval(value, [term], level), strict=True)) for term in terms}
    result = {"low": low, "high": high, "resampled": ", ".join(alone), "intervals": alone}
    return result | ({"absent": dict(absent)} if absent else {})


def contexts_and_saes(
    value: float,
    contexts: tuple[float, float],
    units: int,
    by_sae: Sequence[float] | Float[np.ndarray, " sae"],
    level: float,
    shared: float = 1.0,
) -> dict[str, Any]:
    """As `combined`, of a mean over SAEs; with too few SAEs over contexts alone, for these SAEs, and it says so.

    Args:
        contexts: ends of the bootstrap interval over contexts of that mean, at `level`.
        units: how many contexts.
        by_sae: the values that `value` is the mean of.
        shared: share of the contexts' variance that moves all SAEs together (`shared_share`).
    """
    whole, scatter = of_interval("context", value, contexts, units, level), of_values("sae", by_sae)
    if isinstance(scatter, str):
        return combined(value, [whole], level, {"sae": f"{scatter}; the interval is that of these SAEs"})
    part = Term("context", whole.below * shared**0.5, whole.above * shared**0.5, whole.freedom)
    result = combined(value, [part, scatter], level, {"seed": SEED_HELD})
    result["intervals"]["context"] = combined(value, [whole], level)["intervals"]["context"]
    return result


def shared_share(resampled: Float[np.ndarray, "sae resample"]) -> float:
    """Share of a mean's variance over contexts that moves all SAEs together.

    What contexts do to each SAE apart is in the scatter of SAEs already, and would count twice.
    """
    saes = len(resampled)
    mean = resampled.mean(0)
    apart = float((resampled - mean).var(axis=1).sum()) / max(saes * (saes - 1), 1)
    together = float(mean.var())
    return min(max(1 - apart / together, 0.0), 1.0) if together > 0 else 1.0
