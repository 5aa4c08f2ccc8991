"""The claims table of the page, from claims.json: words and numbers ready to show."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from darkmatter.ledger.estimands.evidence import BY_DIMENSION, EVERY_ROW, ON_TOP_RUNG
from darkmatter.ledger.verdicts import NOT_TESTABLE, said
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.regression.splits import SPLITS
from darkmatter.report.editions import earlier_rules
from darkmatter.report.nulls import null_note
from darkmatter.report.numbers import digits, estimate_text, sample
from darkmatter.report.outcomes import ANSWERS, STALE, change, key_of, outcome_of
from darkmatter.report.sources import Provenance, results_name
from darkmatter.report.summary import VERDICTS, wanted
from darkmatter.report.words import Words, words_of
from darkmatter.storage.paths import reports_of

Content = dict[str, Any]

PLACES = {"inside": "inside", "outside": "outside", "across": "open", "null": "undefined"}
# Variants of a claim, the primary one first, and what the page calls them.
VARIANTS = {f"{split}/{convention}": f"{split}, {convention}" for split in SPLITS for convention in CONVENTIONS} | {
    str(BY_DIMENSION): f"{', '.join(PRIMARY)}, FVU by dimension",
    str(EVERY_ROW): f"{', '.join(PRIMARY)}, with tokens of no fit",
    str(ON_TOP_RUNG): f"{', '.join(PRIMARY)}, SAEs of the most tokens alone",
}
SINGLE = {"sae": "SAE"}
OF_RESULTS = "results/"  # of the profile; claims.yaml names other files of the repository, too


def judged_now(content: Content, provenance: Provenance) -> Content:
    """claims.json, with the verdict `stale` and its reason where a stage behind a claim ran with something else."""
    rows = []
    for row in content["claims"]:
        why = provenance.why_stale(of_stages(row["results"]), "claims")
        rows.append(row | ({"verdict": STALE, "was": row["verdict"], "stale": why} if why else {}))
    counts = Counter(row["verdict"] for row in rows)
    return content | {"claims": rows, "verdicts": {name: counts[name] for name in VERDICTS}}


def claims_content(content: Content, provenance: Provenance) -> Content:
    """Counts and rows.

    Args:
        content: of claims.json, with the verdicts that the page shows.
    """
    rows = content["claims"]
    shown = {name: word for name, word in VERDICTS.items() if name != STALE or content["verdicts"][STALE]}
    return {
        "tested": content["tested"],
        "judged": sum(row.get("was", row["verdict"]) != NOT_TESTABLE or row["analogue"] != "none" for row in rows),
        "verdicts": [
            {"name": name, "verdict": word, "count": content["verdicts"][name]} for name, word in shown.items()
        ],
        "analogues": [{"analogue": name, "count": count} for name, count in content["analogues"].items()],
        "sections": list(dict.fromkeys(row["section"] for row in rows)),
        "rows": [claim_row(row, provenance, content["profile"]) for row in rows],
    }


def of_stages(paths: Sequence[str]) -> list[str]:
    """The results that a stage made, of files that may be lists under `conf/`, too."""
    return [results_name(path) for path in paths if path.startswith(OF_RESULTS)]


def file_of(path: str, profile: str) -> str:
    """What claims.yaml names, as a path of the repository."""
    return (reports_of(profile).path / path).as_posix() if path.startswith(OF_RESULTS) else path


def claim_row(row: Content, provenance: Provenance, profile: str) -> Content:
    results, words = of_stages(row["results"]), words_of(row)
    return {
        "id": row["id"],
        "section": row["section"],
        "reads": row["reads"],
        "plain": words.plain,
        "paper": words.paper,
        "outcome": outcome_of(row),
        "answer": ANSWERS[outcome_of(row)],
        "verdict_name": row["verdict"],
        "verdict": VERDICTS[row["verdict"]],
        "analogue": row["analogue"],
        "notes": notes(row),
        "change": change(row, words),
        "numbers": own_numbers(row, judged=True),
        "beside": own_numbers(row, judged=False),
        "variants": [variant(row, name) for name in VARIANTS if name in row["variants"]],
        "scope": row["out_of_scope"],
        "estimand": row["estimand"],
        "computes": row["computes"],
        "rule": rule_words(row, words),
        "rule_sha256": row["rule_sha256"],
        "edition": row["edition"],
        "earlier": [
            shown | {"rule": rule_words(before | {"judged_by": row["judged_by"]}, words)}
            for shown, before in zip(earlier_rules(row), row["earlier"], strict=True)
        ],
        "files": [file_of(path, profile) for path in row["results"]],
        "not_computed": [f"{name.replace('_', ' ')}: {why}" for name, why in row["not_computed"].items()],
        "made_by": provenance.made_by(
            list(dict.fromkeys([*results, "claims"])),
            [f"derive {row['id']}", f"explain {row['id']}"],
        ),
    }


def notes(row: Content) -> list[str]:
    """What stands below the answer: why there is none, who judged, that it says little. Numbers say why it is open."""
    if row["verdict"] == STALE:
        return [row["stale"], f"it was {VERDICTS[row['was']]}"]
    surrogate = ["by the offline surrogate, no language model"] if row["judge"] == "surrogate" else []
    untested = outcome_of(row) == "none" or not row["components"]
    return [*surrogate, *null_note(row), *([row["reason"]] if untested and row["reason"] else [])]


def own_numbers(row: Content, judged: bool) -> list[Content]:
    """The components under the primary split and conventions: those that are judged, or those beside them."""
    words, called, regions = outcome_words(row["outcomes"]), words_of(row), row["rule"].get(row["judged_by"]) or {}
    numbers = [
        component(called.part(name), result, judged, words.get(name))
        for name, result in row["components"].items()
        if (name in regions) == judged
    ]
    for number, following in pairwise(numbers):
        if number["n"] == following["n"]:  # said once, below the last of them
            number["n"] = ""
    return numbers


def variant(row: Content, name: str) -> Content:
    """The judged components under another split or other conventions, and what the claim would come to."""
    result, called, judged = row["variants"][name], words_of(row), row["rule"].get(row["judged_by"]) or {}
    numbers = [
        component(called.part(part), item, True, result["outcomes"][part])
        for part, item in result["components"].items()
        if part in judged
    ]
    return {"name": VARIANTS[name], "outcome": result["outcome"], "flips": name in row["flips"], "numbers": numbers}


def outcome_words(outcomes: Content) -> dict[str, str | None]:
    """What became of each component alone, in a word; None where the rule leaves it out."""
    words = {name: said(one["verdict"], one["analogue"]) for name, one in outcomes.items()}
    return {name: None if word == "none" else word for name, word in words.items()}


def component(label: str, results: Sequence[Content], judged: bool, outcome: str | None = None) -> Content:
    """One component: its number, or, of a list, the range and how many of its intervals lie where.

    Args:
        outcome: its own, which need not be the claim's; None where it has none.
    """
    known = {"label": label, "judged": judged, "outcome": VERDICTS.get(outcome, outcome)}
    if len(results) == 1:
        return known | {"text": estimate_text(results[0]), "n": sample(results[0]), "all": []}
    values = [estimate["value"] for estimate in results if estimate["value"] is not None]
    span = f"{digits(min(values))} to {digits(max(values))}" if values else "undefined"
    places = Counter(estimate["place"] for estimate in results if judged)
    where = ", ".join(f"{places[place]} {word}" for place, word in PLACES.items() if places[place])
    text = f"{len(results)} values, {span}" + (f"; {where}" if where else "")
    each = [
        {"key": key_of(one).removeprefix(" of "), "text": estimate_text(one), "place": PLACES.get(one.get("place"))}
        for one in results
    ]
    return known | {"text": text, "n": sample(results[0]) if results else "", "all": each}


def rule_words(row: Content, words: Words) -> list[str]:
    """The rule as sentences."""
    rule = row["rule"]
    sentences = []
    for side, whose in (("analogue", "On another model"), ("real", "On the paper's own models")):
        if rule.get(side):
            wants = [f"{region_name(words.part(name), region)} {wanted(region)}" for name, region in rule[side].items()]
            now = " (this judged here)" if side == row["judged_by"] else ""
            sentences.append(f"{whose} it wants {'; '.join(wants)}{now}.{readings_words(rule[side])}")
    if "level" in rule:
        over = " and over ".join(f"{SINGLE.get(name, name)}s" for name in rule["resample"])
        sentences.append(f"Intervals at {100 * rule['level']:g} % together, over {over}.")
    if "otherwise" in rule:
        sentences.append(f"An interval wholly outside means {VERDICTS[rule['otherwise']]}.")
    return sentences


def readings_words(regions: Content) -> str:
    """That one of several readings is enough, where a rule has any."""
    names = dict.fromkeys(region["reading"] for region in regions.values() if "reading" in region)
    return f" All of one reading is enough: {' or '.join(names)}." if names else ""


def region_name(label: str, region: Content) -> str:
    quoted = f"“{label}”"
    return f"{quoted} of every {SINGLE.get(region['every'], region['every'])}" if "every" in region else quoted
