"""Appendix C.2 where the probe is known in closed form; ranks and medians against scipy and numpy."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from darkmatter.experiments.latent_probe.compute import LATENTS, PROBE_RANK, PROBE_SUMS, probe_latents
from darkmatter.experiments.latent_probe.estimates import compare, curve, latent_results, smoothed
from darkmatter.experiments.latent_probe.latent_ranks import Ranks, rank_correlation, resample, weighted_median
from darkmatter.experiments.latent_probe.results import one_group
from darkmatter.statistics.seed_noise import UNDEFINED
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays, write_json

LATENT_COUNT, CONTEXTS, POSITIONS = 8, 10, 2000
BOOTSTRAP = {"resamples": 200, "level": 0.95, "seed": 0}
WINDOWS = {"paper": 2, "authors": 4}
WAYS = ("token/paper", "token/authors", "context/paper", "context/authors")
RANDOM = np.random.default_rng(0)
DIRECTIONS = np.linalg.qr(RANDOM.standard_normal((LATENT_COUNT, LATENT_COUNT)))[0]


def probe(folder, weight, directions=DIRECTIONS, positions=POSITIONS):
    """Run the unit on codes that hold these weights [row, latent]; returns table, sums and rank."""
    index = np.tile(np.arange(weight.shape[1], dtype=np.int32), (len(weight), 1))
    write_arrays(
        folder / "codes.npz",
        {"index": index, "value": weight.astype(np.float32), "l0": np.count_nonzero(weight, axis=1)},
    )
    d_sae, d_in = directions.shape
    write_json(folder / "cfg.json", {"d_sae": d_sae, "d_in": d_in})
    weights = {"W_dec": directions.astype(np.float32), "b_dec": np.full(d_in, 7, np.float32)}
    save_file(weights, folder / "sae_weights.safetensors")
    np.save(folder / "x.npy", np.zeros((CONTEXTS, positions, d_in), np.float32))
    shape = {"activations": str(folder / "x.npy"), "fit_share": 0.6, "folds": 3, "split_seed": 0}
    probe_latents(folder, codes=str(folder / "codes.npz"), sae=str(folder), cutoff=1e-12, **shape)
    return [read_arrays(folder / name) for name in (LATENTS, PROBE_SUMS, PROBE_RANK)]


def results(table, sums, rank, min_firings=10, alike=()):
    return latent_results(table, sums, {k: int(v) for k, v in rank.items()}, min_firings, WINDOWS, BOOTSTRAP, alike)


def bernoulli(scale, share=0.3, seed=0):
    return scale * (np.random.default_rng(seed).random((CONTEXTS * POSITIONS, LATENT_COUNT)) < share)


def test_scaled_bernoulli_weights_are_met_exactly(tmp_path):
    """‖Σ w y‖² = Σ s_i w_i for w_i ∈ {0, s_i}: the probe is s_i along each latent, with and without intercept."""
    scale = np.linspace(1, 5, LATENT_COUNT)
    table, sums, rank = probe(tmp_path, bernoulli(scale))
    for way in WAYS:
        np.testing.assert_allclose(table[f"probe/{way}"], scale, rtol=1e-5)
    result = results(table, sums, rank)
    judged = result["estimands"]["probe_against_latents"]
    assert judged["ratio"]["value"] == pytest.approx(1, abs=1e-5)
    assert judged["rank"]["value"] == pytest.approx(1)
    assert judged["ratio"]["joint"]["level"] == pytest.approx(0.975)
    assert result["probe_r2"]["context"]["paper"]["value"] == pytest.approx(1, abs=1e-6)
    assert result["against"]["token"]["paper"]["second"]["ratio"]["value"] == pytest.approx(1, abs=1e-5)
    assert result["against"]["token"]["paper"]["mean"]["ratio"]["value"] == pytest.approx(1 / 0.3, rel=0.05)


def test_poisson_weights_follow_the_closed_form(tmp_path):
    """2λ_i + 1 with intercept; 2λ_i + 1 − Q/(1 + Λ) without, Q = Σ λ², Λ = Σ λ."""
    rate = np.linspace(0.2, 1.6, LATENT_COUNT)
    table, _, _ = probe(tmp_path, np.random.default_rng(0).poisson(rate, (CONTEXTS * POSITIONS, LATENT_COUNT)))
    np.testing.assert_allclose(table["probe/token/paper"], 2 * rate + 1, atol=0.25)
    without = 2 * rate + 1 - (rate**2).sum() / (1 + rate.sum())
    np.testing.assert_allclose(table["probe/token/authors"], without, atol=0.25)
    assert np.abs(table["probe/token/authors"] - table["probe/token/paper"]).min() > 0.5


def test_table_of_activity(tmp_path):
    weight = bernoulli(np.arange(1.0, LATENT_COUNT + 1))
    weight[:, 3] = 0
    table, sums, rank = probe(tmp_path, weight)
    np.testing.assert_array_equal(table["firings"], (weight > 0).sum(0))
    np.testing.assert_allclose(table["sum"], weight.sum(0), rtol=1e-6)
    np.testing.assert_allclose(table["square"], (weight**2).sum(0), rtol=1e-6)
    assert rank["token"] == LATENT_COUNT - 1
    counts = results(table, sums, rank)["latents"]
    assert (counts["all"], counts["never_fired"], counts["compared"]) == (LATENT_COUNT, 1, LATENT_COUNT - 1)


def test_products_add_up_to_the_squared_norm_of_latents_that_are_not_orthogonal(tmp_path):
    """Against every row by hand; the jackknife and the medians against numpy and scipy."""
    random = np.random.default_rng(3)
    directions = random.standard_normal((LATENT_COUNT, LATENT_COUNT - 3))
    weight = random.exponential(size=(CONTEXTS * POSITIONS, LATENT_COUNT)) * (random.random(LATENT_COUNT) < 0.9)
    weight *= random.random(weight.shape) < 0.3
    table, sums, rank = probe(tmp_path, weight, directions)
    norms = np.linalg.norm(directions, axis=1)
    sparse_sum = weight @ directions
    product = weight * (sparse_sum @ directions.T)
    np.testing.assert_allclose(table["group_product"].sum(0), product.sum(0), rtol=1e-4)
    assert table["group_product"].sum() == pytest.approx(np.square(sparse_sum).sum(), rel=1e-5)
    by_group = lambda values: values.reshape(10, -1, LATENT_COUNT).sum(1)  # noqa: E731 - ten contexts, ten groups
    np.testing.assert_allclose(table["group_sum"], by_group(weight * norms), rtol=1e-5)
    np.testing.assert_allclose(table["group_product"], by_group(product), rtol=1e-3, atol=1e-2)

    result = results(table, sums, rank)
    judged = result["estimands"]["probe_against_products"]
    fired = weight.sum(0) > 0
    own, average = table["probe/token/paper"][fired], (product.sum(0) / (weight * norms).sum(0))[fired]
    assert judged["ratio"]["value"] == pytest.approx(np.median(own / average), rel=1e-3)
    assert judged["rank"]["value"] == pytest.approx(scipy.stats.spearmanr(own, average).statistic)
    left_out = []
    for group in range(10):
        rest = [(by_group(part).sum(0) - by_group(part)[group])[fired] for part in (product, weight * norms)]
        left_out.append(np.median(own * rest[1] / rest[0]))
    deviation = np.sqrt(0.9 * np.square(left_out - np.mean(left_out)).sum())
    low, high = scipy.stats.t.interval(BOOTSTRAP["level"], 9, judged["ratio"]["value"], deviation)
    alone = judged["ratio"]["intervals"]["context"]
    assert (alone["low"], alone["high"]) == pytest.approx((low, high), rel=1e-2)
    latents = result["against"]["token"]["paper"]["product"]["ratio"]
    assert judged["ratio"]["high"] - judged["ratio"]["low"] > latents["high"] - latents["low"]
    for one in judged.values():
        assert one["level"] == BOOTSTRAP["level"] and one["joint"]["level"] == 1 - (1 - BOOTSTRAP["level"]) / 2
        assert one["joint"]["low"] < one["low"] < one["high"] < one["joint"]["high"]


def test_of_orthogonal_latents_the_product_is_the_square(tmp_path):
    table, _, _ = probe(tmp_path, bernoulli(np.linspace(1, 5, LATENT_COUNT)))
    np.testing.assert_allclose(table["group_product"].sum(0), table["square"], rtol=1e-5)


def test_another_seed_moves_the_judged_numbers_by_what_it_moved_a_pair(tmp_path):
    seeds = [
        probe(tmp_path, np.random.default_rng(seed).gamma(2, size=(CONTEXTS * POSITIONS, LATENT_COUNT)))
        for seed in (1, 2)
    ]
    pair = [one_group(table) for table, _, _ in seeds]
    table, sums, rank = probe(tmp_path, bernoulli(np.linspace(1, 5, LATENT_COUNT)))
    judged = results(table, sums, rank, alike=[pair])["estimands"]
    own = [results(*seed)["estimands"] for seed in seeds]
    for estimand, numbers in judged.items():
        for kind, one in numbers.items():
            first, second = (seed[estimand][kind]["value"] for seed in own)
            assert first != second
            assert one["of_seed"] == {"deviation": pytest.approx(abs(first - second) / 2**0.5), "freedom": 1}
    plain = results(table, sums, rank)["estimands"]
    assert all("of_seed" not in one for numbers in plain.values() for one in numbers.values())
    silent = [pair[0], pair[1] | {"firings": np.zeros_like(pair[1]["firings"])}]
    undefined = results(table, sums, rank, alike=[silent])["estimands"]["probe_against_products"]["rank"]
    assert undefined["of_seed"] == {"reason": UNDEFINED}


def test_norms_of_decoder_rows_do_not_matter(tmp_path):
    """Twice the row with half the activation is the same SAE."""
    weight, norms = bernoulli(np.linspace(1, 5, LATENT_COUNT)), 2.0 ** np.arange(-4, LATENT_COUNT - 4)
    (tmp_path / "unit").mkdir(), (tmp_path / "other").mkdir()
    unit, other = (
        probe(tmp_path / "unit", weight),
        probe(tmp_path / "other", weight / norms, DIRECTIONS * norms[:, None]),
    )
    for name, values in unit[0].items():
        np.testing.assert_allclose(other[0][name], values, rtol=1e-5, err_msg=name)


def test_latents_that_rarely_fire_are_counted_and_left_out(tmp_path):
    weight = bernoulli(np.linspace(1, 5, LATENT_COUNT))
    weight[:, 0], weight[:, 1] = 0, 0
    weight[:5, 1] = 2
    table, sums, rank = probe(tmp_path, weight)
    result = results(table, sums, rank, min_firings=6)
    assert result["latents"] == {"all": 8, "never_fired": 1, "below_min_firings": 1, "compared": 6, "min_firings": 6}
    assert sorted(result["curve"]["latent"]) == [2, 3, 4, 5, 6, 7]
    assert result["estimands"]["probe_against_latents"]["rank"]["latents"] == 6
    nothing = results(table, sums, rank, min_firings=10**6)
    judged = nothing["estimands_by_variant"]["context"]["authors"]["probe_against_latents"]
    assert judged["ratio"]["value"] is None
    assert judged["ratio"]["reason"] == "0 latents fired often enough, 3 are needed"
    assert nothing["curve"]["latent"] == []


def test_codes_of_other_rows_and_too_few_rows_are_refused(tmp_path):
    weight = bernoulli(np.ones(LATENT_COUNT))
    with pytest.raises(ArtifactError, match=r"has 20000 rows, the activations 19990"):
        probe(tmp_path, weight, positions=POSITIONS - 1)
    with pytest.raises(ArtifactError, match="8 regressors with intercept needs more than 9 rows"):
        probe(tmp_path, weight[:10], positions=1)


def test_one_value_has_no_rank():
    probes = {"probe/token/paper": np.ones(5)}
    result = compare(probes, {"active": np.arange(1.0, 6)}, 100, 10, [BOOTSTRAP])[0]["probe/token/paper"]["active"]
    assert result["rank"]["value"] is None
    assert result["rank"]["reason"] == "all latents have one value"
    assert result["ratio"]["value"] == pytest.approx(1 / 3)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 30), ties=st.booleans())
def test_resampled_ranks_and_medians_equal_scipy_and_numpy(seed, count, ties):
    random = np.random.default_rng(seed)
    first, second = (random.integers(4, size=count) * 1.0 if ties else random.standard_normal(count) for _ in range(2))
    weights = random.multinomial(count, np.full(count, 1 / count), size=5).astype(float).T
    ranks = [{"of": Ranks(values).of(weights)} for values in (first, second)]
    result = rank_correlation(weights, *ranks)["of", "of"]
    medians = weighted_median(first)(weights)
    for row, value, median in zip(weights.T.astype(int), result, medians, strict=True):
        drawn = np.repeat(first, row), np.repeat(second, row)
        assert median == pytest.approx(np.median(drawn[0]))
        if np.ptp(drawn[0]) == 0 or np.ptp(drawn[1]) == 0:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(scipy.stats.spearmanr(*drawn).statistic, abs=1e-12)


def test_intervals_cover_what_resampling_latents_one_by_one_covers():
    values = np.random.default_rng(1).gamma(2.0, size=200)
    median = weighted_median(values)
    result = resample(lambda weights: {"median": median(weights)}, 200, 2000, 0)["median"].interval(0.95)
    random = np.random.default_rng(2)
    expected = np.quantile([np.median(random.choice(values, 200)) for _ in range(2000)], [0.025, 0.975])
    assert result.value == pytest.approx(np.median(values))
    assert (result.low, result.high) == pytest.approx(tuple(expected), abs=0.04)
    again = resample(lambda weights: {"median": median(weights)}, 200, 2000, 0)["median"].interval(0.95)
    assert again == result


@pytest.mark.parametrize("window", [1, 4, 7, 100])
def test_smoothing_is_a_centred_mean(window):
    values = np.random.default_rng(0).standard_normal(20)
    starts = [place - window // 2 for place in range(20)]
    expected = [values[max(start, 0) : start + window].mean() for start in starts]
    np.testing.assert_allclose(smoothed(values, window), expected)


def test_curve_is_in_the_order_of_mean_activation():
    weights = {"active": np.array([3.0, 1.0, 2.0]), "mean": np.ones(3), "second": np.ones(3)}
    probes = {"paper": np.array([30.0, 10.0, 20.0]), "authors": np.zeros(3)}
    result = curve(np.array([5, 6, 7]), np.array([1, 2, 3]), weights, probes, {"paper": 1, "authors": 1})
    assert result["latent"] == [6, 7, 5]
    assert result["probe_paper"] == result["smoothed_paper"] == [10, 20, 30]
