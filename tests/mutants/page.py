"""What docs/faults.md says of the planted bugs."""

from collections.abc import Mapping
from typing import Any

from darkmatter.storage.document_tables import lines
from tests.mutants.mutant import CAUGHT

HEAD = ["module", "bug", "caught by", "seconds"]
INTRODUCTION = """
Bugs planted one by one, by `make mutants`, each before the ordinary tests that import its module: those that import it
themselves first, for four minutes at most. A bug is *caught* where a test fails that passes without it. None was left
out for what came of it; one that the tests missed when it was first planted says so, and names the test that it has
since.
"""


def part(content: Mapping[str, Any]) -> list[str]:
    """The paragraphs and the table."""
    results = content["results"]
    minutes = sum(one["seconds"] for one in results) / 60
    rows = [
        [f"`{one['module']}`", one["seen"] + since(one), caught_by(one), f"{one['seconds']:.0f}"] for one in results
    ]
    parts = [
        "## Mutants",
        " ".join(INTRODUCTION.split()),
        f"{sum_of(content)} That took {minutes:.0f} minutes on {where(content['machine'])}.",
    ]
    return [*parts, lines(HEAD, rows)]


def where(machine: Mapping[str, Any]) -> str:
    return f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}"


def since(result: Mapping[str, Any]) -> str:
    test = result.get("test_since")
    return f" (missed at first; since then `{test.removeprefix('tests/')}`)" if test else ""


def caught_by(result: Mapping[str, Any]) -> str:
    """The test, without the values of its parameters, which may hold what a table cannot."""
    if result["outcome"] != CAUGHT:
        return f"nothing in {result['files']} files"
    return f"`{result['by'].split('[')[0].removeprefix('tests/')}`"


def caught_at_first(content: Mapping[str, Any]) -> str:
    """How many of how many the tests caught before any was added for them: for the README."""
    results = content["results"]
    return f"{sum(one['outcome'] == CAUGHT and 'test_since' not in one for one in results)} of {len(results)}"


def sum_of(content: Mapping[str, Any]) -> str:
    """The sentence with all counts."""
    results, planned = content["results"], content["planned"]
    caught = [one for one in results if one["outcome"] == CAUGHT]
    late = sum("test_since" in one for one in results)
    run = f"{len(results)} bugs" if len(results) == planned else f"{len(results)} of {planned} bugs"
    modules = len({one["module"] for one in results})
    first = f", {len(caught) - late} of them when first planted" if late else ""
    return f"{run} planted in {modules} modules: {len(caught)} caught{first}, {len(results) - len(caught)} missed."
