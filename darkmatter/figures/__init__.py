"""The figures: one module each, named after its output, and the registry of them all."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from darkmatter.figures import (
    fig01_breakdown,
    fig02_maps,
    fig03_layers,
    fig04_per_token_scaling,
    fig05_tokens,
    fig06_norm_test,
    fig07_interpretability,
    fig08_downstream,
    fig09a_pursuit,
    fig09b_components,
    fig10_appendix_maps,
    fig11_appendix_maps,
    fig12_token_parts,
    fig13_baselines,
    fig14_latent_probe,
    fig15_synthetic,
    fig16_nonlinear_scaling,
    figD_random_features,
    sec52_error_saes,
    tab1_correlations,
    tabA1_shrinkage,
    tabX_controls,
)
from darkmatter.figures.style import Style, empty
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results
from darkmatter.storage.artifacts import plain, write_json, write_text


@dataclass(frozen=True)
class Entry:
    """A figure or table. `paper` says where it stands there; a table's module has no `draw`."""

    module: ModuleType
    title: str
    caption: str
    paper: str

    @property
    def id(self) -> str:
        return self.module.__name__.rsplit(".", 1)[1]

    @property
    def is_table(self) -> bool:
        return not hasattr(self.module, "draw")


MAPS = (
    "Left: R² of predicting the squared norm of the SAE's error from the activation. Middle: R² of predicting the "
    "error vector. Right: what stays unexplained by Sae(x) and the linear error together. Dots are SAEs, each with "
    "its value; between them the colours interpolate linearly in log width and log L0, and say nothing outside."
)
FIGURES = (
    Entry(
        fig01_breakdown,
        "Breakdown of the error by width",
        "FVU of Sae(x) with the power law c + a·W^−m, and FVU_nonlinear with a horizontal line; dotted beyond the "
        "widest SAE. The asymptote c has its 95 % profile interval at the right edge. Bands: absent features above "
        "the asymptote, linear error down to FVU_nonlinear (none where the asymptote lies lower), encoder error down "
        "to what gradient pursuit leaves of FVU_nonlinear (its relative change, measured with both encoders on the "
        "same, fewer rows, applied to the line), nonlinear error below. Hollow points: the same width and L0 with "
        "another training seed.",
        "Fig. 1, section 4.3",
    ),
    Entry(fig02_maps, "Linear predictability over width and L0", MAPS, "Fig. 2, sections 4.1–4.3"),
    Entry(
        fig03_layers,
        "Predictability of the error norm by layer",
        "R² of the squared error norm from the activation, with 95 % intervals over contexts. SAEs that "
        "were trained here share one budget.",
        "Fig. 3, section 4.1",
    ),
    Entry(
        fig04_per_token_scaling,
        "Large SAEs' errors from small ones'",
        "R² of the larger SAE's squared error norm, token by token, predicted from the smaller one's by one slope and "
        "an intercept. Left: every pair; right: the same values against the ratio of the widths, with 95 % intervals.",
        "Fig. 4, section 4.4",
    ),
    Entry(
        fig05_tokens,
        "Error norms token by token",
        "Squared error norm of every width on consecutive tokens of one context, on a logarithmic axis; dash-dotted: "
        "the mean squared norm of NonlinearError over all tokens and widths.",
        "Fig. 5, section 4.4",
    ),
    Entry(
        fig06_norm_test,
        "Norm prediction test",
        "R² of predicting the squared norm of five vectors from the activation; one point per SAE. At the right the "
        "same test with parts from a linear map that has not seen the context. A low value alone is no proof of "
        "nonlinearity: perfectly linear sparse features with exponential activations score about 0.75 as well.",
        "Fig. 6, section 5.1",
    ),
    Entry(
        sec52_error_saes,
        "SAEs trained on the two parts of the error",
        "Fraction of variance unexplained of SAEs trained on LinearError and on NonlinearError of one SAE, on one "
        "budget: in the batches they train on, and on documents that no SAE here has seen. Pooled over dimensions, and "
        "as 1 − R² averaged over them: dimensions of large variance decide the first.",
        "Section 5.2",
    ),
    Entry(
        fig07_interpretability,
        "Interpretability of latents from both parts",
        "A judge explains each latent from its strongest windows, then says of others, from the explanation alone, "
        "whether the latent fires: the share it is right in, by decile of activation, and for windows in which the "
        "latent is silent. Where the title says surrogate, no language model took part: a linear classifier on token "
        "n-grams stands in, and its level says nothing about the paper's.",
        "Fig. 7, section 5.2",
    ),
    Entry(
        fig08_downstream,
        "Cross-entropy with one part of the error put back",
        "Left: increase in cross-entropy over the unchanged model when x is replaced by Sae(x), by Sae(x) and one part "
        "of its error, or by Sae(x) and a random vector that has, token by token, the norm of a part. Right: the share "
        "of the increase that each recovers, 100 (CE_Sae − CE) / (CE_Sae − CE_x), and what the part's size lets "
        "expect: its mean norm over that of Sae(x), as the paper words it, or over that of SaeError, and its share of "
        "the error's variance.",
        "Fig. 8, section 5.3",
    ),
    Entry(
        fig09a_pursuit,
        "Gradient pursuit in place of the encoder",
        "Left: FVU and FVU_nonlinear of the SAE's own reconstruction and of gradient pursuit on its decoder, on the "
        "same rows. Right: relative change of both; hollow: the variant of the paper's text, whose L0 equals the "
        "SAE's token by token; crosses: the published code's, whose L0 is at most that. The intervals at the right "
        "resample both encoders together.",
        "Fig. 9a, section 6.1",
    ),
    Entry(
        fig09b_components,
        "What the SAEs of earlier components explain",
        "Held-out R² of predicting SaeError, LinearError and NonlinearError from what the SAE of each parent of the "
        "residual stream (Eq. 16) reconstructs, from all three together, and from Sae(x) itself, of which "
        "NonlinearError is partly a function. Filled: token split; hollow: no context on both sides. Intervals are "
        "over contexts.",
        "Fig. 9b, section 6.2",
    ),
    Entry(fig10_appendix_maps, "The maps at the first appendix hookpoint", MAPS, "Fig. 10, appendix A.2"),
    Entry(fig11_appendix_maps, "The maps at the second appendix hookpoint", MAPS, "Fig. 11, appendix A.2"),
    Entry(
        fig12_token_parts,
        "Linear and nonlinear error token by token",
        "Squared norms of both parts of the error on the tokens of Fig. 5, one line per width, both on one scale; "
        "right: their means over all tokens against width.",
        "Fig. 12, appendix A.4",
    ),
    Entry(
        fig13_baselines,
        "Predicting the error norm from less than the activation",
        "R² of the squared error norm from one regressor at a time, by layer, on held-out tokens with intervals over "
        "contexts. Token identity is each token's mean over the fit rows and the grand mean for tokens not among them; "
        "beside it the same on the tokens met in the fit alone, and fitted and scored on all rows as in the published "
        "code.",
        "Fig. 13, appendix A.3",
    ),
    Entry(
        fig14_latent_probe,
        "The norm probe along each latent",
        "The probe a* of ‖Sae(x) − b_dec‖² times the direction of each latent, against that latent's mean activation "
        "where it is active (the paper's comparison), against E(w) (B.1) and against E(w²)/E(w) (C.1). On the line "
        "both are equal. Lines: moving means over latents in the order of E(w | active). Ratio: median over latents "
        "of a*·latent over the average; rank corr.: Spearman's; both with intervals over latents. At each end of an "
        "axis up to 0.5 % of the points lie outside.",
        "Fig. 14, appendix C.2",
    ),
    Entry(
        fig15_synthetic,
        "Noise planted on a ground truth",
        "x' = Sae(x) is taken as the truth and passes through the SAE again. Top: FVU (solid), its level at no "
        "ablation (dotted) and FVU_nonlinear (dashed, hollow) against the share of latents ablated, with noise on x' "
        "alone (left) and on its reconstruction alone (right). Bottom: what the decomposition estimates at no ablation "
        "against the variance planted, one line for each amount of the other noise. The SAE encodes x' without the "
        "noise.",
        "Fig. 15, appendices B.2 and C.3",
    ),
    Entry(
        fig16_nonlinear_scaling,
        "What the nonlinear error's norm adds to the scaling prediction",
        "Decrease of the FVU of predicting the larger SAE's squared error norm when the squared norm of the smaller "
        "one's NonlinearError stands beside that of its error, relative to Fig. 4's prediction. Left: every pair; "
        "right: the same against the ratio of the widths, with intervals.",
        "Fig. 16, appendix E",
    ),
    Entry(
        figD_random_features,
        "Sums of random vectors, some of them masked",
        "Variance explained by the unmasked vectors and the linear estimate of the masked ones together, against the "
        "share masked. A random mask and its complement leave the same residual, so that the curve in random order "
        "is symmetric about one half by construction, up to the draw; masking the least frequent first is not. The "
        "order is our reading: the paper names none.",
        "Appendix D",
    ),
    Entry(
        tab1_correlations,
        "Planted noise and estimated error",
        "Pearson correlation of the noise planted on x' and on Sae(x') with estimated Dense (FVU − FVU_nonlinear) and "
        "Introduced (FVU_nonlinear). The noise counts as variance where nothing else is said.",
        "Table 1, appendix B.2",
    ),
    Entry(
        tabA1_shrinkage,
        "Shrinkage and the linear error",
        "Ratio of mean norms (1: no shrinkage) and mean cosine of LinearError with the activation (±1: LinearError "
        "only rescales x).",
        "Appendix A.1",
    ),
    Entry(
        tabX_controls,
        "Controls: does the method find what is known?",
        "Found is the share of the target that is linear: held-out R² with what the fit itself costs given back, "
        "1 − (1 − R²)/(1 + h) with h the mean leverage of the held-out rows, where that share is known exactly; plain "
        "held-out R² in the other rows, where the cost of fitting makes a null slightly negative. Weights: of sparse "
        "orthogonal features. Other rows: each row gets the error of a random other one. SaeError's norm in random "
        "directions is as predictable as SaeError's own: the norm test says nothing about directions. And with "
        "exponential weights linear features fail the norm test, too.",
        "ours",
    ),
)


def figure_data(entry: Entry, results: Results, params: Params) -> dict[str, Any]:
    """What the figure shows, in JSON types; `{"not_drawn": reason}` where this profile lacks it."""
    try:
        return plain(entry.module.data(results, params))
    except NotDrawn as missing:
        return {"not_drawn": str(missing)}


def figure_svg(entry: Entry, data: dict[str, Any], style: Style) -> str:
    with style.context():
        figure = empty(data["not_drawn"], style) if "not_drawn" in data else entry.module.draw(data, style)
        return style.svg(figure, entry.title)


def write_figures(results: Results, params: Params, folder: Path) -> None:
    """One JSON per figure or table and one SVG per figure, into `folder`."""
    style = Style(params.figures.font_size)
    for entry in tqdm(FIGURES, desc="figures", unit="figure", mininterval=1.0):
        data = figure_data(entry, results, params)
        write_json(folder / f"{entry.id}.json", data)
        if not entry.is_table:
            write_text(folder / f"{entry.id}.svg", figure_svg(entry, data, style))
