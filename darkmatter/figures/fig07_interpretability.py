"""Fig. 7: how often the judge is right, by decile of activation, for latents of SAEs trained on each part of the error.

Only a language model's judgement stands here; the offline surrogate's has a figure of its own.
"""

from typing import Any

from matplotlib.figure import Figure

from darkmatter.figures.judged import JUDGED_CAPTION, SURROGATE, draw_judged, judged_data
from darkmatter.figures.paper import INTERPRETABLE_LEAD
from darkmatter.figures.style import MUTED, Style
from darkmatter.figures.words import percent
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Interpretability of latents from both parts"
CAPTION = JUDGED_CAPTION
PAPER = "Fig. 7, section 5.2"


def data(results: Results, params: Params) -> dict[str, Any]:
    result = judged_data(results, params)
    if result["judge"] == SURROGATE:
        raise NotDrawn("no language model judged the latents; what the offline surrogate found is figX_surrogate")
    return {"finding": finding(result), **result}


def finding(data: dict[str, Any]) -> str:
    lead = data["lead"]["value"]
    if lead is None:
        return "One of the parts has no judged latent"
    word = "more" if lead >= 0 else "less"
    return (
        f"Where latents fire, LinearError's are judged rightly {percent(abs(lead), 1)} {word} often than "
        f"NonlinearError's (the paper: about {percent(INTERPRETABLE_LEAD.low)} more)"
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = draw_judged(data, style)
    text = f"the paper: LinearError about {INTERPRETABLE_LEAD.low:.2f} above NonlinearError"
    figure.axes[1].set_title(text, color=MUTED, fontsize=style.small)
    return figure
