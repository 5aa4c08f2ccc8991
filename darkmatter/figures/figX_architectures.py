"""SAEs of other architectures at one L0: FVU, its nonlinear part, and R² of the error vector."""
# ruff: noqa: N999 - named after its output, as every figure

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import INTERVAL, MUTED, RULE, Style, interval_lengths
from darkmatter.figures.training_classes import NAMES
from darkmatter.figures.words import context_note, percent_span, span, values_of
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Architectures at one L0"
CAPTION = (
    "The training classes of sae-lens, and TopK beside a linear map of x that is trained with it (skip), each "
    "interpolated in log L0 between the SAEs around the L0. All begin with the same decoder and see the same batches. "
    "BatchTopK and Matryoshka are measured as the JumpReLU SAEs that they are saved as; L1 coefficients are steered to "
    "an L0 until the learning rate falls. Lines: TopK of each size. Intervals are over contexts; what lies between "
    "architectures is judged on the same contexts, with the noise of the training seed."
)
PAPER = "ours"

PANELS = {"fvu": "FVU", "fvu_nonlinear": "FVU_nonlinear", "vector_r2": "R² of the error vector"}
SKIP = "skip_"
SPREAD = 0.36  # between the first and the last size of one row, in rows
TINY = 0.8  # of the type of a legend: two lines stand in one row
ROW, MARGIN = 0.26, 1.1  # inches


def data(results: Results, params: Params) -> dict[str, Any]:
    content = results.experiment("architectures")
    if not content["matched"]:
        raise NotDrawn("`architectures.classes` is empty, so the experiment is off in this profile")
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in content["matched"]:
        numbers = row["estimates"][PRIMARY[0]]["numbers"]
        size = {"d_sae": row["d_sae"], "seeds": row["seeds"]} | {key: numbers[key] for key in PANELS}
        rows.setdefault(row["variant"], []).append(size)
    variants = [{"variant": name, "sizes": sizes} for name, sizes in rows.items()]
    tokens = [sae["train_tokens"] for sae in content["saes"]]
    seeds = ", ".join(f"{size['d_sae']:,} latents: {size['seeds']}" for size in variants[0]["sizes"])
    return {
        "finding": finding(variants, content),
        "note": (
            f"{context_note(results, content['hookpoint'], params)} Here "
            f"{max(size['fvu'].get('contexts') or 0 for row in variants for size in row['sizes'])} of the contexts. "
            f"{min(tokens):,} to {max(tokens):,} training tokens; seeds at {seeds}."
        ),
        "l0": content["l0"],
        "variants": variants,
    }


def finding(variants: Sequence[dict[str, Any]], content: dict[str, Any]) -> str:
    """The two parts over the training classes, and what the widest skip leaves of TopK's."""
    plain = [size for row in variants if not row["variant"].startswith(SKIP) for size in row["sizes"]]
    fvu, nonlinear = (span(values_of(size[key] for size in plain)) for key in ("fvu", "fvu_nonlinear"))
    text = f"At L0 {content['l0']} FVU of the training classes is {fvu} and FVU_nonlinear {nonlinear}"
    skips = [name for name in content["estimands"] if name.startswith(SKIP)]
    if not skips:
        return text
    widest = max(skips, key=rank_of)
    left = content["estimands"][widest]
    linear, other = (percent_span(values_of(left[part])) for part in ("linear", "nonlinear"))
    skip = f"a linear skip of rank {rank_of(widest)}"
    return f"{text}; {skip} leaves {linear} of TopK's linear and {other} of its nonlinear error"


def rank_of(skip: str) -> int:
    return int(skip.split("_")[1])


def name_of(variant: str) -> str:
    return NAMES.get(variant) or f"TopK + skip, rank {rank_of(variant)}"


def draw(data: dict[str, Any], style: Style) -> Figure:
    rows = data["variants"]
    figure = style.figure(MARGIN + ROW * len(rows))
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (key, label) in zip(panels, PANELS.items(), strict=True):
        draw_panel(axes, rows, key, style)
        axes.set_xlabel(label)
        low, high = axes.get_xlim()
        axes.set_xlim(min(0.0, low), 1.03 * high)
    panels[0].set_yticks(range(len(rows)), [name_of(row["variant"]) for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    for place, row in enumerate(rows):
        for number, size in enumerate(row["sizes"]):
            if size["fvu"]["value"] is None:
                at = (0.02, place + below(number, len(row["sizes"])))
                panels[0].text(
                    *at, f"{size['d_sae']:,}: withheld", transform=panels[0].get_yaxis_transform(), **aside()
                )
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=len(handles))
    return figure


def below(number: int, sizes: int) -> float:
    """How far one of the sizes stands below the middle of its row."""
    return SPREAD * (number - (sizes - 1) / 2) / max(1, sizes - 1)


def aside() -> dict[str, Any]:
    return {"va": "center", "color": MUTED, "fontsize": TINY * mpl.rcParams["legend.fontsize"]}


def draw_panel(axes: Axes, rows: Sequence[dict[str, Any]], key: str, style: Style) -> None:
    """One number of every variant, one row for each; sizes one above the other."""
    sizes = [size["d_sae"] for size in rows[0]["sizes"]]
    for number, (d_sae, (colour, marker)) in enumerate(zip(sizes, style.series(len(sizes)), strict=True)):
        down = below(number, len(sizes))
        estimates = [row["sizes"][number][key] for row in rows]
        if (of_topk := estimates[0]["value"]) is not None:
            axes.axvline(of_topk, color=colour, linewidth=0.7, linestyle=":", zorder=0.5)
        shown = [(place + down, item) for place, item in enumerate(estimates) if item["value"] is not None]
        if shown:
            items = [item for _, item in shown]
            axes.errorbar(
                [item["value"] for item in items],
                [place for place, _ in shown],
                xerr=interval_lengths(items),
                color=colour,
                marker=marker,
                elinewidth=INTERVAL,
                linestyle="none",
                label=f"{d_sae:,} latents",
            )
    for place in range(1, len(rows)):
        axes.axhline(place - 0.5, color=RULE, linewidth=0.3, zorder=0)
