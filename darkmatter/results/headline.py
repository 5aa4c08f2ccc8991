"""The few numbers of reports/metrics.json, and the three sentences at the top of the report, from the results."""

from collections.abc import Mapping
from typing import Any

from darkmatter.params.schema import Params
from darkmatter.results.breakdown import Breakdown, breakdown
from darkmatter.results.load import NotDrawn, Results, estimate
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.rounding import less

METRICS = {
    "fvu": "FVU",
    "fvu_nonlinear": "FVU_nonlinear",
    "norm_r2": "R² of the error norm",
    "vector_r2": "R² of the error vector",
}


def headline_metrics(results: Results, params: Params) -> dict[str, Any]:
    """What `dvc metrics` and `dvc exp show` put in a row: the four metrics of the widest SAE of the main hookpoint's
    series, the asymptote of FVU and its gap to FVU_nonlinear; null where unknown.
    """
    try:
        result = breakdown(results, params)
    except NotDrawn as missing:
        return {"reason": str(missing)}
    widest = {metric: estimate(result.saes[-1], metric)["value"] for metric in METRICS}
    return widest | {"asymptote": result.law.asymptote, "asymptote_gap": result.gap}


def headline_sentences(results: Results, params: Params, gap: dict[str, Any] | None) -> list[str]:
    """What was run, on what, and what came out. Every word that could be false depends on a number.

    Args:
        gap: of the asymptote above FVU_nonlinear, with the interval that its claim is judged by; None without results.
    """
    saes = [sae for run in results.decomposition.values() for sae in run["saes"]]
    models = sorted({run["model"] for run in results.decomposition.values()})
    sentences = [
        f"The errors of {len(saes)} sparse autoencoders with {span([sae['d_sae'] for sae in saes])} latents were "
        f"decomposed at {len(results.decomposition)} hookpoints of {' and '.join(models)}."
    ]
    dataset = params.corpus.dataset
    domains = [dataset.repo] if dataset else sorted({source.domain for source in params.corpus.sources.values()})
    try:
        result = breakdown(results, params)
    except NotDrawn as missing:
        return [*sentences, f"The main hookpoint has no series of widths: {missing}."]
    main = results.decomposition[params.figures.main_hookpoint]
    sentences.append(
        f"The main hookpoint is {params.figures.main_hookpoint}, the width series has {result.sparsity}, and "
        f"the text is {main['rows']:,} tokens of {main['contexts']} contexts ({listing(domains)}){held_out(result)}."
    )
    return [*sentences, outcome(result, gap)]


def held_out(result: Breakdown) -> str:
    rows = estimate(result.saes[0], "fvu").get("rows")
    return f", {rows:,} of them held out to score every regression" if rows else ""


def outcome(result: Breakdown, gap: dict[str, Any] | None) -> str:
    first, last = result.saes[0], result.saes[-1]
    if first is last:
        value = estimate(first, "fvu"), estimate(first, "fvu_nonlinear")
        return (
            f"At {first['d_sae']:,} latents FVU is {with_interval(value[0])}, FVU_nonlinear {with_interval(value[1])}."
        )
    changes = [change(name, estimate(first, key), estimate(last, key)) for key, name in METRICS.items()]
    return (
        f"From {first['d_sae']:,} to {last['d_sae']:,} latents {listing(changes)}; the power law through FVU "
        f"{asymptote(result, gap)}."
    )


def change(name: str, first: Estimate, last: Estimate) -> str:
    """Up, down or neither: a direction only where the two intervals do not meet."""
    if first["value"] is None or last["value"] is None:
        return f"{name} is not defined at both ends"
    numbers = f"from {first['value']:.3f} to {last['value']:.3f}"
    if first["low"] is None or first["high"] is None or last["low"] is None or last["high"] is None:
        return f"{name} goes {numbers} (no interval)"
    if less(last["high"], first["low"]):
        return f"{name} falls {numbers}"
    if less(first["high"], last["low"]):
        return f"{name} rises {numbers}"
    return f"{name} goes {numbers} (intervals overlap)"


def asymptote(result: Breakdown, gap: dict[str, Any] | None) -> str:
    law = result.law
    low, high = (gap["low"], gap["high"]) if gap and "short" not in gap else (None, None)
    if law.asymptote is None:
        return f"was not fitted ({law.reason})"
    text = f"tends to {with_interval({'value': law.asymptote, 'low': law.low, 'high': law.high})}"
    if result.gap is None:
        return text
    line = f"the mean FVU_nonlinear of {result.line.value:.3f}"
    if low is None or high is None:
        return f"{text}, beside {line} (no interval for the gap)"
    if less(0, low):
        return f"{text}, above {line}"
    if less(high, 0):
        return f"{text}, below {line}"
    return f"{text}, which these widths cannot tell from {line}"


def with_interval(item: Mapping[str, Any]) -> str:
    if item["value"] is None:
        return f"undefined ({item.get('reason', 'no reason given')})"
    if item["low"] is None or item["high"] is None:
        return f"{item['value']:.3f} (no interval)"
    return f"{item['value']:.3f} [{item['low']:.3f}, {item['high']:.3f}]"


def span(numbers: list[int]) -> str:
    low, high = (min(numbers), max(numbers)) if numbers else (0, 0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def listing(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
