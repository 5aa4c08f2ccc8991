"""Fig. 13: R² of the error norm from the activation and from simpler regressors, by layer."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import (
    COMPONENTS,
    INK,
    MUTED,
    RULE,
    SHADES,
    Style,
    layer_axes,
    log2_axis,
    points_with_intervals,
)
from darkmatter.figures.training_classes import NAMES
from darkmatter.figures.words import counted, level_of
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Predicting the error norm from less than the activation"
CAPTION = (
    "R² of the squared error norm from one regressor at a time, by layer, on held-out tokens with intervals over "
    "contexts, at fixed SAEs. Token identity is each token's mean over the fit rows and the grand mean for tokens not "
    "among them; beside it the same on the tokens met in the fit alone, where the claim compares it with the "
    "activation on the same tokens, and fitted and scored on all rows as in the published code. Right, where there are "
    "any: SAEs that were trained at one layer alone, by width. The paper prints no "
    "value of its Fig. 13: the activation performs best except in the first few layers."
)
PAPER = "Fig. 13, appendix A.3"

ACTIVATION, SEEN, TOKEN_SEEN = "activation", "activation_seen", "token_identity_seen"
TOKEN_COLOUR, NORM_COLOUR, LOSS_COLOUR = SHADES[1], SHADES[3], SHADES[5]
REGRESSORS = {  # name → label, colour, marker, line
    ACTIVATION: ("activation (Eq. 10)", COMPONENTS["error"].colour, "o", "-"),
    SEEN: ("activation, tokens met in the fit", COMPONENTS["error"].colour, "s", "--"),
    TOKEN_SEEN: ("token identity, tokens met in the fit", TOKEN_COLOUR, "s", "--"),
    "token_identity": ("token identity", TOKEN_COLOUR, "o", "-"),
    "token_identity_in_sample": ("token identity, in sample", RULE, "o", ":"),
    "activation_norm": ("activation norm ‖x‖", NORM_COLOUR, "D", "-"),
    "model_loss": ("model loss", LOSS_COLOUR, "v", "-"),
    "l0": ("L0", INK, "X", "-"),
}


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("norm_baselines")
    if not result["saes"]:
        raise NotDrawn(f"no SAE of group {', '.join(result['groups'])} at any hookpoint")
    split, convention = PRIMARY
    rows = []
    for sae in result["saes"]:
        r2 = dict(sae["estimates"][split][convention]["r2"])
        r2["token_identity_in_sample"] = sae["estimates"][split]["authors"]["r2"]["token_identity"]
        rows.append({key: sae[key] for key in ("hookpoint", "layer", "name", "d_sae", "k", "seed")} | {"r2": r2})
    rows.sort(key=lambda row: (series_of(row), row["layer"]))
    scored = sorted({row["r2"][ACTIVATION].get("rows", 0) for row in rows})
    undefined = sum(row["r2"]["l0"]["value"] is None for row in rows)
    return {
        "finding": finding(rows),
        "note": "Target ‖SaeError‖, as A.3 prints it. "
        f"{' and '.join(f'{count:,}' for count in scored)} held-out tokens of the token split; "
        f"{level_of(params)} intervals over contexts. L0 is the same on every token, and "
        f"so without R², at {undefined} of {len(rows)} SAEs.",
        "rows": rows,
    }


def finding(rows: list[dict[str, Any]]) -> str:
    """At how many layers the activation wins, and where token identity does; on tokens that the fit has met."""
    pairs = [(row["layer"], row["r2"][SEEN]["value"], row["r2"][TOKEN_SEEN]["value"]) for row in rows]
    compared = [(layer, one, other) for layer, one, other in pairs if None not in (one, other)]
    lost = [layer for layer, one, other in compared if other > one]
    won = (
        "On tokens that the fit has met, the activation predicts the error norm better than token identity does for "
        f"{len(compared) - len(lost)} of {counted(len(compared), 'SAE')}"
    )
    if not lost:
        return won
    layers = sorted(set(lost))
    return f"{won}, worse at layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"


def kind_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What the SAEs of one line have in common beside width; two groups may train one size, on other budgets."""
    group = row["name"].partition(f"-{row['d_sae']}")[0]
    return row["hookpoint"].rsplit(".", 1)[0], row["k"] or 0, row["seed"], group


def series_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return *kind_of(row), row["d_sae"]


def draw(data: dict[str, Any], style: Style) -> Figure:
    """By layer; kinds of SAE that were trained at one layer, in several widths, have a panel by width."""
    layers: dict[tuple[Any, ...], set[int]] = {}
    for row in data["rows"]:
        layers.setdefault(kind_of(row), set()).add(row["layer"])
    spread = [row for row in data["rows"] if len(layers[kind_of(row)]) > 1]
    local = [row for row in data["rows"] if len(layers[kind_of(row)]) == 1]
    if not spread:
        spread, local = local, []
    columns = (3, 1) if local else (1,)
    figure = style.figure(3.9)
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False, width_ratios=columns)[0]
    draw_series(panels[0], [(row["layer"], row) for row in spread], series_of)
    layer_axes(panels[0], [row["layer"] for row in spread])
    if local:
        draw_series(panels[1], [(float(np.log2(row["d_sae"])), row) for row in local], kind_of)
        log2_axis(panels[1], "x", [row["d_sae"] for row in local], "width d_sae (latents)")
        groups = sorted({(kind_of(row)[-1], row["hookpoint"]) for row in local})
        panels[1].set_title("\n".join(f"{NAMES.get(group, group)}\nat {hookpoint}" for group, hookpoint in groups))
    panels[0].set_ylabel("R² of ‖SaeError‖")
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(min(low, 0), max(high, 1))
    if panels[0].get_legend_handles_labels()[0]:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def draw_series(axes: Axes, placed: list[tuple[float, dict[str, Any]]], key: Callable[[dict[str, Any]], Any]) -> None:
    """Every regressor's R², with a line through the SAEs of one key."""
    for name, (label, colour, marker, line) in REGRESSORS.items():
        for repeat, (_, points) in enumerate(groupby(placed, key=lambda point: key(point[1]))):
            places, rows = zip(*points, strict=True)
            points_with_intervals(
                axes,
                places,
                [row["r2"][name] for row in rows],
                color=colour,
                marker=marker,
                linestyle=line,
                label=label if repeat == 0 else None,
            )
    axes.axhline(0, color=MUTED, linewidth=0.7, zorder=0)
