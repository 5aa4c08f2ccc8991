"""The controls held against what they should be: sums per context → a table of rows. No torch.

A regression on d directions of n fit rows pays for them on held-out rows: where nothing is linear, the expected R² is
−h̄, the mean leverage of the held-out rows (about d/n), and where a share s is, s − (1 − s) h̄. So the share is

    s = 1 − (1 − R²) / (1 + h̄) · (1 − 1/N),

exact for independent noise of one variance; the last factor, 1 but for rounding, is what the mean of the N held-out
rows takes of their variance. Shares that are known are compared with this s; R² is next to it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Weights
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import joint
from darkmatter.statistics.per_dimension import mean_of_ratios
from darkmatter.statistics.rounding import less
from darkmatter.statistics.sae_estimates import estimate

Arrays = Mapping[str, np.ndarray]
ROUNDING = 1e-9  # an exact answer leaves an interval as narrow as float64
TARGETS = {"vector": slice(None, -1), "norm": slice(-1, None), "all": slice(None)}
PROPER = {"bernoulli": "Bernoulli", "poisson": "Poisson", "exponential": "exponential"}


@dataclass(frozen=True)
class Fit:
    """The sums of one control under one split, for the contexts that hold scored rows.

    Attributes:
        arrays: of `results.kept`.
    """

    arrays: Arrays
    split: str

    @cached_property
    def number(self) -> int:
        return ROW_SETS.index(self.split)

    @cached_property
    def used(self) -> np.ndarray:
        return np.flatnonzero(self.arrays["rows"][self.number])

    @property
    def rank(self) -> int:
        return int(self.arrays[f"rank/{self.split}"])

    @cached_property
    def rows(self) -> np.ndarray:
        return self.arrays["rows"][self.number][self.used]

    def r2(self, weights: Weights) -> np.ndarray:
        """Mean over the targets."""
        return 1 - mean_of_ratios(weights, self.arrays[f"unexplained/{self.split}"])

    def share(self, weights: Weights) -> np.ndarray:
        """R² with what the fit costs given back."""
        leverage = self.arrays["leverage"][SPLITS.index(self.split)][self.used]
        cost = (1 + metrics.mean(weights, self.rows, leverage)) / (1 - 1 / (weights @ self.rows))
        return 1 - (1 - self.r2(weights)) / cost

    def estimate(self, statistic: Callable[[np.ndarray], np.ndarray], bootstrap: dict[str, Any]) -> Estimate:
        return estimate(ContextBootstrap(len(self.used), **bootstrap), statistic, self.rows, self.rank)


@dataclass(frozen=True)
class Control:
    """One row of the table.

    Attributes:
        id: unique.
        text: what was done, and which regression found what.
        source: the regression whose sums it reads.
        target: `vector` (Eq. 11), `norm` (Eq. 10), or `all` where the vector has no norm beside it.
        relation: `equals`, `at most` or `above` the value.
        value: what is known; None: the R² of `like`, on the same rows.
        like: id of the control it must equal.
    """

    id: str
    text: str
    source: str
    target: str
    relation: str
    value: float | None
    like: str | None = None

    @property
    def sums(self) -> str:
        return f"{self.source}/{self.target}"

    @property
    def expected(self) -> str:
        if self.like:
            return "that of SaeError"
        return f"{self.relation} {self.value:.4g}" if self.relation != "equals" else f"{self.value:.4g}"

    def holds(self, result: Estimate, known: float | None) -> bool | None:
        if result["value"] is None or known is None:
            return None
        match self.relation:
            case "equals":
                return result["low"] - ROUNDING <= known <= result["high"] + ROUNDING
            case "at most":
                return not less(known, result["low"])
        return less(known, result["low"])


def check(controls: list[Control], sums: Mapping[str, Arrays], bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Every control under both splits.

    `result` is compared with what is expected: the share s where its sums hold the leverage, R² else. Intervals hold
    for all controls of a split together (Bonferroni).

    Args:
        sums: `Control.sums` → arrays.
    """
    together = joint(bootstrap, len(controls))
    rows = [
        {"id": c.id, "control": c.text, "relation": c.relation, "expected": c.expected, "value": c.value}
        for c in controls
    ]
    for split in SPLITS:
        result: dict[str, dict[str, Any]] = {}
        for control in controls:
            fit = Fit(sums[control.sums], split)
            r2 = fit.estimate(fit.r2, together)
            number = fit.estimate(fit.share, together) if "leverage" in fit.arrays else r2
            known = result[control.like]["r2"]["value"] if control.like else control.value
            result[control.id] = {"r2": r2, "found": number, "holds": control.holds(number, known)}
        rows = [row | {split: result[row["id"]]} for row in rows]
    return {"controls": rows, "simultaneous": bootstrap["level"], "checks": len(controls)}


def control_list(shares: list[float], exact: Mapping[str, float]) -> list[Control]:
    """All controls that are regressions.

    Args:
        shares: planted shares.
        exact: population R² of the norm test for each kind of feature weights.
    """
    features = [
        Control(
            f"features-{name}",
            f"{PROPER[name]} weights, norm probe",
            f"features-{name}",
            "norm",
            "equals",
            exact[name],
        )
        for name in exact
    ]
    on_errors = [
        ("error-vector", "SaeError itself, vector probe", "error", "vector", "above", 0.0),
        ("error-norm", "SaeError itself, norm probe", "error", "norm", "above", 0.0),
        ("shuffled-vector", "SaeError of other rows, vector probe", "shuffled", "vector", "at most", 0.0),
        ("shuffled-norm", "SaeError of other rows, norm probe", "shuffled", "norm", "at most", 0.0),
        (
            "random-direction-vector",
            "random directions, vector probe",
            "random-direction",
            "vector",
            "at most",
            0.0,
        ),
    ]
    same_norm = Control(
        "random-direction-norm",
        "random directions, norm probe",
        "random-direction",
        "norm",
        "equals",
        None,
        "error-norm",
    )
    planted = [
        Control(
            f"planted-{share:g}",
            "planted linear share, vector probe",
            f"planted-{share:g}",
            "all",
            "equals",
            share,
        )
        for share in shares
    ]
    return [*features, *(Control(*row) for row in on_errors), same_norm, *planted]
