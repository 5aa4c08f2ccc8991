"""Fig. 16: by how many per cent NonlinearError's norm lowers the FVU of predicting the larger SAE's error (Eq. 23)."""

from typing import Any

from matplotlib.figure import Figure

from darkmatter.figures.pair_panels import draw_lines, draw_matrix
from darkmatter.figures.paper import SCALING_GAIN
from darkmatter.figures.style import RULE, Style, in_percent, paper_range
from darkmatter.figures.words import known, level_of, percent, percent_span
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "What the nonlinear error's norm adds to the scaling prediction"
CAPTION = (
    "Decrease of the FVU of predicting the larger SAE's squared error norm when the squared norm of the smaller "
    "one's NonlinearError is a second regressor, relative to Fig. 4's prediction. Left: every pair; right: "
    "the same against the ratio of the widths, with intervals over contexts, at fixed SAEs. Grey: the largest decrease "
    "that the paper prints."
)
PAPER = "Fig. 16, appendix E"

VARIANTS = ("paper", "authors", "cross_fit")


def data(results: Results, params: Params) -> dict[str, Any]:
    scaling = results.experiment("per_token_scaling")
    if not scaling["pairs"]:
        raise NotDrawn("no pair of SAEs of one k and different widths in the groups of per_token_scaling")
    split, convention = PRIMARY
    pairs = [
        {key: pair[key] for key in ("sae_1", "sae_2", "d_sae_1", "d_sae_2")}
        | {"r2_eq_13": pair["estimates"][split][convention]}
        | {variant: pair["nonlinear"][split][variant] for variant in VARIANTS}
        for pair in scaling["pairs"]
    ]
    pairs.sort(key=lambda pair: (pair["d_sae_1"], pair["sae_1"], pair["d_sae_2"], pair["sae_2"]))
    level = level_of(params)
    rows = ", ".join(sorted({f"{pair['paper']['r2'].get('rows', 0):,} held-out tokens" for pair in pairs}))
    largest = scaling["estimands"]["nonlinear_scaling_gain"]["largest"]
    return {
        "finding": finding(pairs),
        "note": f"{scaling['hookpoint']}, {rows}; squared norms with intercept, token split; {level} intervals over "
        f"contexts, paired.{sentence(largest, level)}",
        "largest": largest,
        "pairs": pairs,
    }


def finding(pairs: list[dict[str, Any]]) -> str:
    gains = known(pair["paper"]["decrease"]["value"] for pair in pairs)
    if not gains:
        return "What NonlinearError's norm adds to the prediction is undefined"
    low, high = min(gains), max(gains)
    by = percent_span([abs(gain) for gain in gains] if low >= 0 or high <= 0 else gains, 1)
    verb = "raises" if high < 0 else "lowers"
    return (
        f"NonlinearError's norm {verb} the FVU of the predicted error norm by {by} "
        f"(the paper: up to {percent(SCALING_GAIN.high)})"
    )


def sentence(largest: dict[str, Any], level: str) -> str:
    if largest["value"] is None or largest["low"] is None:
        return ""
    value, low, high = (100 * largest[key] for key in ("value", "low", "high"))
    return f" Largest decrease: {value:.1f} % ({low:.1f} to {high:.1f}, {level} interval of the maximum)."


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.3)
    matrix, lines = figure.subplots(1, 2, width_ratios=(1, 1.2))
    pairs = [pair | {"shown": in_percent(pair["paper"]["decrease"])} for pair in data["pairs"]]
    draw_matrix(matrix, pairs, style, fmt=".1f")
    matrix.set_title("decrease of FVU in %, each pair")
    draw_lines(lines, pairs, style, apart=0.06)
    lines.set_ylabel("decrease of FVU in %")
    lines.axhline(0, color=RULE, linewidth=0.7, zorder=0)
    lines.set_ylim(top=max(lines.get_ylim()[1], 120 * SCALING_GAIN.high))
    paper_range(lines, 100 * SCALING_GAIN.low, 100 * SCALING_GAIN.high, "paper: up to 5 %")
    return figure
