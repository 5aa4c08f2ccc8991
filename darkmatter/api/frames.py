"""Results as a table of pandas, and as a plot."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darkmatter.storage.artifacts import write_text

if TYPE_CHECKING:  # both take a second to import, and are asked for by name
    import pandas as pd
    from matplotlib.figure import Figure

    from darkmatter.api.result import Decomposed

COLUMNS = ("value", "low", "high", "rows", "contexts", "rank", "reason")
BARE = "without skip"
FONT_SIZE = 8  # points
LETTER = 0.075  # inches, of a label below a bar


def to_frame(results: "Mapping[str, Decomposed]") -> "pd.DataFrame":
    """One line for each estimate of each SAE, in the columns sae, skip, split, convention, estimate, value, low, …

    An estimate of a group has the name of both, such as `norm_test/error`. `skip` is false where a transcoder's skip
    connection is left out, and empty where it has none. `reason` says why there is no value.
    """
    import pandas as pd

    lines = []
    for name, skip, one in with_bare(results):
        shared = {"sae": name, "skip": skip, "d_sae": one.d_sae, "l0": one.l0}
        for split, conventions in one.estimates.items():
            for convention, estimates in conventions.items():
                for estimate, numbers in flat(estimates):
                    about = {"split": split, "convention": convention, "estimate": estimate}
                    lines.append(shared | about | {column: numbers.get(column) for column in COLUMNS})
    frame = pd.DataFrame(lines)
    return frame.astype({"value": float, "low": float, "high": float})


def flat(estimates: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, content in estimates.items():
        if "value" in content:
            yield f"{prefix}{name}", content
        else:
            yield from flat(content, f"{prefix}{name}/")


def with_bare(results: "Mapping[str, Decomposed]") -> "Iterator[tuple[str, bool | None, Decomposed]]":
    """Each result, whether its skip connection is in it, and after it the result without that."""
    for name, one in results.items():
        if one.without_skip is None:
            yield name, None, one
        else:
            yield name, True, one
            yield name, False, one.without_skip


def write_plot(path: Path, results: "Mapping[str, Decomposed]", convention: str = "paper") -> None:
    """`plot` as SVG, in the style of this project's figures."""
    from darkmatter.figures.style import Style

    style = Style(FONT_SIZE)
    with style.context():
        write_text(path, style.svg(plot(results, convention), "Parts of the error"))


def plot(results: "Mapping[str, Decomposed]", convention: str = "paper") -> "Figure":
    """A bar for each SAE: FVU on held-out tokens, of which FVU_nonlinear is what no linear map of x predicts."""
    from matplotlib.figure import Figure

    from darkmatter.figures.style import COMPONENTS

    bars = list(with_bare(results))
    fvu, nonlinear = (
        [one.estimate(name, convention=convention) for *_, one in bars] for name in ("fvu", "fvu_nonlinear")
    )
    places = np.arange(len(bars))
    labels = [label(*bar) for bar in bars]
    longest = max(len(line) for text in labels for line in text.split("\n"))
    figure = Figure(figsize=(1.2 + len(bars) * max(0.9, LETTER * longest), 3.2), layout="constrained")
    axes = figure.subplots()
    base, start = values(nonlinear, "value"), np.zeros(len(bars))
    parts = (
        ("nonlinear", base, start, "not linear in x"),
        ("linear", values(fvu, "value") - base, base, "linear in x"),
    )
    for part, height, bottom, text in parts:
        axes.bar(places, height, bottom=bottom, width=0.6, color=COMPONENTS[part].colour, alpha=0.55, label=text)
    for shift, numbers in ((-0.08, nonlinear), (0.08, fvu)):
        middle = values(numbers, "value")
        reach = np.abs([middle - values(numbers, "low"), values(numbers, "high") - middle])
        axes.errorbar(places + shift, middle, yerr=reach, fmt="none", color="black", capsize=2, linewidth=1)
    axes.set_xticks(places, labels, fontsize=8)
    axes.set_ylabel("FVU, held-out tokens")
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def values(numbers: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([np.nan if one[name] is None else one[name] for one in numbers])


def label(name: str, skip: bool | None, one: "Decomposed") -> str:
    lines = (name, BARE if skip is False else "", "" if one.l0 is None else f"L0 {one.l0:.0f}")
    return "\n".join(filter(None, lines))
