"""Examples of latents, the surrogate and the scores: against naive references, on planted latents, on bad input."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
from fake_endpoint import Letters, planted
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from darkmatter.experiments.error_saes.names import PARTS
from darkmatter.experiments.interpretability.compute import Texts, surrogate_records
from darkmatter.experiments.interpretability.estimates import accuracies, mean_of_latents, results
from darkmatter.experiments.interpretability.latent_examples import (
    TOO_FEW_FIRINGS,
    TOO_FEW_SILENCES,
    ExampleCounts,
    choose_examples,
    choose_latents,
    cut_windows,
    find_firings,
    lacking,
)
from darkmatter.experiments.interpretability.results import record_arrays
from darkmatter.experiments.interpretability.surrogate import fit_logistic, ngram_features, predict
from darkmatter.storage.artifacts import ArtifactError

PLAN = ExampleCounts(deciles=4, examples_per_decile=3, negatives=8, explained_examples=5, seed=0)
BOOTSTRAP = {"resamples": 500, "level": 0.95, "seed": 0}
SIZE = 8


def random_codes(contexts: int, positions: int, d_sae: int, k: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    index = np.array([random.choice(d_sae, k, replace=False) for _ in range(contexts * positions)], dtype=np.int32)
    value = np.maximum(random.normal(size=index.shape), 0).astype(np.float32)  # half of the slots are unused
    return {"index": np.where(value > 0, index, 0).astype(np.int32), "value": value}


def dense(codes: dict[str, np.ndarray], contexts: int, d_sae: int, size: int) -> np.ndarray:
    """Activations [window, place, latent] the long way."""
    positions = len(codes["index"]) // contexts
    acts = np.zeros((contexts * positions, d_sae))
    for row in range(len(acts)):
        for latent, value in zip(codes["index"][row], codes["value"][row], strict=True):
            acts[row, latent] += value
    count = positions // size
    return acts.reshape(contexts, positions, d_sae)[:, : count * size].reshape(contexts * count, size, d_sae)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(8, 30), st.integers(4, 9), st.integers(0, 99))
def test_firings_are_those_of_dense_activations(contexts: int, positions: int, d_sae: int, seed: int) -> None:
    codes = random_codes(contexts, positions, d_sae, 3, seed)
    firings, expected = find_firings(codes, contexts, d_sae, SIZE), dense(codes, contexts, d_sae, SIZE)
    assert firings.windows == len(expected)
    for latent in range(d_sae):
        windows, strength = firings.of(latent)
        largest = expected[..., latent].max(1)
        assert windows.tolist() == np.flatnonzero(largest).tolist()
        np.testing.assert_allclose(strength, largest[windows])
        for window in range(len(expected)):
            assert firings.places(latent, window).tolist() == np.flatnonzero(expected[window, :, latent]).tolist()
    assert firings.windows_fired().tolist() == [len(firings.of(latent)[0]) for latent in range(d_sae)]


def test_windows_stand_where_their_activations_do() -> None:
    tokens, codes = planted(contexts=3, positions=21, letters="z", first=4)
    windows = cut_windows(tokens, 4, 21, SIZE)
    assert windows.shape == (3 * 2, SIZE)
    firings = find_firings(codes, 3, 1, SIZE)
    for window in range(len(windows)):
        assert firings.places(0, window).tolist() == np.flatnonzero(windows[window] == ord("z")).tolist()


def test_examples_keep_the_protocol() -> None:
    codes = random_codes(20, 40, 6, 1, 0)
    firings = find_firings(codes, 20, 6, SIZE)
    for latent in range(6):
        windows, strength = firings.of(latent)
        one = choose_examples(firings, latent, PLAN, stream=0)
        of = dict(zip(windows.tolist(), strength.tolist(), strict=True))
        assert np.bincount(one.decile).tolist() == [8, 3, 3, 3, 3]
        everything = [*one.explained.tolist(), *one.contrast.tolist(), *one.judged.tolist()]
        assert len(set(everything)) == len(everything)  # nothing explained is judged
        assert [of[window] for window in one.explained.tolist()] == sorted(of.values(), reverse=True)[:5]
        for decile, window in zip(one.decile.tolist(), one.judged.tolist(), strict=True):
            assert (window in of) == (decile > 0)
        by_decile = [[of[w] for w in one.judged[one.decile == number].tolist()] for number in range(1, 5)]
        for weaker, stronger in itertools.pairwise(by_decile):
            assert max(weaker) <= min(stronger)
        again = choose_examples(firings, latent, PLAN, stream=0)
        assert again.judged.tolist() == one.judged.tolist()
        assert choose_examples(firings, latent, PLAN, stream=1).judged.tolist() != one.judged.tolist()


def test_latents_without_enough_examples_are_counted() -> None:
    """Of five latents one never fires, one fires seldom and one everywhere."""
    random = np.random.default_rng(0)
    value = random.uniform(1, 2, size=(20 * 40, 5)).astype(np.float32)
    value[:, 0] = 0
    value[8:, 1] = 0
    value[:, 3:] *= random.random((20 * 40, 2)) < 0.05
    index = np.tile(np.arange(5, dtype=np.int32), (20 * 40, 1))
    firings = find_firings({"index": index, "value": value}, 20, 5, SIZE)
    assert set(choose_latents(firings, PLAN, 4, stream=0)) == {3, 4}
    skipped = lacking(firings.windows_fired(), firings.windows, PLAN)
    assert {reason: np.flatnonzero(mask).tolist() for reason, mask in skipped.items()} == {
        TOO_FEW_FIRINGS: [0, 1],
        TOO_FEW_SILENCES: [2],
    }
    with pytest.raises(ValueError, match="latent 0 fires in 0 windows"):
        choose_examples(firings, 0, PLAN, stream=0)
    assert len(choose_latents(firings, PLAN, 1, stream=0)) == 1


def test_codes_of_other_contexts_are_refused() -> None:
    with pytest.raises(ArtifactError, match="not of 7 contexts"):
        find_firings(random_codes(3, 10, 4, 1, 0), 7, 4, SIZE)
    with pytest.raises(ArtifactError, match="no window of 8"):
        cut_windows(np.zeros((2, 9), dtype=np.int32), 2, 6, 8)


def test_marks_stand_around_runs_of_firing_tokens() -> None:
    texts = Texts(np.frombuffer(b"abcdef", dtype=np.uint8)[None].astype(np.int32), Letters())
    assert texts.marked(0, np.array([1, 2, 4])) == "a<<bc>>d<<e>>f"
    assert texts.marked(0, np.array([0, 5])) == "<<a>>bcde<<f>>"
    assert texts.marked(0, np.array([], dtype=int)) == texts.plain(0) == "abcdef"
    assert texts.marked(0, np.arange(6)) == "<<abcdef>>"


def test_features_are_idf_weighted_ngrams_of_unit_length() -> None:
    windows = np.array([[1, 2, 1, 2], [1, 1, 1, 1], [3, 2, 3, 3]])
    features, ngrams = ngram_features(windows)
    names = [tuple(ngram) for ngram in ngrams.tolist()]
    assert set(names) == {(1, -1), (2, -1), (3, -1), (1, 2), (2, 1), (1, 1), (3, 2), (2, 3), (3, 3)}
    idf = {number: np.log(4 / (1 + number)) + 1 for number in (1, 2)}
    expected = np.array([idf[1] if name in {(1, 2), (2, 1)} else idf[2] if name[1] < 0 and name[0] < 3 else 0
                         for name in names])  # fmt: skip
    np.testing.assert_allclose(features.toarray()[0], expected / np.linalg.norm(expected))


@given(st.integers(0, 999))
@settings(max_examples=20)
def test_logistic_regression_is_the_dense_one(seed: int) -> None:
    """Against the same problem in the coefficients themselves."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(12, 30))
    fires = np.arange(12) < 5
    sign = np.where(fires, 1, -1)

    def loss(parameters: np.ndarray) -> float:
        w, b = parameters[:-1], parameters[-1]
        return 0.5 * w @ w + np.logaddexp(0, -sign * (x @ w + b)).sum()

    expected = minimize(loss, np.zeros(31), method="BFGS", options={"gtol": 1e-7}).x
    alpha, intercept = fit_logistic(x @ x.T, fires)
    np.testing.assert_allclose(x.T @ alpha, expected[:-1], atol=1e-4)
    assert intercept == pytest.approx(expected[-1], abs=1e-4)


def test_classifier_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        fit_logistic(np.eye(3), np.ones(3, dtype=bool))


def planted_records(letters: str, shuffle: bool = False) -> list[dict[str, Any]]:
    tokens, codes = planted(contexts=60, positions=80, letters=letters)
    if shuffle:  # firings that follow from nothing
        codes = {name: np.random.default_rng(1).permutation(array) for name, array in codes.items()}
    firings = find_firings(codes, 60, len(letters), SIZE)
    plan = ExampleCounts(deciles=4, examples_per_decile=3, negatives=20, explained_examples=30, seed=0)
    texts = Texts(cut_windows(tokens, 0, 80, SIZE), Letters())
    chosen = [choose_examples(firings, latent, plan, 0) for latent in range(len(letters))]
    return surrogate_records("linear", chosen, texts)


def test_surrogate_finds_latents_of_one_token() -> None:
    records = planted_records("zqx")
    assert [record["explanation"][0] for record in records] == ["z", "q", "x"]
    assert accuracies(record_arrays(records), 4).mean() > 0.8
    json.dumps(records)


def test_surrogate_finds_nothing_where_nothing_is() -> None:
    """The twin of the test above: the same firings on other rows."""
    table = accuracies(record_arrays(planted_records("zqxjvk", shuffle=True)), 4)
    assert abs((table[:, 0].mean() + table[:, 1:].mean()) / 2 - 0.5) < 0.12


def test_prediction_does_not_see_what_it_predicts() -> None:
    windows = np.random.default_rng(0).integers(0, 20, size=(40, SIZE))
    features, _ = ngram_features(windows)
    learned, fires = np.arange(10), np.arange(10) < 5
    together, _ = predict(features, learned, fires, np.arange(10, 40))
    alone = [predict(features, learned, fires, np.array([window]))[0][0] for window in range(10, 40)]
    assert together.tolist() == alone


def record(part: str, latent: int, decile: list[int], predictions: list[int] | None) -> dict[str, Any]:
    reason = "HTTP 429" if predictions is None else None
    return {"part": part, "latent": latent, "decile": decile, "predictions": predictions, "unanswered": reason}


def test_accuracy_counts_hits_when_firing_and_rejections_when_silent() -> None:
    decile = [0, 0, 1, 1, 2, 2]
    rows = [record("linear", 0, decile, [0, 1, 1, 1, 0, 1]), record("linear", 1, decile, None)]
    assert accuracies(record_arrays(rows), 2).tolist() == [[0.5, 1.0, 0.5]]


def results_of(rows: list[dict[str, Any]], deciles: int, per_decile: int, negatives: int) -> dict[str, Any]:
    """For SAEs of 20 latents, of which one never fires."""
    fired = {"fired": np.array([0] + [50] * 19)}
    own = {part: record_arrays([row for row in rows if row["part"] == part]) | fired for part in PARTS}
    return results(own, 100, ExampleCounts(deciles, per_decile, negatives, 5, 0), 9, BOOTSTRAP)


def random_results(seed: int, latents: int = 30, lift: float = 0.2) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    decile = np.repeat([0, 1, 2], [6, 4, 4])
    rows = []
    for part, share in (("linear", 0.5 + lift), ("nonlinear", 0.5)):
        for latent in range(latents):
            own = np.clip(share + random.normal(scale=0.1), 0, 1)
            rows.append(record(part, latent, decile.tolist(), (random.random(14) < own).astype(int).tolist()))
        rows.append(record(part, latents, decile.tolist(), None))
    return results_of(rows, 2, 4, 6)


def test_results_hold_the_claim_and_the_unanswered() -> None:
    content = random_results(0)
    claim = content["estimands"]["error_sae_interpretability"]
    assert [one["decile"] for one in claim["decile"]] == [1, 2]
    means = {part: content["parts"][part]["accuracy"]["mean"]["value"] for part in ("linear", "nonlinear")}
    assert claim["mean"]["value"] == pytest.approx(means["linear"] - means["nonlinear"])
    assert np.mean([one["value"] for one in claim["decile"]]) == pytest.approx(claim["mean"]["value"])
    assert claim["mean"]["low"] < claim["mean"]["value"] < claim["mean"]["high"]
    assert content["parts"]["linear"]["unanswered"] == {"HTTP 429": 1}
    assert content["parts"]["linear"]["answered"] == 30
    assert [content["parts"]["linear"][name] for name in ("asked", "found", "latents")] == [9, 31, 20]
    assert content["parts"]["linear"]["skipped"][TOO_FEW_FIRINGS] == {"latents": 1, "share": 0.05}
    for one in (claim["mean"], *claim["decile"]):
        assert one["level"] == BOOTSTRAP["level"] and one["joint"]["level"] == 1 - (1 - BOOTSTRAP["level"]) / 3
    assert claim["mean"]["joint"]["low"] < claim["mean"]["low"] == content["difference"]["mean"]["low"]
    assert claim["mean"]["latents"] == [30, 30] and claim["mean"]["rows"] == 2 * 30 * 8


def test_intervals_are_clustered_by_latent() -> None:
    """Latents that are all right or all wrong: the interval is that of 30 coin tosses, not of 240."""
    values = (np.arange(30) % 2).astype(float)
    result = mean_of_latents([values], 8, BOOTSTRAP)
    half = 1.96 * values.std() / np.sqrt(30)
    assert (result["high"] - result["low"]) / 2 == pytest.approx(half, rel=0.15)


def test_interval_of_the_difference_covers() -> None:
    """Two samples of unequal size, drawn apart: the truth lies inside about as often as promised."""
    random, covered, trials = np.random.default_rng(1), 0, 600
    for trial in range(trials):
        samples = [random.normal(1.0, 1, 25), random.normal(0.5, 2, 40)]
        result = mean_of_latents(samples, 1, {"resamples": 400, "level": 0.95, "seed": trial})
        covered += result["low"] <= 0.5 <= result["high"]
    assert 0.90 <= covered / trials <= 0.97  # 0.93 in 2,000 trials of this size


@pytest.mark.parametrize("latents", [0, 1])
def test_too_few_answered_latents_are_null(latents: int) -> None:
    rows = [record("linear", latent, [0, 1, 2], [0, 1, 1]) for latent in range(5)]
    rows += [record("nonlinear", latent, [0, 1, 2], [0, 1, 1]) for latent in range(latents)]
    rows += [record("nonlinear", 9, [0, 1, 2], None)]
    content = results_of(rows, 2, 1, 1)
    for one in (content["difference"]["mean"], content["parts"]["nonlinear"]["accuracy"]["mean"]):
        assert one["value"] is None and one["low"] is None
        assert f"{latents} latents answered" in one["reason"]
    assert content["parts"]["linear"]["accuracy"]["mean"]["value"] == 1
