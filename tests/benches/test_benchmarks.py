"""The page of benchmarks is that of the committed run, and so is what the README says of it."""

from pathlib import Path

import pytest

from darkmatter.experiments.registry import records
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import reports_of
from tests.benches.graph import PROFILE, Rerun
from tests.benches.growth import exponent, line
from tests.benches.interleaved import Check, Pairs, Row, interleave
from tests.benches.page import PAGE, RESULT, answer, page, sentence
from tests.benches.whole_run import line as whole_line
from tests.benches.whole_run import whole_run

ROOT = Path(__file__).parents[2]
CONTENT = read_json(ROOT / RESULT)


def test_the_page_is_made_of_the_committed_run():
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(CONTENT)


def test_whether_a_goal_is_reached_follows_from_the_numbers():
    for row in CONTENT["graph"]:
        assert Rerun(**{name: value for name, value in row.items() if name != "reached"}).facts() == row
    for row in CONTENT["growth"]:
        again = line(*(row[name] for name in ("grows", "what", "sizes", "amounts", "unit", "goal")))
        assert again == row | {"exponent": pytest.approx(row["exponent"], rel=1e-12)}
    for row in CONTENT["whole"]:
        assert row["reached"] == (row["goal"] is None or (row["amount"] <= row["goal"] and not row["found"]))
    for row in CONTENT["rows"]:
        reached = row["goal"] is None or row["ratio"]["median"] >= row["goal"]
        for check in row["checks"]:
            above, below = check["value"] >= check["bound"], check["value"] <= check["bound"]
            assert check["reached"] == (above if check["at_least"] else below)
            reached = reached and check["reached"]
        assert row["reached"] == reached, row["name"]


def test_the_whole_run_counts_every_receipt_and_leaves_out_the_experiments_that_are_ours(monkeypatch):
    monkeypatch.chdir(ROOT)
    every, papers, memory = whole_run()
    stages = {path.stem: read_json(path) for path in reports_of(PROFILE).receipts.glob("*.json")}
    ours = sum(stages[name]["seconds"] for name, record in records().items() if record.section == "ours") / 60
    assert every["stages"] == memory["stages"] == len(stages) > papers["stages"]
    assert every["amount"] - papers["amount"] == pytest.approx(ours) and ours > 0
    assert memory["amount"] == max(receipt["peak_memory_bytes"] for receipt in stages.values()) / 1e9


def test_the_readme_has_the_sentence_of_the_committed_run():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert sentence(CONTENT) in text


def test_the_sentence_has_the_strongest_line_of_each_group_and_none_that_missed_its_goal():
    def row(group: str, name: str, ratio: float, goal: float | None) -> dict:
        return Row(group, name, "r", goal, Pairs([1.0], [ratio], (None, None))).facts()

    rows = [row("a", "a1", 3.0, 2.0), row("a", "a2", 4.0, 2.0), row("b", "b1", 50.0, 60.0), row("c", "c1", 9.0, None)]
    graph = [
        Rerun("x", 3.0, 1, 2.0, [], None, 0, 0.0, 0.0).facts(),
        Rerun("x", 3.0, 1, None, [], None, 0, 0.0, 0.0).facts(),
    ]
    growth = [line("rows", "x", [1, 2], [1.0, 2.0], "s", 1.1)]
    whole = [whole_line("all", {"stage": {"units": {"reused": found}}}, 1.0, "min", 2.0) for found in ([], ["u"])]
    result = sentence({"rows": [*rows, row("d", "d1", 5.0, 2.0)], "graph": graph, "growth": growth, "whole": whole})
    assert "5.0× *d* (against r), 4.0× *a* (against r); 5 of 8 goals" in result
    assert all(number not in result for number in ("3.0×", "50.0×", "9.0×"))


@pytest.mark.parametrize(
    ("share", "goal", "text"),
    [(0.8, 3.0, "**no**: the limit allows 2.5×"), (0.5, 3.0, "**no**"), (None, 3.0, "**no**"), (0.8, 1.5, "yes")],
)
def test_a_missed_goal_says_whether_the_limit_rules_it_out(share: float | None, goal: float, text: str):
    limit = {"what": "products", "share": share} if share else None
    assert answer({"goal": goal, "reached": goal < 2, "limit": limit, "ratio": {"median": 2.0}}) == text


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


@pytest.mark.parametrize(
    ("seconds", "goal", "stages", "most", "reached"),
    [(1.9, 2.0, [], 0, True), (2.1, 2.0, [], 0, False), (1.9, 2.0, ["a"], 0, False), (99.0, None, ["a"], None, True)],
)
def test_a_rerun_reaches_its_goal_by_seconds_and_by_stages(seconds, goal, stages, most, reached):
    assert Rerun("x", seconds, 1, goal, stages, most, 0, 0.0, 0.0).reached is reached


def test_an_exponent_is_that_of_the_power_law():
    assert exponent([1, 10, 1000], [3.0, 30.0, 3000.0]) == pytest.approx(1.0)
    assert exponent([2, 4, 8], [5.0, 20.0, 80.0]) == pytest.approx(2.0)
    assert line("rows", "x", [2, 4, 8], [5.0, 20.0, 80.0], "s", 1.1)["reached"] is False
