"""Reduced-rank regression against a naive dense reference and in limiting cases, and its estimates."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from decomposition_reference import fvu, regress
from fake_linear_rank import fake_sums
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile_params
from safetensors.numpy import save_file
from scipy.stats import binom

from darkmatter.decomposition.passes import error_maps
from darkmatter.decomposition.samples import open_sample
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.linear_rank import compute
from darkmatter.experiments.linear_rank.compute import DIRECTIONS, SUMS, chosen_latents, firing_share, measure
from darkmatter.experiments.linear_rank.directions import components_of, cosines, directions_of, span
from darkmatter.experiments.linear_rank.estimates import HALF, RankSums, angles, crossing
from darkmatter.experiments.linear_rank.ranks import RANK, RANKS, stored_ranks
from darkmatter.experiments.linear_rank.results import SPLICES, derive, results_of, stored
from darkmatter.experiments.linear_rank.splices import truncated
from darkmatter.regression.least_squares import factorise, fit
from darkmatter.regression.moments import CrossMoments
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics.sae_estimates import HookpointSums, hookpoint_sums
from darkmatter.storage.artifacts import plain, read_arrays, write_arrays, write_json
from darkmatter.storage.packed_sums import select
from darkmatter.storage.paths import reports_of

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 10, 60, 9, 80, 3
SPLIT = {"fit_share": 0.6, "folds": 3, "split_seed": 0}
BOOTSTRAP = {"resamples": 200, "level": 0.95, "seed": 0}


def make_case(folder):
    """Activations with a mean, and a random SAE with its codes, of which one latent fires on most rows."""
    random = np.random.default_rng(0)
    mixed = random.standard_normal((CONTEXTS, POSITIONS, D_MODEL)) @ random.standard_normal((D_MODEL, D_MODEL))
    x = (mixed + 0.3 * random.standard_normal((CONTEXTS, 1, D_MODEL)) + 5).astype(np.float32)
    np.save(folder / "x.npy", x)
    flat = x.reshape(-1, D_MODEL)
    decoder = random.standard_normal((D_SAE, D_MODEL)).astype(np.float32)
    b_dec = flat.mean(0)
    pre = (flat - b_dec) @ decoder.T / 9
    pre[:, 0] += 4
    index = np.argsort(-pre, axis=1)[:, :K].astype(np.int32)
    value = np.maximum(np.take_along_axis(pre, index, 1), 0).astype(np.float32)
    write_arrays(folder / "codes.npz", {"index": index, "value": value, "l0": (value > 0).sum(1).astype(np.int32)})
    (folder / "sae").mkdir()
    write_json(folder / "sae" / "cfg.json", {"d_sae": D_SAE, "d_in": D_MODEL})
    save_file({"W_dec": decoder, "b_dec": b_dec}, folder / "sae" / "sae_weights.safetensors")
    for name in ("moments", "out"):
        (folder / name).mkdir()
    prepare(folder / "moments", activations=str(folder / "x.npy"), eigen_cutoff=1e-12, **SPLIT)
    return folder


def arguments(folder):
    files = {"activations": "x.npy", "prepared": "moments", "codes": "codes.npz", "sae": "sae"}
    return {key: str(folder / name) for key, name in files.items()} | SPLIT


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = make_case(tmp_path_factory.mktemp("linear_rank"))
    measure(folder / "out", spliced=True, **arguments(folder))
    return folder


@pytest.fixture(scope="module")
def rows(case):
    """x and Sae(x) [row, d_model] in float64, and the splits."""
    sample = open_sample(**arguments(case))
    x = np.load(case / "x.npy").reshape(-1, D_MODEL).astype(np.float64)
    sae = torch.cat([sample.sae.context(context) for context in range(CONTEXTS)]).double().numpy()
    return x, sae, sample.splits


def naive(x, error, fitted, rank):
    """Predictions of the best map of a rank, the long way: the full fit, and the SVD of its fitted values."""
    full = regress(x, error, fitted)
    mean = error[fitted].mean(0)
    directions = np.linalg.svd(full[fitted] - mean, full_matrices=False)[2][:rank]
    return mean + (full - mean) @ directions.T @ directions


@pytest.mark.parametrize("split", SPLITS)
def test_every_rank_is_the_naive_one_on_held_out_rows(case, rows, split):
    x, sae, splits = rows
    sums, error = read_arrays(case / "out" / SUMS), x - sae
    fitted = splits.fits_on(split).ravel()
    held_out = splits.row_sets()[ROW_SETS.index(split)]
    assert not (held_out.ravel() & fitted).any()
    ranks = sums["ranks"].astype(int).tolist()
    assert ranks[0] == 0 and ranks[-1] == D_MODEL and len(ranks) > 5
    mean = error[fitted].mean(0)
    for place, rank in enumerate(ranks):
        predicted = naive(x, error, fitted, rank)
        for name, part in (("left", error - predicted), ("linear", predicted - mean)):
            expected = (part**2).sum(1).reshape(CONTEXTS, POSITIONS)
            expected = np.where(held_out, expected, 0).sum(1)
            np.testing.assert_allclose(sums[f"{split}/{name}"][:, place], expected, rtol=2e-4, atol=1e-3)


@pytest.mark.parametrize("split", SPLITS)
def test_all_directions_are_the_full_regression_and_none_the_mean(case, rows, split):
    x, sae, splits = rows
    sums = read_arrays(case / "out" / SUMS)
    shared = hookpoint_sums(read_arrays(case / "moments" / "activations.npz"), {}, BOOTSTRAP)
    ranked, one = RankSums.of(sums, split, shared), np.ones((1, len(shared.views[split].used)))
    held_out = splits.row_sets()[ROW_SETS.index(split)].ravel()
    fitted = splits.fits_on(split).ravel()
    whole = sae + regress(x, x - sae, fitted)
    assert ranked.fvu_at(D_MODEL, shared)(one)[0] == pytest.approx(fvu(x, whole, held_out), rel=1e-4)
    mean = sae + (x - sae)[fitted].mean(0)
    assert ranked.fvu_at(0, shared)(one)[0] == pytest.approx(fvu(x, mean, held_out), rel=1e-4)
    assert ranked.share_at(0)(one)[0] == 0 and ranked.share_at(D_MODEL)(one)[0] == 1
    assert ranked.share_at(10 * D_MODEL)(one)[0] == 1  # of a model with fewer dimensions than the rank


def test_shares_and_angles_of_subspaces_are_projections(case, rows, monkeypatch, tmp_path):
    monkeypatch.setattr(compute, "RANK", 3)
    measure(tmp_path, spliced=False, **arguments(case))
    sums, (x, sae, splits) = read_arrays(tmp_path / SUMS), rows
    assert not (tmp_path / DIRECTIONS).exists()
    error, fitted, held_out = x - sae, splits.fits_on("token").ravel(), splits.row_sets()[0].ravel()
    linear = (regress(x, error, fitted) - error[fitted].mean(0))[held_out]
    codes = read_arrays(case / "codes.npz")
    firing = [((codes["index"] == latent) & (codes["value"] != 0)).any(1).mean() for latent in range(D_SAE)]
    dense = np.flatnonzero(np.array(firing) > 0.1)
    assert sums["dense"] == sums["dimensions/dense"] == len(dense) and 1 <= len(dense) < D_MODEL
    components = np.linalg.eigh(np.cov(x[fitted].T))[1][:, :-4:-1]
    decoders = np.linalg.qr(open_sample(**arguments(case)).sae.decoder.W_dec.double().numpy()[dense].T)[0]
    for name, basis in {"in_components": components, "in_dense": decoders}.items():
        assert sums[f"token/{name}"].sum() == pytest.approx(((linear @ basis) ** 2).sum(), rel=1e-3)
    everything = np.ones(len(x), bool)
    whole = regress(x, error, everything) - error.mean(0)
    first = np.linalg.svd(whole, full_matrices=False)[2][:3].T
    for name, basis in {"components": np.linalg.eigh(np.cov(x.T))[1][:, :-4:-1], "dense": decoders}.items():
        expected = np.linalg.svd(first.T @ basis, compute_uv=False)
        np.testing.assert_allclose(sums[f"cosines/{name}"], expected, atol=1e-3)


def test_the_map_that_is_spliced_is_the_one_that_is_scored(case, rows):
    x, sae, splits = rows
    sample = open_sample(**arguments(case))
    for rank in (2, D_MODEL):
        parts = truncated(case / "out" / DIRECTIONS, rank)
        predicted = (x - sample.prepared.x_shift.numpy()) @ parts["weight"] + parts["intercept"]
        np.testing.assert_allclose(predicted, naive(x, x - sae, splits.fits_on("context").ravel(), rank), atol=2e-4)
        assert np.linalg.matrix_rank(parts["weight"]) == rank


def least_squares(x, error, cutoff=1e-12):
    """Map and factor of one fit set, from float64 arrays."""
    x, error = torch.from_numpy(x), torch.from_numpy(error)
    mean_x, mean_e = x.mean(0), error.mean(0)
    of_x = CrossMoments(len(x), mean_x, mean_x, (x - mean_x).T @ (x - mean_x))
    of_error = CrossMoments(len(x), mean_x, mean_e, (x - mean_x).T @ (error - mean_e))
    factor, zero = factorise(of_x, cutoff), torch.zeros(x.shape[1], dtype=torch.float64)
    return fit(factor, of_error, zero, zero), factor


def left_by(x, error, weight, intercept):
    return float(((error - x @ weight - intercept) ** 2).sum())


@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 4))
def test_no_other_map_of_the_rank_leaves_less(seed, rank):
    """Against maps near the best and far from it: perturbed factors, and the full fit within perturbed directions."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((60, 5)) @ random.standard_normal((5, 5)) + random.standard_normal(5)
    error = x @ random.standard_normal((5, 5)) + random.standard_normal((60, 5))
    linear_map, factor = least_squares(x, error)
    weight, intercept = (part.numpy() for part in directions_of(linear_map, factor).truncated(rank))
    best = left_by(x, error, weight, intercept)
    left, singular, right = np.linalg.svd(weight)
    for size in (1e-3, 0.1, 10.0):
        into = left[:, :rank] * singular[:rank] + size * random.standard_normal((5, rank))
        out = np.linalg.qr((right[:rank] + size * random.standard_normal((rank, 5))).T)[0].T
        for other in (into @ out, linear_map.weight.numpy() @ out.T @ out):
            centred = error.mean(0) - x.mean(0) @ other
            assert best <= left_by(x, error, other, centred) * (1 + 1e-9)


@given(seed=st.integers(0, 2**32 - 1))
def test_ranks_are_nested_and_each_direction_takes_less_than_the_one_before(seed):
    random = np.random.default_rng(seed)
    x = random.standard_normal((80, 6)) @ random.standard_normal((6, 6))
    error = x @ random.standard_normal((6, 6)) + random.standard_normal((80, 6))
    fitted = directions_of(*least_squares(x, error))
    np.testing.assert_allclose(fitted.basis.T @ fitted.basis, np.eye(6), atol=1e-10)
    left = [left_by(x, error, *(part.numpy() for part in fitted.truncated(rank))) for rank in range(7)]
    gains = -np.diff(left)
    assert (gains >= -1e-9 * left[0]).all() and (np.diff(gains) <= 1e-9 * left[0]).all()
    assert left[0] == pytest.approx(((error - error.mean(0)) ** 2).sum())


def test_an_error_of_low_rank_has_that_rank_and_its_directions():
    random = np.random.default_rng(1)
    x, planted = random.standard_normal((500, 8)), np.linalg.qr(random.standard_normal((8, 2)))[0]
    error = x @ random.standard_normal((8, 2)) @ planted.T
    fitted = directions_of(*least_squares(x, error))
    assert left_by(x, error, *(part.numpy() for part in fitted.truncated(2))) == pytest.approx(0, abs=1e-18)
    np.testing.assert_allclose(cosines(fitted.basis[:, :2], torch.from_numpy(planted)), 1, atol=1e-12)


def test_a_null_direction_of_x_is_fitted_by_nothing():
    random = np.random.default_rng(2)
    x = random.standard_normal((300, 4)) @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1.0]])
    error = x @ random.standard_normal((4, 4)) + 0.1 * random.standard_normal((300, 4))
    linear_map, factor = least_squares(x, error)
    assert factor.rank == 3
    fitted = directions_of(linear_map, factor)
    assert fitted.basis.shape == (4, 4)
    np.testing.assert_allclose(fitted.weight[:, 3], 0, atol=1e-9)
    whole, _ = fitted.truncated(4)
    np.testing.assert_allclose(whole, linear_map.weight, atol=1e-10)


def test_components_of_x_are_those_of_its_covariance():
    random = np.random.default_rng(3)
    x = random.standard_normal((400, 6)) @ np.diag([5, 4, 3, 2, 1, 0.5]) @ random.standard_normal((6, 6))
    _, factor = least_squares(x, x)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    assert (np.diff(values) > 0).all()
    np.testing.assert_allclose(abs((components_of(factor, 3).numpy() * vectors[:, :-4:-1]).sum(0)), 1, atol=1e-9)


def test_angles_of_planes_that_share_a_line():
    basis = torch.eye(4, dtype=torch.float64)
    turned = torch.stack([basis[0], (basis[1] + basis[2]) / 2**0.5], 1)
    np.testing.assert_allclose(cosines(basis[:, :2], turned), [1, 0.5**0.5], atol=1e-12)
    vectors = torch.stack([basis[0], 2 * basis[0], 0 * basis[0], basis[3]])
    assert span(vectors).shape == (4, 2)
    assert span(vectors[:0]).shape == (4, 0)


def test_chance_is_what_random_subspaces_have():
    random, found = np.random.default_rng(0), []
    for _ in range(300):
        one, other = (np.linalg.qr(random.standard_normal((20, size)))[0] for size in (6, 3))
        found.append((np.linalg.svd(one.T @ other, compute_uv=False) ** 2).mean())
    result = angles(np.array([0.5, 0.1, 0.0]), 6, 3, 20)
    assert np.mean(found) == pytest.approx(result["chance"], abs=4 * np.std(found) / 300**0.5)
    assert result["mean_square"] == pytest.approx(0.26 / 3)
    assert angles(np.array([]), 6, 0, 20) == {"dimensions": 0, "cosines": [], "mean_square": None, "chance": None}


def test_dense_latents_fire_on_more_than_a_tenth_of_the_kept_rows(case):
    rebuilt = open_sample(**arguments(case)).sae
    kept = np.ones((CONTEXTS, POSITIONS), bool)
    kept[:, 50:] = False
    share = firing_share(rebuilt, kept)
    fires = (rebuilt.index == 3) & (rebuilt.value != 0)
    assert share[3] == fires[kept].any(1).mean()
    dense, others = chosen_latents(np.array([0.5, 0.1, 0.0, 0.05, 0.2, 0.01]), 0)
    assert dense.tolist() == [0, 4] and len(others) == 2 and {*others} <= {1, 3, 5}
    assert chosen_latents(np.array([0.5, 0.4, 0.0]), 0)[1].tolist() == []


@pytest.mark.parametrize("d_model", [3, 24, 576, 3584])
def test_ranks_that_are_stored_hold_those_that_are_shown(d_model):
    ranks = stored_ranks(d_model)
    assert ranks == sorted({*ranks}) and ranks[0] == 0 and ranks[-1] == d_model
    assert {rank for rank in RANKS if rank < d_model} <= {*ranks}
    assert all(after - before <= 0.16 * before + 1 for before, after in pairwise(ranks))


def test_a_share_is_crossed_between_two_ranks():
    ranks = np.array([0.0, 1, 2, 6])
    shares = np.array([[0, 0.25, 0.5, 1], [0, 0.4, 0.6, 1], [0, 0.1, 0.2, 1], [np.nan] * 4])
    np.testing.assert_allclose(crossing(ranks, shares, 0.5), [2, 1.5, 2 + 4 * 0.3 / 0.8, np.nan])


def curve_of(variances):
    """(r50 of a known spectrum, by the same interpolation)."""
    ranks = np.array(stored_ranks(len(variances)))
    shares = np.concatenate([[0], np.cumsum(variances)])[ranks] / variances.sum()
    return ranks, float(crossing(ranks.astype(float), shares[None], HALF)[0])


def test_the_interval_of_r50_covers_the_truth():
    """Contexts, as many as the default profile has, differ in how strong their directions are.

    The truth is that of endlessly many of them. What 95 % give in so many trials lies between the bounds all but once
    in a thousand times.
    """
    variances = 1 / (5 + np.arange(60.0))
    ranks, truth = curve_of(variances)
    random, contexts, hits, trials = np.random.default_rng(0), 100, 0, 400
    rows = np.full((3, contexts), 10.0)
    for trial in range(trials):
        bootstrap = {"resamples": 400, "level": 0.95, "seed": trial}
        shared = HookpointSums(rows, rows, np.zeros((3, contexts, contexts)), {}, bootstrap)
        squares = variances * random.gamma(2, 0.5, (contexts, 60)) * random.gamma(3, 1 / 3, (contexts, 1))
        linear = np.concatenate([np.zeros((contexts, 1)), squares.cumsum(1)], 1)[:, ranks]
        none = np.zeros(contexts)
        sums = RankSums(shared.views["token"], ranks.astype(float), linear, linear, {"in_components": none}, 60)
        found = sums.estimate(sums.rank_holding(HALF))
        hits += found["low"] <= truth <= found["high"]
    fewest, most = binom.interval(0.999, trials, 0.95)
    assert fewest <= hits <= most


PARAMS = profile_params("smoke")


@pytest.fixture(scope="module")
def made():
    return fake_sums(PARAMS)


def test_the_results_are_those_of_the_sums(made):
    arrays, shared, _ = made
    results = results_of(*made, PARAMS)
    for sae in results["saes"]:
        for split in SPLITS:
            used = shared[sae["hookpoint"]]["rows"][ROW_SETS.index(split)] > 0
            linear, left = (
                arrays[f"{sae['hookpoint']}/{sae['name']}/{split}/{name}"][used] for name in ("linear", "left")
            )
            ranks = arrays[f"{sae['hookpoint']}/{sae['name']}/ranks"].tolist()
            numbers = sae["estimates"][split]
            for point in numbers["curve"]:
                place = ranks.index(point["rank"])
                assert point["share"]["value"] == pytest.approx(linear[:, place].sum() / linear[:, -1].sum())
                square = shared[sae["hookpoint"]]["square"][ROW_SETS.index(split)][used].sum()
                assert point["fvu"]["value"] == pytest.approx(left[:, place].sum() / square)
            assert numbers["curve"][-1]["rank"] == results["d_model"] == ranks[-1]
            assert numbers["r50"]["value"] < numbers["r90"]["value"] <= results["d_model"]
            assert numbers["in_components"]["value"] == pytest.approx(0.2)


def test_cross_entropy_is_recovered_as_planted(made):
    results = results_of(*made, PARAMS)
    for row in results["cross_entropy"]:
        (at_rank,) = (point for point in row["curve"] if point["rank"] == RANK)
        assert at_rank["of_linear"]["value"] == pytest.approx(0.3, abs=0.05)
        assert at_rank["of_clean"]["value"] == pytest.approx(0.6 * at_rank["of_linear"]["value"], rel=1e-9)


def test_slopes_find_a_planted_trend_in_width():
    """r50 of a flat spectrum over the first m directions is m/2; m is planted as a function of the width."""
    widths = {spec.path: spec.d_sae for spec in PARAMS.sae_specs()}
    smallest = min(widths.values())

    def spectrum(path):
        directions = 16 + 8 * np.log2(widths[path] / smallest)
        return np.where(np.arange(96) < directions, 1.0, 1e-9)

    slopes = results_of(*fake_sums(PARAMS, spectrum), PARAMS)["estimands"]["linear_error_rank_slopes"]
    assert slopes["width"]["value"] == pytest.approx(4 / 96, rel=0.1)
    assert abs(slopes["l0"]["value"]) < 0.01


def test_derived_results_are_those_that_were_written(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reports = reports_of(PARAMS.profile)
    arrays, shared, downstream = made
    for hookpoint, sums in shared.items():
        write_arrays(reports.sums / f"{hookpoint}.npz", sums)
    write_arrays(reports.results / "downstream_sums.npz", downstream)
    committed = plain(results_of(*made, PARAMS))
    stored = {"linear_rank_sums.npz": arrays}
    assert plain(derive(stored, committed, PARAMS)) == committed
    spoiled = copy.deepcopy(arrays)
    first = committed["saes"][0]
    spoiled[f"{first['hookpoint']}/{first['name']}/token/linear"][:, 1:3] *= 1.01
    assert plain(derive({"linear_rank_sums.npz": spoiled}, committed, PARAMS)) != committed


def test_tables_are_stored_in_float32_and_numbers_hardly_move(made):
    arrays, shared, downstream = made
    paths = [name.removesuffix("/token/linear") for name in arrays if name.endswith("/token/linear")]
    splices = select(arrays, SPLICES)
    kept = stored(
        {path: select(arrays, path) for path in paths},
        [
            {name: np.asarray(value[context]) for name, value in splices.items()}
            for context in range(len(splices["rows"]))
        ],
    )
    assert kept.keys() == arrays.keys()
    tables = {name for name, array in kept.items() if array.dtype == np.float32}
    assert {name.rpartition("/")[2] for name in tables} == {"linear", "left"}
    exact, rounded = (results_of(one, shared, downstream, PARAMS) for one in (arrays, kept))
    for one, other in zip(exact["saes"], rounded["saes"], strict=True):
        for name in ("r50", "r90"):
            value = other["estimates"]["token"][name]
            assert value == pytest.approx(one["estimates"]["token"][name], rel=1e-5)


def test_float32_rows_far_from_zero_keep_their_digits(case, rows, monkeypatch):
    """The same sums from float64 products: what float32 costs is far below an interval."""
    precise = compute.open_sample(**arguments(case))
    assert precise.prepared.products == torch.float32
    maps = error_maps(precise)
    fitted = {split: directions_of(maps[split], precise.prepared.factors[split]) for split in SPLITS}
    spans = {split: {"in_dense": torch.eye(D_MODEL, dtype=torch.float64)[:, :1]} for split in SPLITS}
    single = compute.held_out_sums(precise, stored_ranks(D_MODEL), fitted, spans)
    monkeypatch.setattr(type(precise.prepared), "products", torch.float64)
    double = compute.held_out_sums(precise, stored_ranks(D_MODEL), fitted, spans)
    for name, sums in double.items():
        np.testing.assert_allclose(single[name].sum(0), sums.sum(0), rtol=1e-5, atol=1e-5)
