"""An estimate from independent draws, with a term for how the SAE came out: no torch.

SAEs of several widths differ by their width and by chance: their training seed, and all that a straight line over
log₂ width leaves. What is left of the line is that chance, known with two degrees of freedom fewer than SAEs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.seed_intervals import seed_estimate
from darkmatter.statistics.variance_model import FEWEST_FREEDOM, SEED_HELD, Term, combined, too_few

Draws = Sequence[Sequence[float | None]]  # SAE → draw → value


def trend_term(widths: Sequence[float], draws: Draws) -> Term | str:
    """The scatter of one SAE about the line over widths, or the reason why there is none.

    Args:
        widths: log₂ of each SAE's width.
    """
    freedom = len(widths) - 2
    if freedom < FEWEST_FREEDOM:
        return too_few(f"{len(widths)} SAEs about a line", freedom)
    if any(value is None for values in draws for value in values):
        return "no term for the sae: the number is not defined for every SAE"
    if np.ptp(widths) == 0:
        return "no term for the sae: all have one width"
    left = residuals(widths, [float(np.mean(values)) for values in draws])
    deviation = float(np.sqrt(left @ left / freedom))
    return Term("sae", deviation, deviation, freedom)


def residuals(widths: Sequence[float], values: Sequence[float]) -> np.ndarray:
    return np.asarray(values) - np.polyval(np.polyfit(widths, values, 1), widths)


def over_draws(
    values: Sequence[float | None],
    scatter: Term | str,
    level: float,
    facts: dict[str, Any],
    bounds: tuple[float, float] = (-np.inf, np.inf),
    reason: str = "not defined for every draw",
) -> Estimate:
    """The mean over draws; its interval holds their spread and the SAE's.

    Args:
        values: one for each draw of contexts and noise.
        scatter: the SAE's term, or why there is none.
        facts: `rows` and `rank`.
        bounds, reason: as in `seed_estimate`.
    """
    result = seed_estimate(values, level, facts["rows"], facts["rank"], bounds, reason)
    if result["value"] is None:
        return result
    numbers = np.array(result["by_seed"])
    deviation = float(numbers.std(ddof=1) / np.sqrt(len(numbers)))
    terms = [Term("context and noise", deviation, deviation, len(numbers) - 1)]
    absent = {"sae": scatter} if isinstance(scatter, str) else {"seed": SEED_HELD}
    if isinstance(scatter, Term):
        terms.append(scatter)
    ends = combined(result["value"], terms, level, absent)
    low, high = (float(np.clip(ends[end], *bounds)) for end in ("low", "high"))
    return result | ends | {"low": min(low, result["value"]), "high": max(high, result["value"])}


def slope_on_width(widths: Sequence[float], draws: Draws, level: float) -> Estimate:
    """Slope on log₂ width; the interval holds the draws, shared by all SAEs, and the scatter about the line."""
    if len(widths) < 3 or np.ptp(widths) == 0 or any(value is None for values in draws for value in values):
        return {"value": None, "low": None, "high": None, "reason": "a slope needs three SAEs of several widths"}
    by_draw = [float(np.polyfit(widths, values, 1)[0]) for values in np.transpose(np.asarray(draws, dtype=float))]
    value, freedom = float(np.mean(by_draw)), len(widths) - 2
    left = residuals(widths, [float(np.mean(values)) for values in draws])
    centred = np.asarray(widths) - np.mean(widths)
    of_line = float(np.sqrt(left @ left / freedom / (centred @ centred)))
    of_draws = float(np.std(by_draw, ddof=1) / np.sqrt(len(by_draw)))
    terms = [Term("context and noise", of_draws, of_draws, len(by_draw) - 1), Term("sae", of_line, of_line, freedom)]
    return {"value": value, **combined(value, terms, level), "saes": len(widths), "level": level}
