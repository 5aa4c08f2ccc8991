"""Estimands of experiments with FVU and FVU_nonlinear averaged over dimensions, as section 4 averages R²: a variant.

What an experiment judges stands in its results pooled. Here is where the same numbers stand, or follow, otherwise.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.decomposition.rounded_sums import DIMENSIONS, restored, restored_x
from darkmatter.experiments.pursuit.estimates import CLAIMED, OWN
from darkmatter.ledger.estimands.evidence import NOT_PULLED, Evidence, Missing
from darkmatter.ledger.estimands.quantities import Components, Formula, Keyed, single
from darkmatter.params.conventions import PRIMARY
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import Weights
from darkmatter.statistics.held_out_numbers import OpenSums
from darkmatter.statistics.sae_estimates import RowSet, Sums
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import select

Content = dict[str, Any]


def error_sae_fvu(content: Content) -> Content:
    """Each part's FVU over seeds; an interval is at the level of one number, which is all that an analogue judges."""
    return content["over_seeds"]["fvu_per_dim"]


def cross_entropy_ratio(content: Content) -> Content:
    """The published code's expectation from variance, which has R² averaged over dimensions, on the same rows."""
    return content["estimands_by_variant"]["context"]["authors"]["cross_entropy_ratio"]


# Estimand → where it stands in the results of its experiment.
STATED: dict[str, Callable[[Content], Content]] = {
    "error_sae_fvu": error_sae_fvu,
    "cross_entropy_ratio": cross_entropy_ratio,
}


def pursuit_fvu_decrease(evidence: Evidence) -> Components:
    return of_pursuit(evidence, {"decrease": lambda own, pursued: 1 - ratio(pursued["error"], own["error"])})


def pursuit_nonlinear_change(evidence: Evidence) -> Components:
    return of_pursuit(
        evidence,
        {
            "change": lambda own, pursued: ratio(pursued["nonlinear"], own["nonlinear"]) - 1,
            "share": lambda own, pursued: ratio(
                own["nonlinear"] - pursued["nonlinear"], own["error"] - pursued["error"]
            ),
        },
    )


def pursuit_takes_away(evidence: Evidence) -> Components:
    """`change` of nonlinear error by pursuit, the mean over dimensions of that of each, as the mean R² of a regression.

    `pursuit_nonlinear_change` is the change of a mean instead, in which dimensions count by their share of it.
    """

    def mean_change(own: Fvus, pursued: Fvus) -> np.ndarray:
        return np.nanmean(ratio(pursued["nonlinear_of_each"], own["nonlinear_of_each"]), axis=1) - 1

    return of_pursuit(evidence, {"change": mean_change})


# Estimand → the function that makes it from sums of every dimension.
DERIVED: dict[str, Callable[[Evidence], Components]] = {
    "pursuit_fvu_decrease": pursuit_fvu_decrease,
    "pursuit_nonlinear_change": pursuit_nonlinear_change,
}

Fvus = dict[str, np.ndarray]


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where the denominator is zero, of either sign elsewhere."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def of_pursuit(evidence: Evidence, numbers: dict[str, Callable[[Fvus, Fvus], np.ndarray]]) -> Components:
    """One number per SAE, both encoders on the same contexts, as `experiments.pursuit` has it pooled.

    Raises:
        Missing: the sums of every dimension, or the results, are not here.
    """
    if "pursuit" not in evidence.results.experiments:
        raise Missing("no results of pursuit")
    if evidence.pursuit_sums is None:
        raise Missing(NOT_PULLED)
    content = evidence.results.experiments["pursuit"]
    shared, of_encoders = evidence.once("sums of pursuit", lambda: pursuit_sums(*evidence.pursuit_sums, content))
    rows = shared["rows"]
    fits = {name: int(fit["rank"]) for name, fit in content["regressions"].items()}
    nothing = np.zeros(rows.shape)
    bootstrap = evidence.params.decomposition.bootstrap.model_dump()
    hookpoint = OpenSums(rows, nothing, nothing, fits, bootstrap)
    view, rank = hookpoint.views[PRIMARY[0]], fits[PRIMARY[0]]

    def formula(sae: str, number: Callable[[Fvus, Fvus], np.ndarray]) -> Formula:
        sides = [of_encoders[f"{sae}/{encoder}"] for encoder in (OWN, CLAIMED)]
        return Formula(view, lambda weights: number(*(fvus(view, shared, side, weights) for side in sides)), rank)

    names = [sae["name"] for sae in content["saes"]]
    return {
        name: [Keyed({"sae": sae}, single(formula(sae, number))) for sae in names] for name, number in numbers.items()
    }


def pursuit_sums(stored: Path, dimensions: Path | None, content: Content) -> tuple[Sums, dict[str, Sums]]:
    """What all encoders share, and the sums of every dimension of each: the committed ones, or those below data/.

    Raises:
        Missing: the committed sums lack them, and there are no others here.
    """
    arrays = read_arrays(stored)
    names = [f"{sae['name']}/{encoder}" for sae in content["saes"] for encoder in (OWN, CLAIMED)]
    rows = {"rows": arrays["rows"]}
    if "x_sum" in arrays:
        own = {name: restored(rows["rows"], select(arrays, f"{name}/{DIMENSIONS}")) for name in names}
        return rows | restored_x(rows["rows"], arrays), own
    if dimensions is None:
        raise Missing(NOT_PULLED)
    whole = read_arrays(dimensions)
    return rows | whole, {name: select(whole, name) for name in names}


def fvus(view: RowSet, shared: Sums, own: Sums, weights: Weights) -> Fvus:
    """FVU and FVU_nonlinear of one encoder, each the mean over dimensions; and Σ NonlinearError² of each dimension."""
    x = [view.of_sums(shared[name]) for name in ("x_sum", "x_square")]
    left = {"error": own["error_square"], "nonlinear": own[f"nonlinear/{PRIMARY[0]}/{PRIMARY[1]}"]}
    result = {
        name: 1 - metrics.r2_mean(weights, view.rows, *x, view.of_sums(residual)) for name, residual in left.items()
    }
    return result | {"nonlinear_of_each": weights @ view.of_sums(left["nonlinear"])}
