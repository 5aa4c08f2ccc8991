"""A run in a few lines, with which `make repro` ends: what was run, on what, what came out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darkmatter.ledger.estimands.experiments import KEYS
from darkmatter.report.numbers import digits, estimate_text
from darkmatter.statistics.rounding import same

Content = Mapping[str, Any]
Receipts = Mapping[str, Content]  # stage → its receipt

VERDICTS = {
    "reproduced": "reproduced",
    "differs": "differs",
    "paper-inconsistent": "paper inconsistent",
    "inconclusive": "inconclusive",
    "not-testable-in-this-profile": "not testable here",
    "stale": "stale",
}
ANALOGUES = {"agrees": "agree", "disagrees": "disagree", "inconclusive": "are inconclusive"}
DISAGREE = ("differs", "paper-inconsistent")


@dataclass(frozen=True)
class Disagreement:
    """The judged interval that lies farthest outside its region.

    Attributes:
        widths: its distance from the region, in widths of the interval.
        text: the value with its interval.
        wanted: the region in words.
    """

    claim: str
    component: str
    widths: float
    text: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.claim}, whose rule wants {self.component} {self.wanted} and finds {self.text}"


def strongest_disagreement(claims: Content) -> Disagreement | None:
    """Of the claims whose verdict or analogue disagrees, the interval farthest from its region, relative to its width.

    Numbers without sampling have no interval, so they take no part: the errata list them. None without any.
    """
    results = [
        Disagreement(row["id"], name_of(component, estimate), distance / width, estimate_text(estimate), wanted(region))
        for row in claims["claims"]
        if row["analogue"] == "disagrees" or row["verdict"] in DISAGREE
        for component, region in (row["rule"].get(row["judged_by"]) or {}).items()
        for estimate in row["components"].get(component, [])
        if estimate.get("place") == "outside"
        and not same(estimate["low"], estimate["high"])
        and (width := estimate["high"] - estimate["low"]) > 0
        and (distance := distance_from(region, estimate)) > 0
    ]
    return max(results, key=lambda item: item.widths, default=None)


def distance_from(region: Content, estimate: Content) -> float:
    """How far an interval lies from a region; 0 where they meet."""
    below = region["low"] - estimate["high"] if "low" in region else 0.0
    above = estimate["low"] - region["high"] if "high" in region else 0.0
    return max(below, above, 0.0)


def wanted(region: Content) -> str:
    """A region in words."""
    low, high = region.get("low"), region.get("high")
    if low is None:
        return f"below {digits(high)}" if high == 0 else f"at most {digits(high)}"
    if high is None:
        return f"above {digits(low)}" if low == 0 else f"at least {digits(low)}"
    return f"{digits(low)} to {digits(high)}"


def name_of(component: str, estimate: Content) -> str:
    key = next((f" ({key} {estimate[key]})" for key in KEYS if key in estimate), "")
    return component.replace("_", " ") + key


def counted(counts: Mapping[str, int], words: Mapping[str, str] | None = None) -> str:
    """Such as `2 reproduced, 22 paper inconsistent`; zeros are left out."""
    return ", ".join(f"{count} {(words or {}).get(name, name)}" for name, count in counts.items() if count) or "none"


def analogue_counts(claims: Content) -> dict[str, int]:
    """Without the claims that have no analogue: their verdict is the real one."""
    return {name: count for name, count in claims["analogues"].items() if name != "none"}


def five_lines(claims: Content, receipts: Receipts) -> list[str]:
    """What `make repro` prints of claims.json and the receipts of its profile."""
    own = {name: receipt for name, receipt in receipts.items() if receipt["profile"] == claims["profile"]}
    computed, reused = (sum(len(receipt["units"][kind]) for receipt in own.values()) for kind in ("computed", "reused"))
    return [
        f"profile: {claims['profile']}, {claims['model']}",
        f"claims: {claims['tested']}, by verdict: {counted(claims['verdicts'], VERDICTS)}",
        f"analogues on this model: {counted(analogue_counts(claims), ANALOGUES)}",
        f"strongest disagreement: {strongest_disagreement(claims) or 'none'}",
        f"time: {duration(total_seconds(own))} in the last runs of {len(own)} stages "
        f"({computed} units computed, {reused} found stored)",
    ]


def total_seconds(receipts: Receipts) -> float:
    return sum(receipt["seconds"] for receipt in receipts.values())


def duration(seconds: float) -> str:
    """Such as 3 h 02 min, 34 min 05 s, 8.2 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
