"""The page of benchmarks is that of the committed run, and so is what the README says of it."""

import re
from pathlib import Path

import pytest

from darkmatter.storage.artifacts import read_json
from tests.benches.interleaved import Check, Pairs, Row, interleave
from tests.benches.page import PAGE, RESULT, page

ROOT = Path(__file__).parents[2]
CONTENT = read_json(ROOT / RESULT)


def test_the_page_is_made_of_the_committed_run():
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(CONTENT)


def test_whether_a_goal_is_reached_follows_from_the_numbers():
    for row in CONTENT["rows"]:
        reached = row["goal"] is None or row["ratio"]["median"] >= row["goal"]
        for check in row["checks"]:
            above, below = check["value"] >= check["bound"], check["value"] <= check["bound"]
            assert check["reached"] == (above if check["at_least"] else below)
            reached = reached and check["reached"]
        assert row["reached"] == reached, row["name"]


def test_the_readme_has_the_numbers_of_the_committed_run():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (sentence,) = re.findall(r"Against other libraries, one thread each: [^.]*(?:\.\d[^.]*)*\.", text)
    shown = re.findall(r"([\d.]+)× (.+?) \(`([^`]+)`\)", sentence)
    assert len(shown) == 3 and "(docs/benchmarks.md)" in sentence
    rows = {row["name"]: row for row in CONTENT["rows"] if row["reached"] and row["goal"] is not None}
    for number, _, name in shown:
        assert number == f"{rows[name]['ratio']['median']:.1f}", name


def test_sides_are_run_in_turn_and_the_warm_up_is_not_counted():
    order = []
    pairs = interleave(lambda: order.append("ours"), lambda: order.append("rival"), 2, scale=3.0, warm_up=1)
    assert order == ["ours", "rival"] * 3
    assert len(pairs.ours) == len(pairs.rival) == 2


@pytest.mark.parametrize(
    ("goal", "value", "reached"), [(2.0, 1.0, True), (2.1, 1.0, False), (2.0, 0.9, False), (None, 1.0, True)]
)
def test_a_row_reaches_its_goal_by_the_median_and_every_check(goal, value, reached):
    pairs = Pairs([1.0, 1.0, 1.0], [2.0, 1.0, 9.0], (None, None))
    facts = Row("g", "n", "r", goal, pairs, checks=(Check("c", value, 1.0, True),)).facts()
    assert facts["ratio"] == {"median": 2.0, "low": 1.0, "high": 9.0, "pairs": 3}
    assert facts["reached"] is reached
