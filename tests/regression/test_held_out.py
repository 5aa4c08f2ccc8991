"""Held-out regressions against scipy.linalg.lstsq on all rows at once, theorems and limiting cases."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darkmatter.regression import held_out_regression
from darkmatter.regression.held_out_regression import derived_sums, regress, through_origin
from darkmatter.regression.splits import draw_splits
from darkmatter.statistics.r2_estimates import of_targets, r2_estimates, r2_of
from darkmatter.storage.artifacts import ArtifactError

CONTEXTS, POSITIONS, REGRESSORS, TARGETS = 12, 40, 5, 3
SPLITS = draw_splits(CONTEXTS, POSITIONS, 0.6, 3, 0)
BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}
CUTOFF = 1e-12


def make_rows(seed=0, mean=5.0, noise=1.0):
    """x and t with means far from zero, differing by context: [context, position, column], float64."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((CONTEXTS, POSITIONS, REGRESSORS)) @ random.standard_normal((REGRESSORS, REGRESSORS))
    x += mean * random.standard_normal(REGRESSORS) + random.standard_normal((CONTEXTS, 1, 1))
    noise = noise * random.standard_normal((CONTEXTS, POSITIONS, TARGETS))
    return x, x @ random.standard_normal((REGRESSORS, TARGETS)) + 3 + noise


def fit(x, t, **options):
    return regress(
        lambda context: (torch.from_numpy(x[context]), torch.from_numpy(t[context])), SPLITS, CUTOFF, **options
    )


def values(fitted):
    estimates = r2_estimates(fitted.sums, fitted.rank, BOOTSTRAP)
    keys = [(split, way) for split in ("token", "context") for way in ("paper", "authors")]
    return {f"{split}/{way}": estimates[split][way]["value"] for split, way in keys} | {
        "in-sample": estimates["in_sample"]["value"]
    }


def dense(x, t):
    """R², mean over targets, of each fit the long way."""
    expected = {}
    for key in ("token/paper", "token/authors", "context/paper", "context/authors", "in-sample"):
        split, _, way = key.partition("/")
        fitted = np.ones((CONTEXTS, POSITIONS), bool) if split == "in-sample" else SPLITS.fits_on(split)
        scored = fitted if split == "in-sample" else ~fitted
        design = x if way == "authors" else np.concatenate([x, np.ones((CONTEXTS, POSITIONS, 1))], -1)
        coefficients = scipy.linalg.lstsq(design[fitted], t[fitted])[0]
        left = ((t[scored] - design[scored] @ coefficients) ** 2).sum(0)
        expected[key] = np.mean(1 - left / ((t[scored] - t[scored].mean(0)) ** 2).sum(0))
    return expected


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), mean=st.sampled_from([0.0, 5.0, 300.0]))
def test_equals_dense_least_squares(seed, mean):
    x, t = make_rows(seed, mean)
    assert values(fit(x, t)) == pytest.approx(dense(x, t), abs=1e-8)


def test_coefficients_are_those_of_both_fits():
    x, t = make_rows()
    maps = fit(x, t).maps
    flat_x, flat_t = x.reshape(-1, REGRESSORS), t.reshape(-1, TARGETS)
    np.testing.assert_allclose(through_origin(maps["all"]), scipy.linalg.lstsq(flat_x, flat_t)[0], atol=1e-9)
    design = np.column_stack([flat_x, np.ones(len(flat_x))])
    np.testing.assert_allclose(maps["all"].weight, scipy.linalg.lstsq(design, flat_t)[0][:-1], atol=1e-9)


def test_functions_of_the_targets_that_differ_between_fits():
    """As of LinearError and NonlinearError, which come from each split's own map."""
    x, t = make_rows()
    mixes = {
        f"{name}/{way}": np.random.default_rng(place).standard_normal((TARGETS, 2))
        for place, (name, way) in enumerate((n, w) for n in ("token", "context", "all") for w in ("paper", "authors"))
    }
    derive = lambda name, way, part: part @ torch.from_numpy(mixes[f"{name}/{way}"])  # noqa: E731
    fitted = fit(x, t, derive=derive)
    fitted.sums.update(derived_sums(lambda context: torch.from_numpy(t[context]), SPLITS, derive))
    for key, value in values(fitted).items():
        mixed = t @ mixes["all/paper" if key == "in-sample" else key]
        assert value == pytest.approx(dense(x, mixed)[key], abs=1e-9), key


def test_single_precision_agrees_with_double():
    x, t = (part.astype(np.float32) for part in make_rows())
    assert values(fit(x, t, products=torch.float32)) == pytest.approx(values(fit(x, t)), abs=1e-5)


def test_single_precision_is_taken_back_where_regressors_nearly_coincide():
    x, t = make_rows()
    x[..., 1] = x[..., 0] + 1e-5 * x[..., 1]
    assert values(fit(x, t, products=torch.float32)) == pytest.approx(dense(x, t), abs=1e-6)


def test_it_would_have_mattered(monkeypatch):
    monkeypatch.setattr(held_out_regression, "SINGLE_PRECISION_CONDITION", np.inf)
    x, t = make_rows()
    x[..., 1] = x[..., 0] + 1e-5 * x[..., 1]
    assert values(fit(x, t, products=torch.float32)) != pytest.approx(dense(x, t), abs=1e-6)


@pytest.mark.parametrize("useless", ["constant", "copy"])
def test_regressors_without_information_change_nothing(useless):
    x, t = make_rows()
    extra = np.full((CONTEXTS, POSITIONS, 1), 2.0) if useless == "constant" else x[..., :1]
    fitted = fit(np.concatenate([x, extra], -1), t)
    assert fitted.rank == dict.fromkeys(("token", "context", "all"), REGRESSORS)
    expected = values(fit(x, t))
    ways = [key for key in expected if useless == "copy" or not key.endswith("authors")]  # a constant is an intercept
    assert {key: values(fitted)[key] for key in ways} == pytest.approx({key: expected[key] for key in ways}, abs=1e-8)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), kept=st.integers(1, REGRESSORS))
def test_in_sample_fit_never_loses_by_a_regressor(seed, kept):
    x, t = make_rows(seed)
    some, every = (values(fit(part, t))["in-sample"] for part in (x[..., :kept], x))
    assert -1e-12 <= some <= every + 1e-12


def test_exact_relation_is_found_and_noise_is_not():
    x, t = make_rows(noise=0.0)
    assert values(fit(x, t))["context/paper"] == pytest.approx(1)
    noise = np.random.default_rng(1).standard_normal(t.shape)
    assert all(value < 0.1 for value in values(fit(x, noise)).values())


def test_target_without_variance_is_null():
    x, t = make_rows()
    fitted = fit(x, np.ones_like(t))
    estimate = r2_estimates(fitted.sums, fitted.rank, BOOTSTRAP)["token"]["paper"]
    assert estimate["value"] is None
    assert estimate["reason"] == "the target has no variance"


def test_facts_beside_the_number():
    x, t = make_rows()
    fitted = fit(x, t)
    estimates = r2_estimates(fitted.sums, fitted.rank, BOOTSTRAP)
    assert estimates["token"]["paper"]["rows"] == (~SPLITS.token_fit).sum()
    assert estimates["context"]["paper"]["contexts"] == (~SPLITS.context_fit).sum()
    assert estimates["in_sample"]["rows"] == CONTEXTS * POSITIONS
    for estimate in (estimates["token"]["authors"], estimates["in_sample"]):
        assert estimate["rank"] == REGRESSORS
        assert estimate["low"] < estimate["value"] < estimate["high"]


def test_one_of_several_targets():
    x, t = make_rows()
    both, one = fit(x, t), fit(x, t[..., 1:2])
    alone = r2_estimates(of_targets(both.sums, slice(1, 2)), both.rank, BOOTSTRAP)["context"]["paper"]
    expected = r2_estimates(one.sums, one.rank, BOOTSTRAP)["context"]["paper"]
    assert [alone[key] for key in ("value", "low", "high")] == pytest.approx(
        [expected[key] for key in ("value", "low", "high")], abs=1e-10
    )


def test_residuals_are_never_read_on_rows_they_were_not_scored_on():
    x, t = make_rows()
    fitted = fit(x, t)
    with pytest.raises(ValueError, match="residual/token/paper is not scored on the row set 'all'"):
        r2_of(fitted.sums, "all", "residual/token/paper", 5, BOOTSTRAP)


def test_too_few_rows_are_refused_before_any_work():
    calls = []

    def rows(context):
        calls.append(context)
        return torch.zeros(POSITIONS, 300), torch.zeros(POSITIONS, 1)

    with pytest.raises(ArtifactError, match=r"300 regressors .* more than 301 rows to fit, there are 280"):
        regress(rows, SPLITS, CUTOFF)
    assert calls == [0]
