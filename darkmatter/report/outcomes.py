"""From a judged claim to sentences: what was found, what follows from it, how far it is from another outcome.

Each sentence is made from the row of claims.json that the table shows, so that the two cannot say different things.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from darkmatter.ledger.estimands.experiments import KEYS
from darkmatter.ledger.verdicts import said
from darkmatter.report.numbers import digits, estimate_text
from darkmatter.report.summary import wanted
from darkmatter.report.words import Words
from darkmatter.results.headline import listing

Content = Mapping[str, Any]

STALE = "stale"
# What became of a claim → the answer to "holds?", and how a sentence about it begins.
ANSWERS = {
    "agrees": "yes",
    "disagrees": "no",
    "inconclusive": "open",
    "none": "not tested",
    "reproduced": "reproduced",
    "differs": "differs",
    "paper-inconsistent": "paper inconsistent",
    STALE: "stale",
}
VERBS = {
    "agrees": "Holds here",
    "disagrees": "Does not hold here",
    "inconclusive": "Stays open",
    "none": "Not tested here",
    "reproduced": "Reproduced",
    "differs": "Differs here",
    "paper-inconsistent": "The paper contradicts itself",
    STALE: "Of other code or data than is here",
}
DECIDED = {"agrees", "disagrees", "reproduced", "differs", "paper-inconsistent"}
HOLDS = {"agrees", "reproduced"}
PLACES = {
    "inside": "inside",
    "outside": "outside",
    "across": "across an edge",
    "short": "not decided by its interval",
    "null": "undefined",
}
# Of what a rule asks each → the word for several.
EVERY = {"sae": "SAEs", "layer": "layers", "pair": "pairs", "regressor": "components", "decile": "deciles"}
UNITS = {
    "context": "contexts",
    "sae": "SAEs",
    "seed": "training seeds",
    "latent": "latents",
    "token": "tokens",
}


def outcome_of(row: Content) -> str:
    """What became of a claim, in the one word that decides how the page speaks of it."""
    return said(row["verdict"], row["analogue"])


def judged(row: Content) -> dict[str, Content]:
    """The components that the rule judges → their regions."""
    return dict((row["rule"].get(row["judged_by"]) or {}).items())


def evidence_words(row: Content, words: Words) -> str:
    """The numbers that an outcome follows from, with what the rule asks of each; or why there is none."""
    outcome = outcome_of(row)
    found = [number_sentence(name, region, row, words) for name, region in judged(row).items()]
    found = [text for text in found if text]
    if outcome in (STALE, "none") or not found:
        why = row.get("stale") or row["reason"] or row["out_of_scope"] or "this profile lacks what it needs"
        return f"{why}."
    return f"{'; '.join(found)}."


def number_sentence(name: str, region: Content, row: Content, words: Words) -> str:
    """One component: its value or range, what the rule asks for, and where it lies."""
    estimates = row["components"].get(name, [])
    if not estimates or (region.get("may_be_null") and all(one["value"] is None for one in estimates)):
        return ""
    places = place_words(estimates)
    where = "" if places == "inside" and outcome_of(row) in HOLDS else f"; {places}"
    return f"{words.part(name)} {values_text(estimates, region)} (asked: {wanted(region)}{where})"


def values_text(estimates: Sequence[Content], region: Content) -> str:
    """The value with its interval; of several, their range, and of how many of what."""
    if len(estimates) == 1:
        return estimate_text(dict(estimates[0]))
    values = [one["value"] for one in estimates if one["value"] is not None]
    if not values:
        return "undefined"
    what = EVERY.get(region.get("every", ""), "values")
    return f"{digits(min(values))} to {digits(max(values))} in {len(estimates)} {what}"


def place_of(estimate: Content) -> str:
    """Where an interval lies; `short` where it lacks what the claim needs of it, wherever it lies."""
    place = estimate.get("place", "null")
    return "short" if place == "across" and "short" in estimate else place


def place_words(estimates: Sequence[Content]) -> str:
    """Where the intervals lie; of several, how many where."""
    places = Counter(map(place_of, estimates))
    if len(places) == 1:
        return PLACES[next(iter(places))]
    return listing([f"{places[place]} {word}" for place, word in PLACES.items() if places[place]])


def over(row: Content) -> str | None:
    """Over what the intervals of the judged numbers are; None where they have none."""
    names = {name for _, _, one in judged_estimates(row) for name in str(one.get("resampled", "")).split(", ")}
    names |= set(row["rule"].get("resample") or ())
    units = [word for name, word in UNITS.items() if name in names]
    return listing(units) if units else None


def change(row: Content, words: Words) -> str | None:
    """What would change the outcome; None of a claim that no interval decides."""
    outcome = outcome_of(row)
    estimates = [(name, region, one) for name, region, one in judged_estimates(row) if one["value"] is not None]
    places: dict[str, str] = {"disagrees": "outside", "differs": "outside", "inconclusive": "across"}
    wanted_place = places.get(outcome, "inside")
    if short := next((one for _, _, one in estimates if place_of(one) == "short"), None):
        lacking = [UNITS[name] for name, why in short.get("absent", {}).items() if why == short["short"]]
        units = listing(lacking or ["numbers"])
        return f"Enough {units} for an interval: {short['short']}."
    chosen = [item for item in estimates if place_of(item[2]) == wanted_place and width(item[2]) > 0]
    if not chosen or outcome in (STALE, "none", "paper-inconsistent"):
        return None
    name, region, one = min(chosen, key=lambda item: slack(item[2], item[1]))
    low, high = shown_ends(one, region)
    label = f"{words.part(name)}{key_of(one)} ({digits(low)} to {digits(high)})"
    edge, others = digits(nearest_edge(one, region)), len(chosen) - 1
    match wanted_place:
        case "inside":
            return f"{label} would have to cross {edge}."
        case "outside":
            return f"{label} would have to reach {edge}" + (f", and {others} more their edges." if others else ".")
        case _:
            return f"{label} crosses {edge}" + (f", and {others} more their edges." if others else ".")


def judged_estimates(row: Content) -> Iterator[tuple[str, Content, Content]]:
    for name, region in judged(row).items():
        for one in row["components"].get(name, []):
            yield name, region, one


def key_of(estimate: Content) -> str:
    key = next((str(estimate[key]) for key in KEYS if key in estimate), "")
    return f" of {key}" if key else ""


def width(estimate: Content) -> float:
    ends = estimate["low"], estimate["high"]
    return 0.0 if None in ends else ends[1] - ends[0]


def edges(region: Content) -> list[float]:
    return [region[side] for side in ("low", "high") if region.get(side) is not None]


def shown_ends(estimate: Content, region: Content) -> tuple[float, float]:
    """The interval that decides: at the level of the whole claim where the other does not cross an edge."""
    low, high = estimate["low"], estimate["high"]
    crosses = any(low <= edge <= high for edge in edges(region))
    if estimate.get("place") == "across" and not crosses and "joint" in estimate:
        return estimate["joint"]["low"], estimate["joint"]["high"]
    return low, high


def nearest_edge(estimate: Content, region: Content) -> float:
    """The edge of the region that the interval is nearest to, or crosses."""
    low, high = shown_ends(estimate, region)
    distance = lambda edge: 0.0 if low <= edge <= high else min(abs(edge - low), abs(edge - high))  # noqa: E731
    return min(edges(region), key=distance)


def slack(estimate: Content, region: Content) -> float:
    """How far the interval is from the nearest edge, in its own widths; 0 where it crosses it, or is not known."""
    if estimate["value"] is None or place_of(estimate) not in ("inside", "outside"):
        return 0.0
    low, high = estimate["low"], estimate["high"]
    edge = nearest_edge(estimate, region)
    distance = 0.0 if low <= edge <= high else min(abs(edge - low), abs(edge - high))
    return distance / (high - low) if high > low else math.inf


def strength(row: Content) -> float:
    """How far a decided claim is from being open, in widths of the interval that decides it; 0 where it is open.

    A claim that holds is as strong as its weakest number, one that fails as strong as the number that fails most. Of
    several readings one suffices to hold, and each must fail.
    """
    outcome = outcome_of(row)
    if outcome not in DECIDED:
        return 0.0
    readings: dict[str | None, list[float]] = {}
    holds = outcome in HOLDS
    for _, region, one in judged_estimates(row):
        if one["value"] is not None and (holds or place_of(one) == "outside"):
            far = slack(one, region) if holds == (place_of(one) == "inside") else 0.0
            readings.setdefault(region.get("reading"), []).append(far)
    if not readings:
        return 0.0
    return max(map(min, readings.values())) if holds else min(map(max, readings.values()))
