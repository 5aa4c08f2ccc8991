"""One figure of what an SAE leaves unexplained: its linear and its nonlinear part, a bar for each result."""

from collections.abc import Mapping
from pathlib import Path

from darkmatter.api.result import Decomposed
from darkmatter.figures.style import COMPONENTS, DOUBLE, Style, legend
from darkmatter.storage.artifacts import ArtifactError, write_text

TITLE = "Parts of the error"
FONT_SIZE = 8  # points
FRAME, BAR = 0.9, 0.5  # inches: of axis and legend together, and of each bar


def write_parts(path: Path, results: Mapping[str, Decomposed], convention: str = "paper") -> None:
    """Write an SVG of FVU on held-out tokens: FVU_nonlinear, and above it what a linear map of x predicts.

    Args:
        results: the name of each bar → what was found.

    Raises:
        ArtifactError: a result has no FVU.
    """
    style = Style(FONT_SIZE)
    with style.context():
        figure = style.figure(DOUBLE, FRAME + BAR * len(results))
        axes = figure.add_subplot()
        for place, (name, result) in enumerate(results.items()):
            both = [result.estimate(part, convention=convention) for part in ("fvu_nonlinear", "fvu")]
            if reasons := [one["reason"] for one in both if one["value"] is None]:
                raise ArtifactError(f"{name} has no parts to draw: {reasons[0]}")
            start = 0.0
            for part, one in zip(("nonlinear", "linear"), both, strict=True):
                look, width = COMPONENTS[part], one["value"] - start
                bar = axes.barh(place, width, left=start, height=0.6, color=look.colour, alpha=0.55)
                bar.set_label(None if place else look.label)
                axes.text(start + width / 2, place, f"{width:.3f}", ha="center", va="center")
                bars = [[max(one["value"] - one["low"], 0)], [max(one["high"] - one["value"], 0)]]
                axes.errorbar(one["value"], place, xerr=bars, color="black", elinewidth=0.8)
                start = one["value"]
        axes.set_yticks(range(len(results)), list(results))
        axes.invert_yaxis()
        level = 100 * next(iter(results.values())).settings["bootstrap"]["level"]
        axes.set_xlabel(
            f"fraction of variance unexplained on held-out tokens, with {level:g} % intervals over contexts"
        )
        legend(axes, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        write_text(path, style.svg(figure, TITLE))
