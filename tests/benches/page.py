"""docs/benchmarks.md, made of reports/bench.json.

python -m tests.benches.page      # writes the page again and prints the README's sentence; a test compares both
"""

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from darkmatter.storage.artifacts import read_json, write_text
from darkmatter.storage.document_tables import lines

RESULT, PAGE = Path("reports/bench.json"), Path("docs/benchmarks.md")
HEAD = ["what", "rival", "ratio (spread)", "goal", "reached", "ours", "rival's", "of the limit"]
INTRODUCTION = """# Benchmarks

Made by `make bench` from [reports/bench.json](../reports/bench.json); do not edit. Each row is a ratio of runs taken in
turn: ours, rival, ours, rival. Given are the median of the pairs' ratios and, in brackets, the least and the largest.
More than 1 is in our favour. Both sides have one thread, as in the stages, and the same input; our side multiplies as
the stages do, a rival as its library does. A goal that is not
reached stays in the table. *Of the limit* is the shortest time that a limit measured in the same run allows, over our
time: at 100 % our side could not be faster by doing the same faster. Where the ratio at that limit is below the goal,
the line says what the limit allows.
"""
GRAPH_HEAD = ["after", "seconds", "goal", "stages that ran", "units computed", "DVC's own", "starts", "reached"]
GRAPH = """## The graph

`dvc repro` of the default profile where little or nothing changed, in a clone that has all data. A unit is one SAE (or
one shard of activations) in one experiment. *DVC's own* are the seconds outside of the stages: it hashes what they read
and write, and writes `dvc.lock` after each. *Starts* are the seconds that it takes to start these stages and to import
their libraries, each in its process, measured alone. A rerun of so many stages takes no less than both together.
`interpretability` keeps what a judge has answered (`persist` in `dvc.yaml`), and DVC takes no such stage from its
run-cache: after a change of the profile it starts, and finds its answers.
"""
NAMED = 3  # stages at most by name
WHOLE_HEAD = ["what", "stages", "amount", "goal", "units found stored", "reached"]
WHOLE = """## The whole run

The default profile from nothing, by the receipts in `reports/smollm2/receipts`: seconds of its stages, without
installation and DVC's own. The goal is for the experiments of the paper, without those that we added; with bfloat16
products it is 15 minutes.
"""
GROWTH_HEAD = ["what", "grows with", "sizes", "amounts", "exponent", "goal", "reached"]
GROWTH = """## How time grows

Exponents of a power law through the sizes. With more `d_model` the products alone grow with an exponent of 2.
"""

Content = Mapping[str, Any]


def page(content: Content) -> str:
    """The whole page."""
    machine, peaks, rows = content["machine"], content["peaks"], content["rows"]
    goals = with_goal(content)
    parts = [
        INTRODUCTION,
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} thread; torch {machine['torch']}, NumPy "
        f"{machine['numpy']}, Python {machine['python']}. Measured in this run, one thread: "
        f"{peaks['float32'] / 1e9:.0f} GFLOP/s in float32 and {peaks['float64'] / 1e9:.0f} in float64 matrix products, "
        f"{peaks['bandwidth'] / 1e9:.0f} GB/s of memory. The run took {content['seconds'] / 60:.0f} minutes. "
        f"{sum(row['reached'] for row in goals)} of {len(goals)} goals are reached; the limit rules out "
        f"{sum(ruled_out(row) for row in rows)} of the others.",
    ]
    for group in dict.fromkeys(row["group"] for row in rows):
        chosen = [row for row in rows if row["group"] == group]
        parts += [f"## {group}", lines(HEAD, [cells(row) for row in chosen])]
        parts.append("\n".join(f"- {row['name']}, {row['rival']}: {remarks(row)}" for row in chosen))
    parts += [GRAPH, lines(GRAPH_HEAD, [graph_cells(row) for row in content["graph"]])]
    parts += [WHOLE, lines(WHOLE_HEAD, [whole_cells(row) for row in content["whole"]])]
    parts += [GROWTH, lines(GROWTH_HEAD, [growth_cells(row) for row in content["growth"]])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def with_goal(content: Content) -> list[Content]:
    """Every line of the page that has a goal."""
    graph = [row for row in content["graph"] if row["goal"] is not None or row["most_stages"] is not None]
    rest = [row for row in (*content["whole"], *content["growth"]) if row["goal"] is not None]
    return [*(row for row in content["rows"] if has_goal(row)), *graph, *rest]


def has_goal(row: Content) -> bool:
    return row["goal"] is not None or bool(row["checks"])


def allowed(row: Content) -> float:
    """The ratio that our side would have at the limit measured in the same run; infinite without a limit."""
    return float(row["ratio"]["median"] / row["limit"]["share"]) if row["limit"] else inf


def ruled_out(row: Content) -> bool:
    """Whether the limit is what keeps a row from its goal."""
    return row["goal"] is not None and not row["reached"] and allowed(row) < row["goal"]


def answer(row: Content) -> str:
    if row["reached"]:
        return "yes"
    return f"**no**: the limit allows {allowed(row):.1f}×" if ruled_out(row) else "**no**"


def sentence(content: Content) -> str:
    """What the README says: the strongest timed line of each of the three strongest groups, among those that reached
    their goals, and how many goals were reached."""
    timed = [row for row in content["rows"] if row["goal"] is not None]
    strongest: dict[str, Content] = {}
    for row in sorted((row for row in timed if row["reached"]), key=lambda row: -row["ratio"]["median"]):
        strongest.setdefault(row["group"], row)
    shown = [
        f"{row['ratio']['median']:.1f}× *{row['group']}* (against {row['rival']})"
        for row in list(strongest.values())[:3]
    ]
    goals = with_goal(content)
    return (
        f"Faster: {', '.join(shown)}; {sum(row['reached'] for row in goals)} of {len(goals)} goals are reached "
        "([docs/benchmarks.md](docs/benchmarks.md))."
    )


def cells(row: Content) -> list[str]:
    limit = row["limit"]
    return [
        row["name"],
        row["rival"],
        ratio(row),
        "" if row["goal"] is None else f"≥ {row['goal']:g}×",
        answer(row) if has_goal(row) else "",
        f"{row['ours']:.3g} {row['unit']}",
        f"{row['rivals']:.3g} {row['unit']}",
        "" if limit is None else f"{100 * limit['share']:.0f} %",
    ]


def graph_cells(row: Content) -> list[str]:
    goals = [] if row["goal"] is None else [f"≤ {row['goal']:g} s"]
    goals += [] if row["most_stages"] is None else [f"≤ {row['most_stages']} stages"]
    median = f" (median of {row['runs']})" if row["runs"] > 1 else ""
    least = row["dvcs_own"] + row["starts"]
    ruled = row["stages"] and row["goal"] is not None and least > row["goal"]
    limit = f": the limit allows {least:.0f} s" if ruled else ""
    reached = ("yes" if row["reached"] else f"**no**{limit}") if goals else ""
    names = f" ({', '.join(row['stages'])})" if 0 < len(row["stages"]) <= NAMED else ""
    return [
        row["name"],
        f"{row['seconds']:.1f}{median}",
        ", ".join(goals),
        f"{len(row['stages'])}{names}",
        str(row["computed"]),
        f"{row['dvcs_own']:.1f}",
        f"{row['starts']:.1f}",
        reached,
    ]


def whole_cells(row: Content) -> list[str]:
    goal = "" if row["goal"] is None else f"≤ {row['goal']:g} {row['unit']}"
    reached = ("yes" if row["reached"] else "**no**") if goal else ""
    return [row["what"], str(row["stages"]), f"{row['amount']:.1f} {row['unit']}", goal, str(row["found"]), reached]


def growth_cells(row: Content) -> list[str]:
    sizes = ", ".join(f"{size:,}" for size in row["sizes"])
    amounts = ", ".join(f"{amount:.3g}" for amount in row["amounts"])
    goal = "" if row["goal"] is None else f"≤ {row['goal']:g}"
    reached = ("yes" if row["reached"] else "**no**") if goal else ""
    return [row["what"], row["grows"], sizes, f"{amounts} {row['unit']}", f"{row['exponent']:.2f}", goal, reached]


def ratio(row: Content) -> str:
    number = row["ratio"]
    return f"{number['median']:.1f}× ({number['low']:.1f} to {number['high']:.1f})"


def remarks(row: Content) -> str:
    """What was compared beside the time, the limit, and what the two sides did."""
    checks = [
        f"{check['name']}: {check['value']:.3g} (goal: {'≥' if check['at_least'] else '≤'} {check['bound']:g}, "
        f"{'reached' if check['reached'] else 'not reached'})."
        for check in row["checks"]
    ]
    limit = [f"Limit: {row['limit']['what']}."] if row["limit"] else []
    return " ".join([*checks, *limit, row["note"]])


def summary(row: Content) -> str:
    """One line for the terminal."""
    goal = "" if row["goal"] is None else f", goal {row['goal']:g}×"
    return (
        f"{row['group']}, {row['name']}, {row['rival']}: {ratio(row)}{goal}{'' if row['reached'] else ', not reached'}"
    )


if __name__ == "__main__":
    write_text(PAGE, page(read_json(RESULT)))
    print(sentence(read_json(RESULT)))
