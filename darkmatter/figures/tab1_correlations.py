"""Table 1: correlations of planted noise with the decomposition's estimates, in every convention.

A table has data and no drawing: the report shows it as HTML.
"""

from typing import Any

from darkmatter.figures.paper import CORRELATIONS
from darkmatter.figures.words import decimals
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Planted noise and estimated error"
CAPTION = (
    "Pearson correlation of the noise planted on x' and on Sae(x') with estimated Dense (FVU − FVU_nonlinear) and "
    "Introduced (FVU_nonlinear). The noise counts as variance where nothing else is said."
)
PAPER = "Table 1, appendix B.2"

COLUMNS = (
    ("noise", "noise on"),
    ("convention", "convention"),
    ("dense", "estimated Dense"),
    ("introduced", "estimated Introduced"),
    ("paper_dense", "Dense in the paper"),
    ("paper_introduced", "Introduced in the paper"),
)
NOISE = {"x": "x'", "sae": "Sae(x')"}


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("synthetic_noise")
    variants = result["estimands_by_variant"]
    conventions = {
        "token split": variants["token"]["paper"],
        "context split": variants["context"]["paper"],
        "authors: in sample, deviations": variants["token"]["authors"],
        **result["sensitivity"],
    }
    rows = [
        {"noise": name, "convention": convention}
        | {part: estimands["synthetic_correlations"][f"{noise}_{part}"] for part in ("dense", "introduced")}
        | {f"paper_{part}": value for part, value in CORRELATIONS[noise].items()}
        for convention, estimands in conventions.items()
        for noise, name in NOISE.items()
    ]
    settings = len(result["noise_deviations"]) ** 2
    return {
        "finding": finding(variants["token"]["paper"]["synthetic_correlations"]),
        "note": f"{result['sae']} at {result['hookpoint']}; Pearson over {settings} noise settings at no ablation, "
        f"means of {len(result['seeds'])} seeds, each with noise and contexts of its own; "
        f"{100 * result['level']:g} % intervals over them and, where enough SAEs are measured, how the SAE came out.",
        "columns": [{"key": key, "label": label} for key, label in COLUMNS],
        "rows": rows,
    }


def finding(found: dict[str, Any]) -> str:
    own, other = (
        [decimals(found[f"{noise}_{part}"]["value"]) for noise, part in pairs]
        for pairs in ((("x", "dense"), ("sae", "introduced")), (("x", "introduced"), ("sae", "dense")))
    )
    return (
        f"Each noise correlates with its own estimate by {own[0]} (Dense) and {own[1]} (Introduced), with the other "
        f"one by {other[0]} and {other[1]}"
    )
