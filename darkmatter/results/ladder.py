"""Fig. 1's SAEs on several budgets of tokens: what FVU and FVU_nonlinear tend to with training, and then with width."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import Results, Sae, estimate
from darkmatter.statistics.bootstrap import Statistic, Weights
from darkmatter.statistics.metrics import fvu
from darkmatter.statistics.rungs import RUNGS, WIDTHS, Rungs
from darkmatter.statistics.sae_estimates import HookpointSums
from darkmatter.statistics.token_ladder import NUMBERS, LadderFit, fit_ladder, ladder_statistic
from darkmatter.statistics.variance_model import Term, combined, of_interval
from darkmatter.storage.artifacts import read_arrays

LEFT = ("sum/error", f"pooled/nonlinear/{'/'.join(PRIMARY)}")  # sums of what FVU and FVU_nonlinear count
NO_SUMS = "the sums per context are not here"


@dataclass(frozen=True)
class Ladder:
    """The SAEs of all rungs and both laws through them.

    Attributes:
        saes: of the series' L0 and architecture, every seed.
        fit: None where the SAEs cannot be fitted; the estimates have the reason.
        estimates: `asymptote` of FVU, `line` (mean of FVU_nonlinear over widths) and `gap`, each of endless training,
            with an interval over contexts, seeds and the extrapolation; null with the reason where it is withheld.
            `doubling`: the change, as fitted, if the top rung had twice the tokens; `settled`: the interval holds it.
    """

    saes: list[Sae]
    rungs: Rungs
    fit: LadderFit | None
    estimates: dict[str, dict[str, Any]]


def rungs_of(results: Results, params: Params, alike: Sae) -> tuple[list[Sae], Rungs] | None:
    """The main hookpoint's SAEs of several budgets that have the L0 and architecture of `alike`; None without them.

    A budget on which few widths were trained is no rung, and a width on one rung says nothing of training.
    """
    hookpoint = params.figures.main_hookpoint
    saes = [sae for sae in results.saes(hookpoint) if all(sae[key] == alike[key] for key in ("k", "architecture"))]
    saes = [sae for sae in saes if sae["train_tokens"] and estimate(sae, "fvu")["value"] is not None]
    saes = [sae for sae in saes if count(saes, "d_sae", train_tokens=sae["train_tokens"]) >= WIDTHS]
    saes = [sae for sae in saes if count(saes, "train_tokens", d_sae=sae["d_sae"]) > 1]
    if len({sae["train_tokens"] for sae in saes}) < RUNGS:
        return None
    return saes, Rungs(*(np.array([sae[key] for sae in saes]) for key in ("d_sae", "train_tokens", "seed")))


def ladder(results: Results, params: Params, alike: Sae) -> Ladder | None:
    """The ladder of `rungs_of`; None where there is none."""
    found, bootstrap = rungs_of(results, params, alike), params.decomposition.bootstrap
    if found is None:
        return None
    saes, rungs = found
    if rungs.lacking:
        return Ladder(saes, rungs, None, dict.fromkeys(NUMBERS, withheld(rungs.lacking)))
    y = np.array([[estimate(sae, key)["value"] for sae in saes] for key in ("fvu", "fvu_nonlinear")])
    fit = fit_ladder(rungs, y, bootstrap.level, bootstrap.seed)
    if fit.reason:
        return Ladder(saes, rungs, fit, dict.fromkeys(NUMBERS, withheld(fit.reason)))
    contexts = context_terms(results, params, saes, rungs, fit)
    return Ladder(saes, rungs, fit, {name: number(name, fit, contexts, bootstrap.level) for name in NUMBERS})


def count(saes: list[Sae], of: str, **where: int) -> int:
    """How many different values of a key the SAEs have that are alike in others."""
    return len({sae[of] for sae in saes if all(sae[key] == value for key, value in where.items())})


def withheld(reason: str | None) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "reason": reason}


def number(name: str, fit: LadderFit, contexts: dict[str, Term], level: float) -> dict[str, Any]:
    """One estimate from the terms of its noise."""
    value, doubling, absent = fit.numbers[name], fit.doubling[name], {} if contexts else {"context": NO_SUMS}
    terms = [*([contexts[name]] if contexts else []), fit.noise[name]]
    result = {"value": value, **combined(value, terms, level, absent), "doubling": doubling}
    return result | {"settled": bool(result["low"] <= value + doubling <= result["high"])}


def context_terms(results: Results, params: Params, saes: list[Sae], rungs: Rungs, fit: LadderFit) -> dict[str, Term]:
    """What other contexts would do to each number, both laws fitted again to each resample; empty without sums."""
    hookpoint = params.figures.main_hookpoint
    if results.sums is None:
        return {}
    arrays = read_arrays(results.sums / f"{hookpoint}.npz")
    rank = {name: int(facts["rank"]) for name, facts in results.decomposition[hookpoint]["regressions"].items()}
    shared = HookpointSums(
        arrays["rows"], arrays["square"], arrays["cross"], rank, params.decomposition.bootstrap.model_dump()
    )
    view = shared.views[PRIMARY[0]]
    square, cross = view.of_sums(shared.square), shared.cross_of(view)
    left = [view.of_sums(arrays[f"{sae['name']}/{key}"]) for key in LEFT for sae in saes]

    def numbers(weights: Weights) -> np.ndarray:
        return np.stack([fvu(weights, view.rows, square, cross, residual) for residual in left])

    terms = {}
    for name in NUMBERS:
        interval = view.bootstrap.interval(compose(ladder_statistic(rungs, fit.weights, name), numbers))
        if interval is None:
            raise ValueError(f"{hookpoint}: the {name} of the ladder is not defined")
        ends = (interval.low, interval.high)
        terms[name] = of_interval("context", interval.value, ends, len(view.used), params.decomposition.bootstrap.level)
    return terms


def compose(outer: Callable[[np.ndarray], np.ndarray], inner: Statistic) -> Statistic:
    return lambda weights: outer(inner(weights))
