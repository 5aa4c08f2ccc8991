import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson as poisson_distribution
from sympy import Integer, Rational

from darkmatter.storage.artifacts import to_json
from darkmatter.theory.lemma_table import Check, bernoulli_draw, lemma_table, poisson_draw, sparse_exponential_draw
from darkmatter.theory.lemmas import (
    RATE,
    bernoulli,
    correlation,
    norm_test_r2,
    poisson,
    poisson_minimum,
    printed_poisson_correlation,
    sparse_exponential,
    terms,
    without_intercept,
)
from darkmatter.theory.norm_samples import bootstrap, draw_sample

RATES = st.fractions(min_value=Fraction(1, 20), max_value=3, max_denominator=20)
VALUES = np.arange(60)  # the Poisson probability beyond, at a rate of 3, is below 1e-50


def pmf(rate: Fraction) -> np.ndarray:
    return poisson_distribution.pmf(VALUES, float(rate))


def joint(rates: list[Fraction]) -> tuple[np.ndarray, np.ndarray]:
    """Every outcome of two independent weights [outcome, 2] and its probability, by brute force."""
    grid = np.stack(np.meshgrid(VALUES, VALUES, indexing="ij"), axis=-1).reshape(-1, 2).astype(float)
    return grid, np.outer(pmf(rates[0]), pmf(rates[1])).ravel()


def brute_least_squares(rates: list[Fraction], intercept: bool) -> np.ndarray:
    w, probability = joint(rates)
    design = np.column_stack([w, np.ones(len(w))]) if intercept else w
    y = np.sum(w**2, axis=1)
    matrix, target = design.T @ (design * probability[:, None]), design.T @ (y * probability)
    return np.linalg.solve(matrix, target)[:2]


def to_sympy(rates: list[Fraction]) -> list[Rational]:
    return [Rational(rate.numerator, rate.denominator) for rate in rates]


@settings(max_examples=15)
@given(RATES)
def test_poisson_moments_are_the_sums_over_the_probabilities(rate):
    for order in range(1, 5):
        expected = np.sum(VALUES.astype(float) ** order * pmf(rate))
        assert float(poisson(*to_sympy([rate])).moment(order)) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=10)
@given(st.lists(RATES, min_size=2, max_size=2))
def test_correlation_is_that_of_the_joint_distribution(rates):
    exact = to_sympy(rates)
    b = [poisson(rate).paper_coefficient for rate in exact]
    w, probability = joint(rates)
    x, y = w @ np.array(b, dtype=float), np.sum(w**2, axis=1)
    x, y = x - probability @ x, y - probability @ y
    expected = probability @ (x * y) / np.sqrt((probability @ x**2) * (probability @ y**2))
    assert float(correlation([poisson(rate) for rate in exact], b)) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=10)
@given(st.lists(RATES, min_size=2, max_size=2))
def test_least_squares_coefficients_solve_the_normal_equations(rates):
    exact = to_sympy(rates)
    with_intercept = [float(poisson(rate).least_squares_coefficient) for rate in exact]
    np.testing.assert_allclose(with_intercept, brute_least_squares(rates, True), rtol=1e-8)
    np.testing.assert_allclose(
        np.array(without_intercept(exact), dtype=float), brute_least_squares(rates, False), rtol=1e-7, atol=1e-7
    )


@settings(max_examples=10)
@given(st.lists(RATES, min_size=2, max_size=2))
def test_the_papers_coefficients_do_not_solve_them(rates):
    paper = np.array(rates, dtype=float) + 1
    for intercept in (True, False):
        assert np.abs(paper - brute_least_squares(rates, intercept)).max() > 0.01


def test_poisson_terms_and_the_special_case():
    covariance, variance, variance_probe = terms(poisson(RATE))
    assert sympy.expand(covariance - (2 * RATE**3 + 3 * RATE**2 + RATE)) == 0
    assert sympy.expand(variance - (4 * RATE**3 + 6 * RATE**2 + RATE)) == 0
    assert sympy.expand(variance_probe - (RATE**3 + 2 * RATE**2 + RATE)) == 0
    assert correlation([poisson(Integer(1))] * 3, [Integer(2)] * 3) == 3 / sympy.sqrt(11)


def test_the_minimum_is_below_every_other_rate():
    rate, least = poisson_minimum()
    assert (rate, least) == (Rational(1, 2), Rational(4, 5))
    others = sympy.lambdify(RATE, norm_test_r2(poisson(RATE)))(np.linspace(0.01, 20, 5000))
    assert others.min() == pytest.approx(0.8, abs=1e-5)
    assert others.min() >= 0.8


def test_printed_formula_gives_an_impossible_correlation_and_the_derived_one_never_does():
    assert printed_poisson_correlation(Rational(1, 10)) > 1
    assert printed_poisson_correlation(Integer(1)) == 3 / sympy.sqrt(11)  # so the print contradicts 6/sqrt(66) itself
    derived = sympy.lambdify(RATE, norm_test_r2(poisson(RATE)))(np.geomspace(1e-3, 1e3, 500))
    assert np.all(derived < 1)


def test_norm_test_needs_two_valued_weights():
    s, p = sympy.Symbol("s", positive=True), sympy.Symbol("p", positive=True)
    assert sympy.simplify(norm_test_r2(bernoulli(s, p))) == 1
    assert bernoulli(s, p).least_squares_coefficient == bernoulli(s, p).paper_coefficient == s
    assert sympy.limit(norm_test_r2(sparse_exponential(p)), p, 0) == Rational(3, 4)


def test_sparse_exponential_moments_are_those_of_a_gated_integral():
    x = sympy.Symbol("x", positive=True)
    for order in range(1, 5):
        expected = sympy.integrate(x**order * sympy.exp(-x), (x, 0, sympy.oo)) / 20
        assert sparse_exponential(Rational(1, 20)).moment(order) == expected


def test_streamed_moments_give_what_dense_least_squares_gives():
    draw = poisson_draw([Rational(1, 2), Rational(1), Rational(2)])
    sample = draw_sample(draw, rows=2003, seed=[7], groups=10)
    assert sample.rows == 2003
    random = np.random.default_rng([7])
    w = np.concatenate([draw(random, int(size)) for size in np.diff(np.arange(11) * 2003 // 10)])
    y = np.sum(w**2, axis=1)
    moments = sample.moments(np.ones((1, 10)))
    for intercept in (True, False):
        design = np.column_stack([w, np.ones(len(w))]) if intercept else w
        expected = np.linalg.lstsq(design, y, rcond=None)[0][:3]
        np.testing.assert_allclose(moments.least_squares(intercept)[0], expected, rtol=1e-9)
    b = np.array([1.0, 2.0, 3.0])
    assert moments.correlation(b)[0] == pytest.approx(np.corrcoef(w @ b, y)[0, 1], abs=1e-12)
    design = np.column_stack([w, np.ones(len(w))])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    assert moments.r2()[0] == pytest.approx(1 - residual.var() / y.var(), abs=1e-12)
    assert moments.excess(b, intercept=True)[0] == pytest.approx((y - w @ b).var() - residual.var(), rel=1e-9)


def agrees(derived, statistic, draw) -> bool:
    sample = draw_sample(draw, rows=200_000, seed=[3])
    return Check("under test", derived, sample, statistic).result(bootstrap(30, 0.95, seed=0))["agrees"]


@pytest.mark.parametrize(
    ("right", "wrong", "statistic", "draw"),
    [
        (
            3 / sympy.sqrt(11),
            6 / sympy.sqrt(66),
            lambda moments: moments.correlation(np.ones(4)),
            poisson_draw([Integer(1)] * 4),
        ),
        (
            correlation([poisson(Rational(1, 10))], [Integer(1)]),
            printed_poisson_correlation(Rational(1, 10)),
            lambda moments: moments.correlation(np.ones(4)),
            poisson_draw([Rational(1, 10)] * 4),
        ),
        (
            Integer(5),
            Integer(3),
            lambda moments: moments.least_squares(True)[:, 0],
            poisson_draw([Integer(2), Integer(1)]),
        ),
        (
            without_intercept([Integer(2), Integer(1)])[0],
            Integer(3),
            lambda moments: moments.least_squares(False)[:, 0],
            poisson_draw([Integer(2), Integer(1)]),
        ),
        (
            Integer(1),
            Rational(999, 1000),
            lambda moments: moments.correlation(np.array([1.0, 3.0])),
            bernoulli_draw([Integer(1), Integer(3)], [Rational(1, 2), Rational(1, 5)]),
        ),
        (
            norm_test_r2(sparse_exponential(Rational(1, 20))),
            Integer(1),
            lambda moments: moments.r2(),
            sparse_exponential_draw(Rational(1, 20), 4),
        ),
    ],
)
def test_monte_carlo_accepts_the_right_formula_and_finds_the_wrong_one(right, wrong, statistic, draw):
    assert agrees(right, statistic, draw)
    assert not agrees(wrong, statistic, draw)


def test_table_agrees_is_deterministic_and_marks_what_is_misprinted():
    table = lemma_table(features=3, rows=20_000, seed=0, level=0.95)
    assert to_json(table) == to_json(lemma_table(features=3, rows=20_000, seed=0, level=0.95))
    rows = {row["id"]: row for row in table["lemmas"]}
    assert all(row["agrees"] for row in rows.values())
    assert {key: row["print_holds"] for key, row in rows.items()} == {
        "bernoulli": True,
        "poisson-closed-form": False,
        "poisson-lambda-one": False,
        "poisson-printed-variance": False,
        "poisson-minimum": None,
        "least-squares-intercept": False,
        "least-squares-no-intercept": False,
        "paper-step": False,
        "sparse-exponential": False,
    }
    assert rows["poisson-lambda-one"]["derived"]["value"] == pytest.approx(0.9045, abs=5e-5)
    assert rows["poisson-printed-variance"]["printed_formula"]["value"] > 1


def test_no_model_library_is_needed():
    code = "import sys, stages.lemmas, darkmatter.theory.lemma_table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
