"""Numbers and estimates of claims as text."""

from typing import Any

from darkmatter.statistics.rounding import same, settled

UNITS = {"rows": "rows", "contexts": "contexts", "saes": "SAEs", "seeds": "seeds", "latents": "latents"}


def digits(value: float) -> str:
    """Three significant digits, four where a number is near 1; a true minus sign."""
    value = settled(value)
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.4g}" if 0.9 <= abs(value) < 10 else f"{value:.3g}"
    return text.replace("-", "−")


def estimate_text(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return f"undefined: {estimate['reason']}"
    low, high = estimate["low"], estimate["high"]
    if None in (low, high):
        return f"{digits(estimate['value'])}, no interval"
    if same(low, high) and same(low, estimate["value"]):
        return digits(estimate["value"])
    return f"{digits(estimate['value'])} [{digits(low)}, {digits(high)}]"


def sample(estimate: dict[str, Any]) -> str:
    """What the interval is over: its level and the numbers of rows, contexts, SAEs …"""
    results = [
        f"{counts(estimate[unit])} {name}" for unit, name in UNITS.items() if estimate.get(unit) not in (None, 0, 1)
    ]
    if "level" in estimate:
        results.insert(0, f"{100 * estimate['level']:.4g} % interval")
    return ", ".join(results)


def counts(value: int | list[int]) -> str:
    return " and ".join(f"{item:,}" for item in value) if isinstance(value, list) else f"{value:,}"


def paper_value(value: Any) -> str:
    show = lambda item: f"{item:,.10g}" if isinstance(item, (int, float)) else str(item)  # noqa: E731
    if isinstance(value, dict) and {*value} == {"low", "high"}:
        return f"{show(value['low'])} to {show(value['high'])}"
    if isinstance(value, dict):
        return "; ".join(f"{key.replace('_', ' ')}: {show(item)}" for key, item in value.items())
    return show(value)
