"""The lemmas of appendix C.1 as a table: what is printed, what the algebra gives, what a Monte Carlo finds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Integer, Rational, Symbol, sqrt
from tqdm import tqdm

from darkmatter.statistics.bootstrap import ContextBootstrap
from darkmatter.theory.lemmas import (
    PRINTED_VARIANCE,
    RATE,
    bernoulli,
    bernoulli_correlation,
    correlation,
    exact,
    nearest_float,
    norm_test_r2,
    poisson,
    poisson_minimum,
    printed_poisson_correlation,
    shift_without_intercept,
    sparse_exponential,
    terms,
    without_intercept,
)
from darkmatter.theory.norm_samples import Draw, SampleSums, Statistic, bootstrap, draw_sample

ROUNDING = 1e-9  # ρ = 1 exactly leaves an interval as narrow as float64


@dataclass(frozen=True)
class Check:
    """One derived number and the statistic that should find it in a sample."""

    quantity: str
    derived: Expr
    sample: SampleSums
    statistic: Statistic

    def result(self, intervals: ContextBootstrap) -> dict[str, Any]:
        results = self.sample.estimate(self.statistic, intervals)
        agrees = results["low"] - ROUNDING <= nearest_float(self.derived) <= results["high"] + ROUNDING
        return {"quantity": self.quantity, "derived": exact(self.derived), "monte_carlo": results, "agrees": agrees}


@dataclass(frozen=True)
class Lemma:
    """One row of the table.

    Attributes:
        printed: what the paper prints, None where it prints nothing.
        print_holds: whether that is what the algebra gives.
        checks: the first is the row's own number, the others are its parts.
    """

    id: str
    statement: str
    printed: str | None
    print_holds: bool | None
    checks: Sequence[Check]
    more: dict[str, Any] = field(default_factory=dict)

    def result(self, intervals: ContextBootstrap) -> dict[str, Any]:
        first, *parts = (check.result(intervals) for check in self.checks)
        row = {"id": self.id, "statement": self.statement, "printed": self.printed, "print_holds": self.print_holds}
        agrees = first["agrees"] and all(part["agrees"] for part in parts)
        return row | first | {"agrees": agrees, "parts": parts} | self.more


def poisson_draw(rates: Sequence[Rational]) -> Draw:
    values = [float(rate) for rate in rates]
    return lambda random, rows: random.poisson(values, size=(rows, len(values))).astype(np.float64)


def bernoulli_draw(scales: Sequence[Rational], probabilities: Sequence[Rational]) -> Draw:
    s, p = np.array(scales, dtype=float), np.array(probabilities, dtype=float)
    return lambda random, rows: s * (random.random((rows, s.size)) < p)


def sparse_exponential_draw(probability: Rational, features: int) -> Draw:
    def draw(random: np.random.Generator, rows: int) -> np.ndarray:
        active = random.random((rows, features)) < float(probability)
        return active * random.exponential(size=(rows, features))

    return draw


def correlation_with(b: Sequence[Expr]) -> Statistic:
    values = np.array(b, dtype=float)
    return lambda moments: moments.correlation(values)


def lemmas(features: int, rows: int, seed: int) -> list[Lemma]:
    """The rows of the table; λ_i = i/4, s_i = 1 + i/4 and p_i = i/(2·features) in the Monte Carlo."""
    numbers = range(1, features + 1)
    rates = [Rational(i, 4) for i in numbers]
    scales, probabilities = [1 + Rational(i, 4) for i in numbers], [Rational(i, 2 * features) for i in numbers]
    least_rate, least_r2 = poisson_minimum()
    small, gate = Rational(1, 10), Rational(1, 20)

    def sample(number: int, draw: Draw) -> SampleSums:
        return draw_sample(draw, rows, [seed, number])

    mixed = sample(0, poisson_draw(rates))

    def equal_rate(number: int, rate: Rational) -> Check:
        """ρ of features with one λ, where every b with equal entries is the same probe."""
        derived = correlation([poisson(rate)] * features, [rate + 1] * features)
        drawn = sample(number, poisson_draw([rate] * features))
        return Check(f"rho at lambda = {rate}", derived, drawn, correlation_with([Integer(1)] * features))

    weight = poisson(RATE)
    covariance, variance, variance_probe = terms(weight)
    closed_form = f"sum({covariance}) / sqrt(sum({variance}) * sum({variance_probe}))"
    paper_b = [poisson(rate).paper_coefficient for rate in rates]
    with_b = [poisson(rate).least_squares_coefficient for rate in rates]
    without_b = without_intercept(rates)
    at_one = equal_rate(1, Integer(1))
    return [
        Lemma(
            "bernoulli",
            f"Independent weights that are s_i with probability p_i and else 0: b_i = "
            f"{bernoulli(Symbol('s_i'), Symbol('p_i')).paper_coefficient} and rho = 1.",
            "1",
            bernoulli_correlation() == 1,
            [
                Check(
                    "rho",
                    bernoulli_correlation(),
                    sample(2, bernoulli_draw(scales, probabilities)),
                    correlation_with(scales),
                )
            ],
        ),
        Lemma(
            "poisson-closed-form",
            f"Independent Poisson weights with b_i = lambda_i + 1: rho = {closed_form}, summed over the features.",
            "the same with 4*lambda**3 + 6*lambda**3 + lambda for Var(wTw)",
            sympy.expand(PRINTED_VARIANCE - variance) == 0,
            [Check("rho", correlation([poisson(r) for r in rates], paper_b), mixed, correlation_with(paper_b))],
        ),
        Lemma(
            "poisson-lambda-one",
            "Poisson weights with every lambda_i = 1: rho = 3/sqrt(11), by the printed formula too.",
            "6/sqrt(66) = 0.73",
            at_one.derived == 6 / sqrt(66),
            [at_one],
            {
                "printed_expression": exact(6 / sqrt(Integer(66), evaluate=False)),
                "printed_formula": exact(printed_poisson_correlation(Integer(1))),
            },
        ),
        Lemma(
            "poisson-printed-variance",
            "Poisson weights with every lambda_i = 1/10: the printed formula gives rho > 1, which no correlation is.",
            "Var(wTw) = sum(4*lambda**3 + 6*lambda**3 + lambda)",
            bool(printed_poisson_correlation(small) <= 1),
            [equal_rate(3, small)],
            {"printed_formula": exact(printed_poisson_correlation(small))},
        ),
        Lemma(
            "poisson-minimum",
            f"Poisson weights of equal lambda: rho**2 = {norm_test_r2(weight)}, least at lambda = {least_rate} with "
            f"{least_r2}, so rho is never below 2/sqrt(5) and 0.73 cannot be reached.",
            None,
            None,
            [equal_rate(4, least_rate)],
        ),
        Lemma(
            "least-squares-intercept",
            f"Least squares with an intercept: b_i = Cov(w_i, w_i**2)/Var(w_i), for Poisson weights "
            f"{weight.least_squares_coefficient}.",
            f"b_i = {weight.paper_coefficient}",
            weight.least_squares_coefficient == weight.paper_coefficient,
            coefficient_checks(rates, with_b, mixed, intercept=True),
        ),
        Lemma(
            "least-squares-no-intercept",
            f"Least squares without an intercept, Poisson weights: b_i = {weight.least_squares_coefficient} - K with "
            f"K = {shift_without_intercept()}, Lambda and Q the sums of lambda_i and of lambda_i**2.",
            f"b_i = {weight.paper_coefficient}",
            without_b == paper_b,
            coefficient_checks(rates, without_b, mixed, intercept=False),
        ),
        Lemma(
            "paper-step",
            "b_i = E(w_i**2)/E(w_i) is no least squares: its mean squared error lies above the least possible, with "
            "an intercept and without. (One equation, the sum over i, does not fix each b_i.)",
            "ordinary least squares gives b_i = E(w_i**2)/E(w_i)",
            paper_b in (with_b, without_b),
            excess_checks(rates, paper_b, with_b, without_b, mixed),
        ),
        Lemma(
            "sparse-exponential",
            f"Weights that are exponential with probability p and else 0: features as linear as can be, and yet "
            f"R2 = {norm_test_r2(sparse_exponential(Symbol('p')))}, near 3/4 for small p.",
            "a sparse sum of orthogonal vectors has a perfect probe of its squared norm (B.1)",
            norm_test_r2(sparse_exponential(gate)) == 1,
            [
                Check(
                    f"R2 at p = {gate}",
                    norm_test_r2(sparse_exponential(gate)),
                    sample(5, sparse_exponential_draw(gate, features)),
                    lambda moments: moments.r2(),
                )
            ],
            {"limit": exact(sympy.limit(norm_test_r2(sparse_exponential(RATE)), RATE, 0))},
        ),
    ]


def coefficient_checks(
    rates: Sequence[Rational], b: Sequence[Expr], sample: SampleSums, intercept: bool
) -> list[Check]:
    """The mean of the coefficients, then each of them."""

    def coefficient(number: int) -> Statistic:
        return lambda moments: moments.least_squares(intercept)[:, number]

    mean = Check("mean of b_i", sum(b) / len(b), sample, lambda moments: moments.least_squares(intercept).mean(axis=1))
    each = [
        Check(f"b_i at lambda = {rate}", value, sample, coefficient(i))
        for i, (rate, value) in enumerate(zip(rates, b, strict=True))
    ]
    return [mean, *each]


def excess_checks(
    rates: Sequence[Rational],
    paper: Sequence[Expr],
    with_b: Sequence[Expr],
    without_b: Sequence[Expr],
    sample: SampleSums,
) -> list[Check]:
    """Mean squared error of the paper's b above the least: Σ d_i² Var(w_i), and (Σ d_i E(w_i))² without intercept."""
    b = np.array(paper, dtype=float)

    def excess_of(intercept: bool) -> Statistic:
        return lambda moments: moments.excess(b, intercept)

    checks = []
    for best, intercept in ((with_b, True), (without_b, False)):
        differences = [p - q for p, q in zip(paper, best, strict=True)]
        excess = sum(d**2 * poisson(rate).variance for d, rate in zip(differences, rates, strict=True))
        if not intercept:
            excess += sum(d * poisson(rate).mean for d, rate in zip(differences, rates, strict=True)) ** 2
        name = f"excess mean squared error, {'with' if intercept else 'without'} intercept"
        checks.append(Check(name, excess, sample, excess_of(intercept)))
    return checks


def lemma_table(features: int, rows: int, seed: int, level: float) -> dict[str, Any]:
    """Every lemma with its Monte Carlo; `level` is that of all intervals together (Bonferroni)."""
    table = lemmas(features, rows, seed)
    checks = sum(len(lemma.checks) for lemma in table)
    intervals = bootstrap(checks, level, seed)
    return {
        "lemmas": [lemma.result(intervals) for lemma in tqdm(table, desc="lemmas")],
        "monte_carlo": {"rows": rows, "features": features, "seed": seed, "checks": checks, "simultaneous": level},
    }
