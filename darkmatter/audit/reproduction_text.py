"""What a comparison of two runs came to, as text and as JSON."""

import json
from dataclasses import asdict
from typing import Any

from darkmatter.audit.findings import printable
from darkmatter.audit.reproduction import Changed, NumberPair, Reproduction
from darkmatter.report.compared import PREDICTION
from darkmatter.report.numbers import digits, estimate_text
from darkmatter.report.summary import VERDICTS
from darkmatter.storage.artifacts import plain

SHOWN = 5  # shifts, and numbers of one side; all of them are in the JSON


def nothing_there(name: str, profile: str, as_json: bool) -> str:
    """The other side has no run of the profile: no fault, and no answer."""
    said = f"nothing to compare with: {name} has no run of profile {profile}"
    return json.dumps({"comparable": False, "reason": said}, indent=2) if as_json else printable(said)


def as_content(result: Reproduction) -> dict[str, Any]:
    """As JSON types: every number that both runs have, with its shift."""
    return plain(
        {
            "comparable": True,
            "profile": result.here.profile,
            "there": result.there.name,
            "same_outcomes": not result.changed,
            "changed": [asdict(one) for one in result.changed],
            "numbers": [number(pair) for pair in result.pairs],
            "only_one_side": result.alone,
            "seed_freedom": result.there.seed_freedom,
            "machine": {name: {"there": one, "here": two} for name, (one, two) in result.machines.items()},
            "parameters": {name: {"there": one, "here": two} for name, (one, two) in result.parameters.items()},
        }
    )


def number(pair: NumberPair) -> dict[str, Any]:
    return {
        "claim": pair.claim,
        "component": pair.component,
        "key": pair.key,
        "there": {name: pair.there[name] for name in ("value", "low", "high")},
        "here": {name: pair.here[name] for name in ("value", "low", "high")},
        "disjoint": pair.disjoint,
        "seed_spread": pair.seed_spread,
        "in_seed_spreads": pair.in_spreads,
        "in_half_widths": pair.in_half_widths,
    }


def as_text(result: Reproduction) -> list[str]:
    """What was compared, what differs, how far numbers moved, and last the answer."""
    there, claims = result.there, len(result.there.judged | result.here.judged)
    count = len({one.claim for one in result.changed})
    lines = [f"this run against {there.name}, both of profile {there.profile}", *machine_lines(result)]
    lines += [f"parameter {name}: {one} there, {two} here" for name, (one, two) in result.parameters.items()]
    lines.append(
        f"outcomes: changed in {count} of {claims} claims and predictions"
        if count
        else f"outcomes: all {claims} claims and predictions the same"
    )
    lines += [f"  {changed_text(one)}" for one in result.changed]
    disjoint, pairs = result.disjoint, result.pairs
    lines.append(
        f"intervals: {len(disjoint)} of {len(pairs)} do not overlap"
        if disjoint
        else f"intervals: all {len(pairs)} overlap"
    )
    lines += [
        f"  {name_of(pair)}: {estimate_text(pair.there)} there, {estimate_text(pair.here)} here" for pair in disjoint
    ]
    lines.append(f"numbers: {result.equal} of {len(pairs)} the same to the last bit, {len(pairs) - result.equal} moved")
    lines += [f"  {name}" for name in result.alone[:SHOWN]]
    if more := result.alone[SHOWN:]:
        lines.append(f"  and {len(more)} more that one side has alone")
    return [*lines, *shift_lines(result), answer(result)]


def machine_lines(result: Reproduction) -> list[str]:
    """How the receipts' machines and libraries differ."""
    if not result.here.receipts or not result.there.receipts:
        side = "this run" if not result.here.receipts else result.there.name
        return [f"machine: {side} has no receipts, so nothing says where it ran"]
    if not result.machines:
        cpu = result.here.receipts[min(result.here.receipts)]["machine"]["cpu"]
        return [f"machine and arithmetic: the same in every receipt ({cpu})"]
    return ["machine and arithmetic, by the receipts:"] + [
        f"  {name}: {', '.join(one) or 'not said'} there, {', '.join(two) or 'not said'} here"
        for name, (one, two) in result.machines.items()
    ]


def changed_text(one: Changed) -> str:
    what = one.claim if one.component is None else f"{one.claim} {one.component}"
    if one.there is None or one.here is None:
        return f"{what}: only {'here' if one.there is None else 'there'}"
    kind = f"{PREDICTION if PREDICTION in one.here else 'analogue'} "
    parts = zip(("", kind), one.there, one.here, strict=True)
    moved = [f"{side}{words(was)} there, {words(now)} here" for side, was, now in parts if was != now]
    return f"{what}: {'; '.join(moved)}" + (" (judged by another rule)" if one.other_rule else "")


def words(outcome: str) -> str:
    return VERDICTS.get(outcome, outcome)


def name_of(pair: NumberPair) -> str:
    return " ".join(filter(None, (pair.claim, pair.component, pair.key)))


def shift_lines(result: Reproduction) -> list[str]:
    """The largest shifts: in spreads of the training seed, and of numbers without such a spread by their interval."""
    moved, others = result.farthest(), result.farthest_of_others()
    known = sum(pair.seed_spread is not None for pair in result.pairs)
    if not known:
        lines = [f"spread over training seeds: not known for any number of {result.there.name}"]
    else:
        of = f"{known} of {len(result.pairs)}"
        lines = [f"largest shifts in standard deviations over training seeds (known for {of} numbers):"]
        lines += [f"  {pair.in_spreads:6.2f}  {shift_text(pair)}" for pair in moved[:SHOWN]] or ["  none moved"]
    if others:
        lines.append("largest shifts in half widths of the interval, where the spread over seeds is not known:")
        lines += [f"  {pair.in_half_widths:6.2f}  {shift_text(pair)}" for pair in others[:SHOWN]]
    return lines


def shift_text(pair: NumberPair) -> str:
    return f"{name_of(pair)}: {digits(pair.there['value'])} there, {digits(pair.here['value'])} here"


def answer(result: Reproduction) -> str:
    if not result.changed:
        return f"reproduced: every outcome is that of {result.there.name}"
    claims = list(dict.fromkeys(one.claim for one in result.changed))
    return f"NOT reproduced: outcomes of {', '.join(claims)} are not those of {result.there.name}"
