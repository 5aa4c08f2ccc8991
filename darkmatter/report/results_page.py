"""The tables of claims in docs/results.md, from the committed runs: numbers, intervals, each component's outcome.

    python -m darkmatter.report.results_page      # fills the tables in again and prints their rows; a test compares

Which components are there, and in which words, is written in the page by hand, but the table of what training changes
has to name every claim that comes out otherwise; all else follows from the claims.json of the profiles.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkmatter.report.claims import outcome_words
from darkmatter.report.outcomes import outcome_of
from darkmatter.storage.artifacts import ArtifactError, read_json, write_text
from darkmatter.storage.paths import reports_of

PAGE = Path("docs/results.md")
TABLES = {  # the profiles that each shows
    "claims": ("smollm2",),
    "training": ("smollm2", "smollm2-full", "gemma3-270m-trained", "gemma3-270m-full"),
    "families": ("smollm2", "gemma3-270m-trained"),
}
COMPLETE = "training"
LONGER = {"smollm2": "smollm2-full", "gemma3-270m-trained": "gemma3-270m-full"}
MARK = "<!-- {}: python -m darkmatter.report.results_page -->"
END = "<!-- end of claims -->"
NOT_TESTED = "not tested"
ROW = re.compile(r"^\| `(?P<claim>[\w-]+)` `(?P<component>\w+)` \| (?P<words>[^|]*) \|")

Content = Mapping[str, Any]
Run = Mapping[str, Content]  # claim → its row


def renewed(text: str, runs: Mapping[str, Run]) -> str:
    """The page with its tables filled in again.

    Args:
        runs: profile → claim → row.

    Raises:
        ArtifactError: a table has no marks, names a claim or component that a run does not have, or lacks a claim that
            training changes.
    """
    for name, profiles in TABLES.items():
        mark, shown = MARK.format(name), {profile: runs[profile] for profile in profiles}
        before, result, rest = text.partition(mark)
        table, end, after = rest.partition(END)
        if not result or not end:
            raise ArtifactError(f"{PAGE} has no marks {mark} and {END} around its table. Run `git checkout {PAGE}`.")
        changed = {claim for pair in LONGER.items() for claim in changed_claims(*(runs[one] for one in pair))}
        if name == COMPLETE and (missing := changed - {row["claim"] for row in rows_of(table)}):
            raise ArtifactError(
                f"{PAGE}, table {name}, lacks claims that come out otherwise: {', '.join(sorted(missing))}"
            )
        lines = [line if (row := ROW.match(line)) is None else filled(row, shown) for line in table.split("\n")]
        text = f"{before}{mark}" + "\n".join(lines) + f"{END}{after}"
    return text


def rows_of(table: str) -> list[re.Match[str]]:
    """The lines of a table that are about a claim."""
    return [row for line in table.split("\n") if (row := ROW.match(line))]


def changed_claims(one: Run, other: Run) -> set[str]:
    """The claims that came out otherwise in the other run."""
    return {name for name, row in one.items() if name in other and outcome_of(row) != outcome_of(other[name])}


def filled(row: re.Match[str], runs: Mapping[str, Run]) -> str:
    """One line of a table, with the numbers and outcomes of these runs."""
    claim, component, words = row["claim"], row["component"], row["words"]
    rows = [run.get(claim) for run in runs.values()]
    if None in rows or not any(component in result["components"] for result in rows):
        raise ArtifactError(
            f"{PAGE} names `{claim}` `{component}`, which the claims.json of {' or '.join(runs)} does not have."
        )
    cells = [cell(result, component) for result in rows]
    shown = [part for pair in cells for part in pair] if len(runs) == 1 else [", ".join(pair) for pair in cells]
    return f"| `{claim}` `{component}` | {words} | " + " | ".join(shown) + " |"


def cell(content: Content, component: str) -> tuple[str, str]:
    """The number of one component of a claim in one run, and its own outcome."""
    if component not in content["components"]:
        return "—", NOT_TESTED
    outcome = outcome_words(content["outcomes"]).get(component) or "—"
    judge = " (surrogate)" if content["judge"] == "surrogate" else ""
    return number(content["components"][component][0]), outcome + judge


def number(estimate: Content) -> str:
    """Three digits, and the interval where it has a width; or that a number is withheld."""
    if estimate["value"] is None:
        return "withheld"
    ends = (estimate["low"], estimate["high"])
    value, low, high = (f"{number:.3g}".replace("-", "−") for number in (estimate["value"], *ends))
    return value if ends[0] == ends[1] else f"{value} ({low} to {high})"


def committed_runs() -> dict[str, Run]:
    """Profile → claim → row, of every profile of the tables."""
    names = dict.fromkeys(name for profiles in TABLES.values() for name in profiles)
    return {name: {row["id"]: row for row in read_json(reports_of(name).claims)["claims"]} for name in names}


if __name__ == "__main__":
    content = renewed(PAGE.read_text(encoding="utf-8"), committed_runs())
    write_text(PAGE, content)
    print("\n".join(row.string for row in rows_of(content)))
