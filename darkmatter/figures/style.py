"""One look for all figures: a colour, a marker and a line style for each component, sizes, and how an SVG is written.

Colours are Okabe and Ito's, told apart by colour-blind readers; marker and line say the same again in print.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

SHEET = Path(__file__).with_name("dark.mplstyle")
LAYER_TICKS = 12
SINGLE, DOUBLE = 3.4, 7.0  # inches: one and two columns of a page


@dataclass(frozen=True)
class Component:
    """How one component of the activation looks in every figure."""

    label: str
    colour: str
    marker: str
    line: Any


COMPONENTS = {
    "x": Component("x", "#000000", "s", "-"),
    "sae": Component("Sae(x)", "#0072B2", "D", "-"),
    "error": Component("SaeError", "#D55E00", "o", "-"),
    "linear": Component("LinearError", "#009E73", "^", "--"),
    "nonlinear": Component("NonlinearError", "#CC79A7", "v", "-."),
    "absent": Component("absent features", "#E69F00", "P", ":"),
    "encoder": Component("encoder error", "#56B4E9", "X", (0, (1, 1))),
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (3, 1, 1, 1)))


@dataclass(frozen=True)
class Style:
    """The look of a figure, at one size of type.

    Attributes:
        font_size: points, of labels and titles; ticks and legends are one step smaller.
    """

    font_size: float

    @contextmanager
    def context(self) -> Iterator[None]:
        with mpl.rc_context(fname=SHEET):
            mpl.rcParams["font.size"] = self.font_size
            yield

    @property
    def small(self) -> float:
        return self.font_size * 0.833

    def figure(self, width: float, height: float) -> Figure:
        """Inches. No pyplot: it would keep every figure of a long process alive."""
        return Figure(figsize=(width, height))

    def series(self, count: int) -> list[tuple[str, str, Any]]:
        """(colour, marker, line) of `count` ordered things, such as widths: light to dark, also in grey."""
        shades = mpl.colormaps["viridis"](np.linspace(0.85, 0.0, count) if count > 1 else [0.3])
        return [(to_hex(shade), MARKERS[i % len(MARKERS)], LINES[i % len(LINES)]) for i, shade in enumerate(shades)]

    def svg(self, figure: Figure, title: str) -> str:
        """The figure as SVG text; the same figure always gives the same bytes."""
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        return buffer.getvalue()


def empty(reason: str, style: Style) -> Figure:
    """In place of a figure whose inputs this profile does not have."""
    figure = style.figure(SINGLE, 1.0)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, f"not drawn:\n{reason}", ha="center", va="center", wrap=True, transform=axes.transAxes)
    return figure


def points_with_intervals(
    axes: Axes, x: Sequence[float], estimates: Sequence[dict[str, Any]], gid: str | None = None, **look: Any
) -> list[float]:
    """Draw estimates at x with their intervals; leaves out null values. Returns the x that were drawn.

    Args:
        gid: `values-LIST-KEY` names the marks after the numbers they show, which the report says under the pointer.
    """
    shown = [(at, item) for at, item in zip(x, estimates, strict=True) if item["value"] is not None]
    if not shown:
        return []
    at = [place for place, _ in shown]
    value = np.array([item["value"] for _, item in shown])
    low, high = (
        np.array([value[i] if item[end] is None else item[end] for i, (_, item) in enumerate(shown)])
        for end in ("low", "high")
    )
    # A percentile interval may leave its value outside by rounding; a bar cannot be negative.
    bars = np.maximum(np.stack([value - low, high - value]), 0)
    axes.errorbar(at, value, yerr=bars, elinewidth=0.8, **look).lines[0].set_gid(gid)
    return at


def legend(axes: Axes, **place: Any) -> None:
    """A legend, unless every series was null."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**place)


def layer_axes(axes: Axes, layers: Sequence[int], target: str = "‖SaeError‖²") -> None:
    """R² of the error norm by layer: one tick per layer as long as they have room, and at least 0 to 1."""
    axes.set_xlabel("layer")
    axes.set_ylabel(f"R² of {target}")
    if len(set(layers)) <= LAYER_TICKS:
        axes.set_xticks(sorted(set(layers)))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), max(high, 1))


def log2_axis(axes: Axes, which: str, values: Sequence[float], label: str) -> None:
    """Ticks at these values on an axis that shows log2 of them."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator([float(np.log2(value)) for value in sorted(set(values))]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda position, _: short(2**position)))
    axis.set_label_text(label)


def log10_axis(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers: powers written as mathematics would need the text parser."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def short(number: float) -> str:
    """512, 1k, 16k, 1M: widths as the field writes them."""
    whole = round(number)
    if abs(number - whole) > 0.05 * max(number, 1):
        return f"{number:.1f}"
    for unit, name in ((1 << 20, "M"), (1 << 10, "k")):
        if whole >= unit and whole % unit == 0:
            return f"{whole // unit}{name}"
    return str(whole)
