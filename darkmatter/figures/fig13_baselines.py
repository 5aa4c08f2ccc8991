"""Fig. 13: R² of the error norm from the activation and from simpler regressors, by layer."""

from itertools import groupby
from typing import Any

from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, LINES, MARKERS, Style, layer_axes, points_with_intervals
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Predicting the error norm from less than the activation"
CAPTION = (
    "R² of the squared error norm from one regressor at a time, by layer, on held-out tokens with intervals over "
    "contexts. Token identity is each token's mean over the fit rows and the grand mean for tokens not among them; "
    "beside it the same on the tokens met in the fit alone, and fitted and scored on all rows as in the published "
    "code."
)
PAPER = "Fig. 13, appendix A.3"

ACTIVATION = "activation"
REGRESSORS = {
    ACTIVATION: "activation (Eq. 10)",
    "token_identity": "token identity",
    "activation_seen": "activation, tokens met in the fit",
    "token_identity_seen": "token identity, tokens met in the fit",
    "token_identity_in_sample": "token identity, in sample (published code)",
    "activation_norm": "activation norm ‖x‖",
    "model_loss": "model loss",
    "l0": "L0",
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
        rows.append(
            {key: sae[key] for key in ("hookpoint", "layer", "name", "d_sae", "k", "seed")}
            | {"r2": r2, "activation_minus": sae["estimates"][split][convention]["activation_minus"]}
            | {"r2_of_square": sae["estimates_of_square"][split][convention]["r2"]}
        )
    rows.sort(key=lambda row: (series_of(row), row["layer"]))
    scored = sorted({row["r2"][ACTIVATION].get("rows", 0) for row in rows})
    undefined = sum(row["r2"]["l0"]["value"] is None for row in rows)
    return {
        "note": "Target ‖SaeError‖, as A.3 prints it. "
        f"{' and '.join(f'{count:,}' for count in scored)} held-out tokens of the token split; "
        f"{100 * params.decomposition.bootstrap.level:g} % intervals over contexts. L0 is the same on every token, and "
        f"so without R², at {undefined} of {len(rows)} SAEs.",
        "rows": rows,
    }


def series_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["hookpoint"].rsplit(".", 1)[0], row["d_sae"], row["k"] or 0, row["seed"]


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.9)
    axes = figure.add_subplot()
    others = iter(style.series(len(REGRESSORS) - 1))
    for number, (name, label) in enumerate(REGRESSORS.items()):
        look = COMPONENTS["error"]
        colour, marker = (look.colour, look.marker) if name == ACTIVATION else (next(others)[0], MARKERS[number])
        for repeat, (_, rows) in enumerate(groupby(data["rows"], key=series_of)):
            series = list(rows)
            points_with_intervals(
                axes,
                [row["layer"] for row in series],
                [row["r2"][name] for row in series],
                color=colour,
                marker=marker,
                linestyle=LINES[number],
                label=label if repeat == 0 else None,
            )
    layer_axes(axes, [row["layer"] for row in data["rows"]], "‖SaeError‖")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right center", title="predicted from", alignment="left")
    return figure
