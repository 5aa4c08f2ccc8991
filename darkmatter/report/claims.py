"""The claims table of the report, from reports/claims.json: words and numbers ready to show."""

from collections import Counter
from typing import Any

from darkmatter.estimands.experiments import KEYS
from darkmatter.verdicts import NOT_TESTABLE

Content = dict[str, Any]

VERDICTS = {
    "reproduced": "reproduced",
    "differs": "differs",
    "paper-inconsistent": "paper inconsistent",
    "inconclusive": "inconclusive",
    NOT_TESTABLE: "not testable here",
}
PLACES = {"inside": "inside", "outside": "outside", "across": "open", "null": "undefined"}
UNITS = {"rows": "rows", "contexts": "contexts", "saes": "SAEs", "seeds": "seeds", "latents": "latents"}


def claims_content(content: Content) -> Content:
    """Counts and rows.

    Args:
        content: of claims.json.
    """
    return {
        "tested": content["tested"],
        "judged": sum(row["verdict"] != NOT_TESTABLE or row["analogue"] != "none" for row in content["claims"]),
        "verdicts": [{"verdict": word, "count": content["verdicts"][name]} for name, word in VERDICTS.items()],
        "analogues": [{"analogue": name, "count": count} for name, count in content["analogues"].items()],
        "rows": [claim_row(row) for row in content["claims"]],
    }


def claim_row(row: Content) -> Content:
    judged = row["rule"].get(row["judged_by"]) or {}
    by_surrogate = "by the offline surrogate, no language model" if row["judge"] == "surrogate" else None
    verdict_notes = [row["out_of_scope"]] if row["components"] and row["out_of_scope"] else [row["reason"]]
    analogue_notes = [by_surrogate, row["reason"] if row["components"] and row["out_of_scope"] else None]
    return {
        "id": row["id"],
        "section": row["section"],
        "reads": row["reads"],
        "paper": paper_value(row["paper_value"]),
        "verdict": VERDICTS[row["verdict"]],
        "analogue": row["analogue"],
        "analogue_notes": [note for note in analogue_notes if note],
        "numbers": [component(name, found, name in judged) for name, found in row["components"].items()],
        "same": row.get("same"),
        "computes": row["computes"],
        "notes": [note for note in verdict_notes if note],
        "flips": [f"{name}: {row['variants'][name]['outcome']}" for name in row["flips"]],
        "variants": len(row["variants"]),
        "rule": row["rule_sha256"],
    }


def component(name: str, found: list[Content], judged: bool) -> Content:
    """One component: its number, or, of a list, the range and how many of its intervals lie where."""
    label = name.replace("_", " ")
    if len(found) == 1 and not key_of(found[0]):
        return {"label": label, "judged": judged, "text": estimate_text(found[0]), "n": sample(found[0]), "all": []}
    values = [estimate["value"] for estimate in found if estimate["value"] is not None]
    span = f"{digits(min(values))} to {digits(max(values))}" if values else "undefined"
    places = Counter(estimate["place"] for estimate in found if judged)
    where = ", ".join(f"{places[place]} {word}" for place, word in PLACES.items() if places[place])
    text = f"{len(found)} values, {span}" + (f"; {where}" if where else "")
    each = [{"key": key_of(one), "text": estimate_text(one), "place": PLACES.get(one.get("place"))} for one in found]
    return {"label": label, "judged": judged, "text": text, "n": sample(found[0]) if found else "", "all": each}


def key_of(estimate: Content) -> str:
    return next((str(estimate[key]) for key in KEYS if key in estimate), "")


def estimate_text(estimate: Content) -> str:
    if estimate["value"] is None:
        return f"undefined: {estimate['reason']}"
    low, high = estimate["low"], estimate["high"]
    if None in (low, high):
        return f"{digits(estimate['value'])}, no interval"
    if low == high == estimate["value"]:
        return digits(low)
    return f"{digits(estimate['value'])} [{digits(low)}, {digits(high)}]"


def digits(value: float) -> str:
    """Three significant digits, four where a number is near 1; a true minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if 0.9 <= abs(value) < 10 else f"{value:.3g}"
    return text.replace("-", "−")


def sample(estimate: Content) -> str:
    """What the interval is over: its level and the numbers of rows, contexts, SAEs …"""
    found = [
        f"{counts(estimate[unit])} {name}" for unit, name in UNITS.items() if estimate.get(unit) not in (None, 0, 1)
    ]
    if "level" in estimate:
        found.insert(0, f"{100 * estimate['level']:.4g} % interval")
    return ", ".join(found)


def counts(value: int | list[int]) -> str:
    return " and ".join(f"{item:,}" for item in value) if isinstance(value, list) else f"{value:,}"


def paper_value(value: Any) -> str:
    show = lambda item: f"{item:,.10g}" if isinstance(item, (int, float)) else str(item)  # noqa: E731
    if isinstance(value, dict) and {*value} == {"low", "high"}:
        return f"{show(value['low'])} to {show(value['high'])}"
    if isinstance(value, dict):
        return "; ".join(f"{key.replace('_', ' ')}: {show(item)}" for key, item in value.items())
    return show(value)
