"""Numbers of one SAE from sums per context: no torch.

Each is a ratio of sums of products of vectors. A vector here is a combination of `names.VECTORS`: SaeError is the sum
of its parts, LinearError the sum of their linear parts, since least squares is linear in its target. All sums are of
squares and products, not of variances, as FVU has them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from darkmatter.experiments.ground_truth.names import OWN, PARTS, PURSUIT, VECTORS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Statistic, Weights
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.sae_estimates import Sums, estimate

Vector = np.ndarray  # coefficients of VECTORS
X = np.eye(len(VECTORS))[0]
PART = {name: np.eye(len(VECTORS))[VECTORS.index(name)] for name in PARTS}
LINEAR_PART = {name: np.eye(len(VECTORS))[VECTORS.index(f"linear/{name}")] for name in PARTS}
ERROR = sum(PART.values(), np.zeros(len(VECTORS)))
LINEAR = sum(LINEAR_PART.values(), np.zeros(len(VECTORS)))
NONLINEAR = ERROR - LINEAR


@dataclass(frozen=True)
class Products:
    """Products of all vectors of one SAE, encoder and cosine, summed over the rows of each context.

    Attributes:
        pairs: [context, pair], as `compute.triangle` has them.
    """

    pairs: np.ndarray

    @cached_property
    def square(self) -> np.ndarray:
        """[context, vector, vector]"""
        result = np.zeros((len(self.pairs), len(VECTORS), len(VECTORS)))
        above = np.triu_indices(len(VECTORS))
        result[:, above[0], above[1]] = result[:, above[1], above[0]] = self.pairs
        return result

    def of(self, one: Vector, other: Vector) -> np.ndarray:
        """Σ one·other of each context."""
        return np.einsum("cuv,u,v->c", self.square, one, other)

    def ratio(self, above: tuple[Vector, Vector], below: tuple[Vector, Vector]) -> Statistic:
        """Σ u·v / Σ s·t"""
        top, bottom = self.of(*above), self.of(*below)
        return lambda weights: metrics.ratio(weights @ top, weights @ bottom)

    def correlation(self, one: Vector, other: Vector) -> Statistic:
        """Σ u·v / √(Σ u² Σ v²), all dimensions together."""
        product, left, right = self.of(one, other), self.of(one, one), self.of(other, other)
        return lambda weights: metrics.ratio(weights @ product, np.sqrt((weights @ left) * (weights @ right)))

    def fvu(self) -> Statistic:
        return self.ratio((ERROR, ERROR), (X, X))

    def fvu_nonlinear(self) -> Statistic:
        return self.ratio((NONLINEAR, NONLINEAR), (X, X))

    def size(self, *parts: str) -> Statistic:
        """Squares of a sum of parts over those of x."""
        whole = sum((PART[name] for name in parts), np.zeros(len(VECTORS)))
        return self.ratio((whole, whole), (X, X))

    def linearity(self, part: str) -> Statistic:
        """Share of a part's squares that a linear map of x predicts."""
        left = PART[part] - LINEAR_PART[part]
        missed = self.ratio((left, left), (PART[part], PART[part]))
        return lambda weights: 1 - missed(weights)

    def share(self, part: str, whole: Vector) -> Statistic:
        """Σ part·whole / Σ SaeError·whole: the shares of the three parts in a whole have the sum 1."""
        return self.ratio((PART[part], whole), (ERROR, whole))


@dataclass(frozen=True)
class SaeSums:
    """What is stored of one SAE, and the bootstrap of its numbers."""

    arrays: Sums
    bootstrap: ContextBootstrap

    @classmethod
    def of(cls, arrays: Sums, bootstrap: dict[str, Any]) -> "SaeSums":
        return cls(arrays, ContextBootstrap(len(arrays["rows"]), **bootstrap))

    def products(self, encoder: str, cosine: float) -> Products:
        return Products(self.arrays[f"products/{encoder}/{cosine:g}"])

    def estimate(self, statistic: Statistic) -> Estimate:
        return estimate(self.bootstrap, statistic, self.arrays["rows"], int(self.arrays["rank"]))

    def parts(self, cosine: float) -> dict[str, dict[str, Estimate]]:
        """Part → how large and how linear it is, and what it makes up of SaeError, LinearError and NonlinearError."""
        products = self.products(OWN, cosine)
        return {
            part: {
                "size": self.estimate(products.size(part)),
                "linearity": self.estimate(products.linearity(part)),
                "of_error": self.estimate(products.share(part, ERROR)),
                "of_linear": self.estimate(products.share(part, LINEAR)),
                "of_nonlinear": self.estimate(products.share(part, NONLINEAR)),
                "correlation_linear": self.estimate(products.correlation(PART[part], LINEAR)),
                "correlation_nonlinear": self.estimate(products.correlation(PART[part], NONLINEAR)),
            }
            for part in PARTS
        }

    def codes(self, encoder: str) -> dict[str, Estimate]:
        """Of latents that fire and features that fire, the shares that find each other; squared error of codes."""
        column = {
            name: self.arrays[f"codes/{encoder}/{name}"] for name in ("latents", "features", "found", "square", "error")
        }

        def ratio(above: str, below: str) -> Estimate:
            return self.estimate(lambda weights: metrics.ratio(weights @ column[above], weights @ column[below]))

        return {
            "precision": ratio("found", "latents"),
            "recall": ratio("found", "features"),
            "code_error": ratio("error", "square"),
            "l0": self.estimate(lambda weights: metrics.mean(weights, self.arrays["rows"], column["latents"])),
        }

    def gain(self, cosine: float) -> "PursuitGain":
        return PursuitGain(self.products(OWN, cosine), self.products(PURSUIT, cosine))


@dataclass(frozen=True)
class PursuitGain:
    """What pursuit takes off Σ ‖SaeError‖², in three parts that add up to it.

    Absent features and the dense part stay as they are, for the decoder does. With Introduced i before and i' after,
        Σ ‖e‖² − Σ ‖e'‖² = (Σ ‖i‖² − Σ ‖i'‖²) + 2 Σ absent·(i − i') + 2 Σ dense·(i − i').
    The first is positive where codes come closer to what the features that the SAE has contribute: features recovered.
    The others are positive where latents stand in for absent features, and where they fit noise.
    """

    own: Products
    pursuit: Products

    def change(self, one: Vector, other: Vector) -> np.ndarray:
        return self.own.of(one, other) - self.pursuit.of(one, other)

    @cached_property
    def terms(self) -> dict[str, np.ndarray]:
        """Part → of each context."""
        introduced = PART["introduced"]
        own = {"introduced": self.change(introduced, introduced)}
        return own | {part: 2 * self.change(PART[part], introduced) for part in PARTS if part != "introduced"}

    @cached_property
    def whole(self) -> np.ndarray:
        return self.change(ERROR, ERROR)

    def of_error(self, part: str | None = None) -> Statistic:
        """The gain, or one part of it, over Σ ‖SaeError‖²: by what share pursuit lowers FVU."""
        gained, before = self.whole if part is None else self.terms[part], self.own.of(ERROR, ERROR)
        return lambda weights: metrics.ratio(weights @ gained, weights @ before)

    def share(self, part: str) -> Statistic:
        """Of the gain; undefined where pursuit gains nothing."""
        return lambda weights: metrics.ratio(weights @ self.terms[part], weights @ self.whole)


def across(
    saes: list[Products], one: Callable[[Products], Statistic], other: Callable[[Products], Statistic]
) -> Statistic:
    """Pearson correlation over SAEs of two numbers of each."""
    pairs = [(one(products), other(products)) for products in saes]

    def statistic(weights: Weights) -> np.ndarray:
        left, right = (np.stack([pair[side](weights) for pair in pairs], 1) for side in (0, 1))
        left, right = (values - values.mean(1, keepdims=True) for values in (left, right))
        return metrics.ratio((left * right).sum(1), np.sqrt((left**2).sum(1) * (right**2).sum(1)))

    return statistic
