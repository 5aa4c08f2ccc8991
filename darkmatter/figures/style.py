"""One look for all figures: the palette, a look for each component, sizes, titles, and how an SVG is written.

Colours of components are Okabe and Ito's, told apart by colour-blind readers; the marker says the same again in print.
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
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

SHEET = Path(__file__).with_name("dark.mplstyle")
LAYER_TICKS = 12
DOUBLE = 7.0  # inches: two columns of a page, the width of every figure
TITLE_SIZE = 1.17  # of the title, in sizes of type
SMALL_SIZE = 0.88
TITLE_ROOM = 0.97  # share of the figure's width that a line of the title may take
INTERVAL = 0.9  # points: width of an interval's bar


@dataclass(frozen=True)
class Component:
    """How one component of the activation looks in every figure."""

    label: str
    colour: str
    marker: str


COMPONENTS = {
    "x": Component("x", "#3a3a3a", "s"),
    "sae": Component("Sae(x)", "#0072b2", "D"),
    "error": Component("SaeError", "#d55e00", "o"),
    "linear": Component("LinearError", "#009e73", "^"),
    "nonlinear": Component("NonlinearError", "#cc79a7", "v"),
    "absent": Component("absent features", "#e69f00", "P"),
    "encoder": Component("encoder error", "#56b4e9", "X"),
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SHADES = tuple(to_hex(mpl.colormaps["viridis"](at)) for at in (0.78, 0.62, 0.47, 0.32, 0.17, 0.02))

# Every colour that a figure may have, but for those of maps and of text on them. An SVG writes each as it stands here,
# so that a page with a dark ground can replace colour by colour.
PALETTE = {
    "ground": "#ffffff",
    "ink": "#222222",
    "muted": "#666666",  # what is beside the point: reference lines' names, random vectors
    "rule": "#b4b4b4",  # lines to compare with
    "paper": "#8a8a8a",  # what the paper prints: a mark and its name
    "band": "#e4e4e4",  # what the paper prints: a range
    **{f"component-{name}": look.colour for name, look in COMPONENTS.items()},
    **{f"shade-{number}": colour for number, colour in enumerate(SHADES)},
}
GROUND, INK, MUTED, RULE, MARK, BAND = (PALETTE[name] for name in ("ground", "ink", "muted", "rule", "paper", "band"))
ON_DARK, ON_LIGHT = "#fdfdfd", "#101010"  # text on the colours of a map, which no ground changes
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


@dataclass(frozen=True)
class Style:
    """The look of a figure, at one size of type.

    Attributes:
        font_size: points, of labels; ticks and legends are one step smaller, the title one step larger.
    """

    font_size: float

    @contextmanager
    def context(self) -> Iterator[None]:
        with mpl.rc_context(fname=SHEET):
            mpl.rcParams.update(dict.fromkeys(INKED, INK))
            mpl.rcParams.update({"figure.facecolor": GROUND, "savefig.facecolor": GROUND, "axes.facecolor": GROUND})
            mpl.rcParams.update({"font.size": self.font_size, "axes.titlesize": self.font_size})
            mpl.rcParams.update(
                dict.fromkeys(
                    ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), self.small
                )
            )
            yield

    @property
    def small(self) -> float:
        return self.font_size * SMALL_SIZE

    def figure(self, height: float) -> Figure:
        """A figure of this height in inches. No pyplot: it would keep every figure of a long process alive."""
        return Figure(figsize=(DOUBLE, height))

    def title(self, figure: Figure, finding: str) -> None:
        """Write the finding above the figure, in as many lines as it needs."""
        size = self.font_size * TITLE_SIZE
        room = TITLE_ROOM * 72 * figure.get_figwidth()
        figure.suptitle(wrapped(finding, size, room), x=0.008, ha="left", fontsize=size, fontweight="bold")

    def series(self, count: int) -> list[tuple[str, str]]:
        """(colour, marker) of `count` ordered things, such as widths: light to dark, also in grey."""
        places = np.linspace(0, len(SHADES) - 1, count) if count > 1 else [len(SHADES) / 2]
        return [(SHADES[round(place)], MARKERS[i % len(MARKERS)]) for i, place in enumerate(places)]

    def svg(self, figure: Figure, title: str) -> str:
        """The figure as SVG text; the same figure always gives the same bytes."""
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        return buffer.getvalue()


def wrapped(text: str, size: float, room: float) -> str:
    """The text in lines no wider than `room` points, in bold type."""
    bold = FontProperties(family=mpl.rcParams["font.family"], weight="bold", size=size)
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        width, _, _ = text_to_path.get_text_width_height_descent(longer, bold, ismath=False)
        if lines and width <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def empty(reason: str, style: Style) -> Figure:
    """In place of a figure whose inputs this profile does not have."""
    figure = style.figure(0.8)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, f"not drawn:\n{reason}", ha="center", va="center", wrap=True, transform=axes.transAxes)
    return figure


def in_percent(item: dict[str, Any], factor: int = 100) -> dict[str, Any]:
    """An estimate in per cent; a negative factor turns a decrease into a change."""
    value, *ends = (None if item[key] is None else factor * item[key] for key in ("value", "low", "high"))
    low, high = ends if factor > 0 else ends[::-1]
    return {"value": value, "low": low, "high": high}


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
    bars = interval_lengths([item for _, item in shown])
    axes.errorbar(at, value, yerr=bars, **({"elinewidth": INTERVAL} | look)).lines[0].set_gid(gid)
    return at


def bars_with_intervals(
    axes: Axes, x: Sequence[float], estimates: Sequence[dict[str, Any]], width: float, **look: Any
) -> None:
    """Draw estimates as bars from 0 with their intervals; leaves out null values."""
    shown = [(at, item) for at, item in zip(x, estimates, strict=True) if item["value"] is not None]
    if not shown:
        return
    at = [place for place, _ in shown]
    heights = [item["value"] for _, item in shown]
    axes.bar(at, heights, width, linewidth=0, **look)
    lengths = interval_lengths([item for _, item in shown])
    axes.errorbar(at, heights, yerr=lengths, color=INK, elinewidth=INTERVAL, linestyle="none")


def interval_lengths(estimates: Sequence[dict[str, Any]]) -> np.ndarray:
    """Below and above the values, shape (2, estimate).

    A percentile interval may leave its value outside by rounding; a bar cannot be negative.
    """
    value = np.array([item["value"] for item in estimates])
    low, high = (
        np.array([item["value"] if item[end] is None else item[end] for item in estimates]) for end in ("low", "high")
    )
    return np.maximum(np.stack([value - low, high - value]), 0)


def paper_range(axes: Axes, low: float, high: float, text: str) -> None:
    """A grey band of y values that the paper prints, named at its right end; a line where both ends are one."""
    if low == high:
        axes.axhline(low, color=MARK, linewidth=1.6, zorder=0.5)
    else:
        axes.axhspan(low, high, color=BAND, linewidth=0, zorder=0)
    place = {"ha": "right", "va": "top" if high > low else "bottom", "fontsize": mpl.rcParams["legend.fontsize"]}
    axes.text(0.995, high, text, transform=axes.get_yaxis_transform(), color=MUTED, **place)


def name_at(axes: Axes, x: float, y: float, text: str, **place: Any) -> None:
    """The name of a line beside it: no legend to look up. In ink, as most colours are too light for small type."""
    aside = {
        "xytext": (6, 0),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": mpl.rcParams["legend.fontsize"],
    }
    axes.annotate(text, (x, y), annotation_clip=False, **(aside | place))


def legend(axes: Axes, **place: Any) -> None:
    """A legend, unless every series was null."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**place)


def layer_axes(axes: Axes, layers: Sequence[int]) -> None:
    """One tick per layer as long as they have room."""
    axes.set_xlabel("layer")
    if len(set(layers)) <= LAYER_TICKS:
        axes.set_xticks(sorted(set(layers)))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


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
