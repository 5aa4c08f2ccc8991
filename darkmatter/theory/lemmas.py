"""Appendix C.1 with computer algebra: how well a linear map of x predicts ‖x‖² when x is a sum of orthogonal features.

x = Σ w_i y_i with orthonormal y_i and independent weights w_i ≥ 0, so ‖x‖² = wᵀw and any probe is bᵀw. Every moment
comes from a moment generating function, every formula from those moments; what the paper prints is
compared, never used. Covariances and variances of independent terms add up, which gives

    ρ = Σ b_i Cov(w_i, w_i²) / sqrt(Σ b_i² Var(w_i) · Σ Var(w_i²)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import sympy
from sympy import Expr, Rational, Symbol, exp, sqrt

T = Symbol("t")
RATE = Symbol("lambda", positive=True)


@dataclass(frozen=True)
class Weight:
    """The distribution of one weight w, by its moment generating function E(exp(t w))."""

    generating_function: Expr

    def moment(self, order: int) -> Expr:
        """E(w^order), the derivative of that order at t = 0."""
        return sympy.expand(sympy.diff(self.generating_function, T, order).subs(T, 0))

    @property
    def mean(self) -> Expr:
        return self.moment(1)

    @cached_property
    def variance(self) -> Expr:
        return sympy.expand(self.moment(2) - self.moment(1) ** 2)

    @cached_property
    def covariance_with_square(self) -> Expr:
        """Cov(w, w²)."""
        return sympy.expand(self.moment(3) - self.moment(1) * self.moment(2))

    @cached_property
    def variance_of_square(self) -> Expr:
        """Var(w²)."""
        return sympy.expand(self.moment(4) - self.moment(2) ** 2)

    @property
    def paper_coefficient(self) -> Expr:
        """E(w²)/E(w), the b_i that C.1 takes for least squares."""
        return sympy.cancel(self.moment(2) / self.moment(1))

    @property
    def least_squares_coefficient(self) -> Expr:
        """Cov(w, w²)/Var(w): with an intercept and independent weights the normal matrix is diagonal."""
        return sympy.cancel(self.covariance_with_square / self.variance)


def bernoulli(scale: Expr, probability: Expr) -> Weight:
    """`scale` with `probability`, else 0."""
    return Weight(1 - probability + probability * exp(scale * T))


def poisson(rate: Expr) -> Weight:
    return Weight(exp(rate * (exp(T) - 1)))


def sparse_exponential(probability: Expr) -> Weight:
    """Exponential of mean 1 with `probability`, else 0: a sparse feature with a continuous strength."""
    return Weight(1 - probability + probability / (1 - T))


def correlation(weights: Sequence[Weight], b: Sequence[Expr]) -> Expr:
    """ρ of bᵀw and wᵀw for independent weights."""
    pairs = list(zip(weights, b, strict=True))
    covariance = sum(c * w.covariance_with_square for w, c in pairs)
    variances = sum(c**2 * w.variance for w, c in pairs) * sum(w.variance_of_square for w in weights)
    return sympy.simplify(covariance / sqrt(sympy.factor(variances)))


def norm_test_r2(weight: Weight) -> Expr:
    """R² of least squares (with intercept) from w to wᵀw, for features of one distribution, however many."""
    return sympy.factor(weight.covariance_with_square**2 / (weight.variance * weight.variance_of_square))


def terms(weight: Weight) -> tuple[Expr, Expr, Expr]:
    """One feature's part of Cov(bᵀw, wᵀw), Var(wᵀw) and Var(bᵀw), with the paper's b = E(w²)/E(w)."""
    b = weight.paper_coefficient
    return (
        sympy.expand(b * weight.covariance_with_square),
        weight.variance_of_square,
        sympy.expand(b**2 * weight.variance),
    )


def bernoulli_correlation() -> Expr:
    """ρ of scaled Bernoulli weights: the three terms of every feature are one and the same, so ρ = S/sqrt(S·S) = 1.

    Raises:
        ArithmeticError: the terms differ.
    """
    covariance, *variances = terms(bernoulli(Symbol("s", positive=True), Symbol("p", positive=True)))
    if any(sympy.expand(covariance - variance) != 0 for variance in variances):
        raise ArithmeticError(f"the terms differ: {covariance}, {variances}")
    return sympy.Integer(1)


PRINTED_VARIANCE = 4 * RATE**3 + 6 * RATE**3 + RATE  # Var(wᵀw) of Poisson weights as C.1 prints it


def printed_poisson_correlation(rate: Expr) -> Expr:
    """ρ of one feature, or of features with equal λ, by the formula as C.1 prints it."""
    covariance, _, variance = terms(poisson(RATE))
    return (covariance / sqrt(PRINTED_VARIANCE * variance)).subs(RATE, rate)


def poisson_minimum() -> tuple[Expr, Expr]:
    """(λ, ρ²) where ρ² of features with equal λ is least.

    Raises:
        ArithmeticError: the stationary point is not the single minimum of the half line.
    """
    r2 = norm_test_r2(poisson(RATE))
    stationary = sympy.solve(sympy.numer(sympy.together(sympy.diff(r2, RATE))), RATE)
    ends = (sympy.limit(r2, RATE, 0), sympy.limit(r2, RATE, sympy.oo))
    if len(stationary) != 1 or not all(r2.subs(RATE, stationary[0]) < end for end in ends):
        raise ArithmeticError(f"no single minimum: stationary at {stationary}, limits {ends}")
    return stationary[0], r2.subs(RATE, stationary[0])


def shift_without_intercept() -> Expr:
    """K in b_i = Cov(w_i, w_i²)/Var(w_i) − K, least squares without an intercept for Poisson weights.

    The i-th normal equation is Σ_j E(w_i w_j) b_j = E(w_i wᵀw), with E(w_i w_j) = λ_i λ_j + [i = j] Var(w_i). It is
    solved for K with the sums Λ = Σ λ_j and Q = Σ λ_j² as symbols, so for any number of features.

    Raises:
        ArithmeticError: K depends on i, so b has another form.
    """
    weight, shift = poisson(RATE), Symbol("K")
    total, squares = Symbol("Lambda", positive=True), Symbol("Q", positive=True)

    def summed(expression: Expr) -> Expr:
        """Σ_j of a polynomial in λ_j without constant term and of degree two at most."""
        polynomial = sympy.Poly(expression, RATE)
        (linear, square) = (polynomial.coeff_monomial(RATE**power) for power in (1, 2))
        if sympy.expand(expression - linear * RATE - square * RATE**2) != 0:
            raise ArithmeticError(f"{expression} is not a sum of λ and λ²")
        return linear * total + square * squares

    b = weight.least_squares_coefficient - shift
    left = weight.variance * b + weight.mean * summed(sympy.expand(weight.mean * b))
    right = weight.covariance_with_square + weight.mean * summed(weight.moment(2))
    solution = sympy.factor(sympy.solve(sympy.expand(left - right), shift)[0])
    if solution.has(RATE):
        raise ArithmeticError(f"K = {solution} depends on the feature")
    return solution


def without_intercept(rates: Sequence[Rational]) -> list[Expr]:
    """Least squares coefficients without an intercept at given rates."""
    sums = {"Lambda": sum(rates), "Q": sum(rate**2 for rate in rates)}
    shift = shift_without_intercept()
    shift = shift.subs({symbol: sums[symbol.name] for symbol in shift.free_symbols})
    return [poisson(rate).least_squares_coefficient - shift for rate in rates]


def exact(value: Expr) -> dict[str, str | float]:
    """An exact value as text and as the nearest float."""
    return {"exact": str(value), "value": nearest_float(value)}


def nearest_float(value: Expr) -> float:
    return float(sympy.N(value, 30))
