"""Parts of errors whose truth is known: exact worlds, a naive reference, the identity behind the gain of pursuit."""

import copy

import numpy as np
import pytest
import torch
from fake_ground_truth import WORLD, fake_sums, vectors
from profiles import profile_params
from schema_errors import errors

from darkmatter.audit.compare import compare
from darkmatter.experiments.ground_truth.compute import KnownRows, code_sums, latents_of_features, measure
from darkmatter.experiments.ground_truth.estimates import (
    ERROR,
    LINEAR,
    NONLINEAR,
    PART,
    Products,
    PursuitGain,
    SaeSums,
    X,
    across,
)
from darkmatter.experiments.ground_truth.names import ENCODERS, OWN, PARTS, PURSUIT, STORED, SUMS
from darkmatter.experiments.ground_truth.results import derive, results_of
from darkmatter.experiments.ground_truth.train import CODES, DECODER
from darkmatter.experiments.ground_truth.world import EVAL, TRUTH
from darkmatter.regression.splits import draw_splits
from darkmatter.storage.artifacts import plain, read_arrays, write_arrays

CONTEXTS, ROWS, D_MODEL = 10, 80, 12
SPLIT = {"fit_share": 0.6, "split_seed": 0, "eigen_cutoff": 1e-12}
BOOTSTRAP = {"resamples": 200, "level": 0.95, "seed": 0}


def sparse_weights(features: int, random: np.random.Generator) -> np.ndarray:
    shape = (CONTEXTS * ROWS, features)
    return (random.random(shape) < 0.3) * random.uniform(0.5, 1.5, shape)


def unit_rows(count: int, random: np.random.Generator) -> np.ndarray:
    drawn = random.standard_normal((count, D_MODEL))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


class Case:
    """A world and an SAE in files, with known weights and codes."""

    def __init__(self, folder, directions, weights, dense, W_dec, codes, b_dec):
        self.folder, self.directions, self.weights, self.dense = folder, directions, weights, dense
        self.W_dec, self.codes, self.b_dec = W_dec, codes, b_dec
        self.x = weights @ directions + dense
        for name in ("world", "trained", "out"):
            (folder / name).mkdir()
        np.save(folder / "world" / EVAL, self.x.astype(np.float32).reshape(CONTEXTS, ROWS, D_MODEL))
        truth = {"weights": weights, "dense": dense, "directions": directions}
        write_arrays(folder / "world" / TRUTH, {name: part.astype(np.float32) for name, part in truth.items()})
        index = np.tile(np.arange(codes.shape[1], dtype=np.int32), (len(codes), 1)) * (codes != 0)
        l0 = (codes != 0).sum(1).astype(np.int32)
        write_arrays(folder / "trained" / CODES, {"index": index, "value": codes.astype(np.float32), "l0": l0})
        decoder = {"W_dec": W_dec.astype(np.float32), "b_dec": b_dec.astype(np.float32)}
        write_arrays(folder / "trained" / DECODER, decoder)

    def sums(self, cosines=(0.7,)):
        files = {"world": str(self.folder / "world"), "trained": str(self.folder / "trained")}
        measure(self.folder / "out", **files, cosines=list(cosines), **SPLIT)
        return SaeSums.of(read_arrays(self.folder / "out" / SUMS), BOOTSTRAP)


def value(products: Products, one, other) -> float:
    return float(products.of(one, other).sum())


def test_the_true_dictionary_with_the_true_codes_introduces_nothing(tmp_path):
    random = np.random.default_rng(0)
    directions, weights = unit_rows(20, random), sparse_weights(20, random)
    dense = 0.2 * random.standard_normal((CONTEXTS * ROWS, D_MODEL))
    case = Case(tmp_path, directions, weights, dense, directions, weights, np.zeros(D_MODEL))
    sums = case.sums()
    products = sums.products(OWN, 0.7)
    for part in ("absent", "introduced"):
        assert value(products, PART[part], PART[part]) < 1e-10 * value(products, X, X)
    assert value(products, ERROR, ERROR) == pytest.approx(value(products, PART["dense"], PART["dense"]), rel=1e-5)
    codes = plain(sums.codes(OWN))
    assert (codes["precision"]["value"], codes["recall"]["value"]) == (1, 1) and codes["code_error"]["value"] < 1e-10


def test_absent_orthogonal_features_are_the_linear_error(tmp_path):
    """Of orthogonal features x tells each apart: what is not coded is linear in x, and nothing is nonlinear."""
    random = np.random.default_rng(1)
    directions = np.linalg.qr(random.standard_normal((D_MODEL, D_MODEL)))[0]
    weights, has = sparse_weights(D_MODEL, random), 8
    b_dec = weights[:, has:].mean(0) @ directions[has:]
    none = np.zeros((CONTEXTS * ROWS, D_MODEL))
    case = Case(tmp_path, directions, weights, none, directions[:has], weights[:, :has], b_dec)
    sums = case.sums()
    products, parts = sums.products(OWN, 0.7), plain(sums.parts(0.7))
    absent = value(products, PART["absent"], PART["absent"])
    assert absent == pytest.approx(value(products, ERROR, ERROR), rel=1e-5) and absent > 0.1 * value(products, X, X)
    assert value(products, PART["introduced"], PART["introduced"]) < 1e-9 * absent
    assert value(products, NONLINEAR, NONLINEAR) < 1e-9 * absent
    assert parts["absent"]["linearity"]["value"] == pytest.approx(1, abs=1e-9)
    assert parts["absent"]["of_linear"]["value"] == pytest.approx(1, abs=1e-5)
    assert parts["absent"]["correlation_linear"]["value"] == pytest.approx(1, abs=1e-5)
    assert read_arrays(tmp_path / "out" / SUMS)["known/0.7"] == has


def test_of_isotropic_gaussians_a_map_finds_the_share_of_x(tmp_path):
    """x = T + a, both isotropic: R² of a is its share α of x; held out it is lower by the noise of the fit."""
    random = np.random.default_rng(2)
    directions = np.linalg.qr(random.standard_normal((D_MODEL, D_MODEL)))[0]
    both = np.concatenate([directions, directions])  # the second copies are other features in the same directions
    weights = np.concatenate([0.8 * random.standard_normal((CONTEXTS * ROWS, D_MODEL)) for _ in range(2)], 1)
    weights[:, D_MODEL:] *= 0.75
    none = np.zeros((CONTEXTS * ROWS, D_MODEL))
    case = Case(tmp_path, both, weights, none, directions, weights[:, :D_MODEL], np.zeros(D_MODEL))
    alpha = 0.75**2 / (1 + 0.75**2)
    fit_rows = SPLIT["fit_share"] * CONTEXTS * ROWS
    found = plain(case.sums().parts(0.7))["absent"]
    assert found["size"]["value"] == pytest.approx(alpha, abs=0.03)
    assert found["linearity"]["value"] == pytest.approx(1 - (1 - alpha) * (1 + D_MODEL / fit_rows), abs=0.05)


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    """Superposition, a dense part, latents near features or not, codes with errors."""
    random = np.random.default_rng(3)
    directions, weights = unit_rows(24, random), sparse_weights(24, random)
    W_dec = directions[:10] + 0.15 * random.standard_normal((10, D_MODEL))
    W_dec /= np.linalg.norm(W_dec, axis=1, keepdims=True)
    codes = (weights[:, :10] * random.uniform(0.5, 1.3, (CONTEXTS * ROWS, 10))).clip(min=0)
    codes[:, 9] += (random.random(len(codes)) < 0.1) * 0.7
    dense = 0.2 * random.standard_normal((CONTEXTS * ROWS, D_MODEL))
    return Case(
        tmp_path_factory.mktemp("messy"),
        directions,
        weights,
        dense,
        W_dec,
        codes,
        weights[:, 10:].mean(0) @ directions[10:],
    )


def test_sums_are_those_of_a_naive_reference(messy):
    cosines = (0.7, 0.95)
    sums = messy.sums(cosines)
    fits = draw_splits(CONTEXTS, ROWS, 0.6, 2, 0).token_fit.reshape(-1)
    x = messy.x.astype(np.float32).astype(np.float64)
    design = np.column_stack([x, np.ones(len(x))])
    _, best = latents_of_features(messy.W_dec, messy.directions)
    assert 0 < (best >= 0.95).sum() < (best >= 0.7).sum() < 24
    error = x - (messy.codes @ messy.W_dec + messy.b_dec)
    for cosine in cosines:
        gone = best < cosine
        absent = (messy.weights[:, gone] - messy.weights[:, gone].mean(0)) @ messy.directions[gone]
        parts = [absent, messy.dense, error - absent - messy.dense]
        linear = [design @ np.linalg.lstsq(design[fits], part[fits], rcond=None)[0] for part in parts]
        naive = np.stack([x - x.mean(0), *parts, *linear])
        for context in range(CONTEXTS):
            scored = np.arange(context * ROWS, (context + 1) * ROWS)
            scored = scored[~fits[scored]]
            expected = np.einsum("urd,vrd->uv", naive[:, scored], naive[:, scored])
            found = sums.products(OWN, cosine).square[context]
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4 * abs(expected).max())
    np.testing.assert_array_equal(sums.arrays["rows"], (~fits).reshape(CONTEXTS, ROWS).sum(1))


def test_parts_of_a_whole_have_the_sum_one(messy):
    parts = plain(messy.sums().parts(0.7))
    for whole in ("of_error", "of_linear", "of_nonlinear"):
        assert sum(parts[part][whole]["value"] for part in PARTS) == pytest.approx(1, abs=1e-12)


def test_the_parts_of_a_gain_add_up_to_it_and_pursuit_keeps_l0(messy):
    sums = messy.sums()
    gain = sums.gain(0.7)
    assert gain.whole.sum() > 0
    np.testing.assert_allclose(sum(gain.terms.values()), gain.whole, rtol=1e-9, atol=1e-9 * abs(gain.whole).max())
    shares = [float(gain.share(part)(np.ones((1, CONTEXTS)))[0]) for part in PARTS]
    assert sum(shares) == pytest.approx(1)
    l0 = {encoder: plain(sums.codes(encoder))["l0"]["value"] for encoder in ENCODERS}
    assert l0[PURSUIT] == pytest.approx(l0[OWN], rel=0.02)


def test_codes_are_counted_as_a_loop_counts_them(messy):
    latents, best = latents_of_features(messy.W_dec, messy.directions)
    known, scored = best >= 0.7, np.random.default_rng(0).random((CONTEXTS, ROWS)) < 0.5
    stored = read_arrays(messy.folder / "trained" / CODES)
    found = code_sums(stored, KnownRows.of(messy.folder / "world"), latents, known, torch.from_numpy(scored))
    expected = {name: np.zeros(CONTEXTS) for name in found}
    for context, position in zip(*np.nonzero(scored), strict=True):
        row = context * ROWS + position
        w, v = (
            messy.weights[row].astype(np.float32).astype(np.float64),
            messy.codes[row].astype(np.float32).astype(np.float64),
        )
        expected["latents"][context] += np.count_nonzero(v)
        expected["features"][context] += np.count_nonzero(w)
        for feature in np.flatnonzero(known):
            code = v[latents[feature]]
            expected["found"][context] += code > 0 and w[feature] > 0
            expected["square"][context] += w[feature] ** 2
            expected["error"][context] += (code - w[feature]) ** 2
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-12, err_msg=name)


def test_each_feature_gets_the_latent_that_was_made_for_it():
    random = np.random.default_rng(4)
    directions, order = unit_rows(15, random), random.permutation(15)
    latents, best = latents_of_features(directions[order], directions)
    np.testing.assert_array_equal(order[latents], np.arange(15))
    np.testing.assert_allclose(best, 1)
    latents, best = latents_of_features(-directions[order][:6], directions)
    assert (latents >= 0).sum() == 6 and len({*latents[latents >= 0]}) == 6
    assert (best[latents < 0] == 0).all() and best.max() < 0.9  # an opposite direction stands for no feature


def test_the_fake_world_has_the_numbers_that_its_picture_says():
    """Shares by hand: of LinearError (α + s) / f with f what x has of SaeError, of absent features α is linear."""
    numbers = {name: ends[0] for name, ends in WORLD.items()}
    drawn = vectors(numbers, np.random.default_rng(0)).reshape(7, 16, -1)
    above = np.triu_indices(7)
    products = Products(np.einsum("ucp,vcp->cuv", drawn, drawn)[:, above[0], above[1]])
    all_of_them = np.ones((1, 16))
    f = 0.65 * 0.55 + 0.05 + 0.1 * 0.4
    assert products.share("introduced", LINEAR)(all_of_them)[0] == pytest.approx(1 - 0.6 / f, abs=0.03)
    assert products.linearity("absent")(all_of_them)[0] == pytest.approx(0.55, abs=0.02)
    assert products.fvu()(all_of_them)[0] == pytest.approx(0.65**2 * 0.55 + 0.05 + 0.01 * 0.4 + 0.19, abs=0.02)


def test_a_correlation_over_saes_is_pearsons():
    random = np.random.default_rng(5)
    saes = [Products(random.random((4, 28))) for _ in range(6)]

    def number(column):
        return lambda sae: lambda weights: weights @ sae.pairs[:, column]

    weights = random.integers(0, 3, (5, 4)).astype(float)
    found = across(saes, number(0), number(1))(weights)
    for row, one in zip(weights, found, strict=True):
        left, right = (np.array([row @ sae.pairs[:, column] for sae in saes]) for column in (0, 1))
        assert one == pytest.approx(np.corrcoef(left, right)[0, 1])


def test_the_gain_of_codes_that_come_closer_is_all_features():
    """Introduced halves, and nothing else of it goes with absent features or Dense."""
    own, pursued = np.zeros((1, 7, 7)), np.zeros((1, 7, 7))
    own[0, 3, 3], pursued[0, 3, 3] = 4.0, 1.0
    above = np.triu_indices(7)
    gain = PursuitGain(*(Products(square[:, above[0], above[1]]) for square in (own, pursued)))
    assert [float(gain.share(part)(np.ones((1, 1)))[0]) for part in PARTS] == [0, 0, 1]


def test_results_have_their_schema_and_are_derived_again():
    params = profile_params("smoke")
    arrays = fake_sums(params)
    content = plain(results_of(arrays, params))
    assert errors(content, "ground_truth") == []
    result = compare(content, plain(derive({STORED: arrays}, content, params)))
    assert result.differing == [] and result.derived > 300
    first = params.ground_truth.saes[0].name
    changed = copy.deepcopy(arrays)
    changed[f"{first}/products/own/0.7"][0, 0] *= 1.01
    differing = compare(content, plain(derive({STORED: changed}, content, params))).differing
    assert any("fvu" in path for path, *_ in differing)
