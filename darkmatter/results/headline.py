"""The few numbers of metrics.json, from the results, and words that tell of several."""

from typing import Any

from darkmatter.params.schema import Params
from darkmatter.results.breakdown import breakdown
from darkmatter.results.load import NotDrawn, Results, estimate

METRICS = {
    "fvu": "FVU",
    "fvu_nonlinear": "FVU_nonlinear",
    "norm_r2": "R² of the error norm",
    "vector_r2": "R² of the error vector",
}


def headline_metrics(results: Results, params: Params) -> dict[str, Any]:
    """What `dvc metrics` and `dvc exp show` put in a row: the four metrics of the widest SAE of the main hookpoint's
    series, under its name, the asymptote of FVU and its gap to FVU_nonlinear; null where unknown. Where SAEs were
    trained on several budgets, both are those of endless training.
    """
    try:
        result = breakdown(results, params)
    except NotDrawn as missing:
        return {"reason": str(missing)}
    widest = {metric: estimate(result.saes[-1], metric)["value"] for metric in METRICS}
    asymptote, gap = result.law.asymptote, result.gap
    if result.ladder:
        asymptote, gap = (result.ladder.estimates[name]["value"] for name in ("asymptote", "gap"))
    return {"widest_sae": widest, "asymptote": asymptote, "asymptote_gap": gap}


def span(numbers: list[int]) -> str:
    low, high = (min(numbers), max(numbers)) if numbers else (0, 0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def listing(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
