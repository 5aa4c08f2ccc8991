"""Sums of random vectors (appendix D): draws, streamed moments against dense least squares, limits, memory."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darkmatter.experiments.random_features import compute as random_features
from darkmatter.experiments.random_features.compute import (
    SUMS,
    MaskedMoments,
    draw_firings,
    draw_vectors,
    firing_probabilities,
    group_parts,
    mask_groups,
    mask_rank,
    masked_sums,
    memory_estimate,
    row_blocks,
    share_sums,
)
from darkmatter.experiments.random_features.estimates import ORDERS, VARIANTS, parabola, random_feature_results
from darkmatter.storage.artifacts import ArtifactError, read_arrays

SHARES = [0, 0.25, 0.5, 0.75, 1]
SIZE = {"features": 60, "d_model": 8, "expected_l0": 5.0, "power_law": 1.0, "rows": 600, "fit_share": 0.6}


def run(folder: Path, order: str = "random", seed: int = 0, **changed):
    folder.mkdir(exist_ok=True)
    masked_sums(folder, **SIZE | {"masked_shares": SHARES, "eigen_cutoff": 1e-12} | changed, order=order, seed=seed)
    return read_arrays(folder / SUMS)


def dense_rows(order: str, seed: int):
    """x' and the masked part of every share, drawn as the unit draws them, with dense activations."""
    probability = firing_probabilities(SIZE["features"], SIZE["expected_l0"], SIZE["power_law"])
    blocks, rows = row_blocks(SIZE["rows"], SIZE["fit_share"])
    y = draw_vectors(seed, SIZE["features"], SIZE["d_model"]).double().numpy()
    rank = mask_rank(order, SIZE["features"], seed)
    w = np.zeros((*blocks.members.shape, SIZE["features"]))
    for block in range(len(w)):
        row, feature = draw_firings(np.random.default_rng([seed, 1, block]), probability, rows)
        w[block, row, feature] = 1
    w = w.reshape(-1, SIZE["features"])
    return w @ y, [(w * (rank < round(share * SIZE["features"]))) @ y for share in SHARES], blocks.members.ravel() == 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block_rows", [1024, 100])
def test_streamed_moments_equal_dense_least_squares(tmp_path, monkeypatch, order, block_rows):
    monkeypatch.setattr(random_features, "BLOCK_ROWS", block_rows)
    sums = run(tmp_path / "a", order)
    x, masked, fit = dense_rows(order, 0)
    assert tuple(random_features.VARIANTS) == VARIANTS
    for number, (fitted, scored) in enumerate(((fit, ~fit), (np.ones_like(fit), np.ones_like(fit)))):
        assert sums["rows"][number] == scored.sum()
        spread = np.square(x[scored] - x[scored].mean(0)).sum()
        assert sums["spread"][number] == pytest.approx(spread, rel=1e-6)
        design = np.column_stack([x, np.ones(len(x))])
        for share, error in enumerate(masked):
            left = (error - design @ scipy.linalg.lstsq(design[fitted], error[fitted])[0])[scored]
            assert sums["error"][number, share] == pytest.approx(np.square(error[scored]).sum(), rel=1e-6)
            assert sums["left"][number, share] / spread == pytest.approx(np.square(left).sum() / spread, abs=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_masked_and_everything_masked_are_both_explained(tmp_path, order):
    """Nothing masked: no error. Everything masked: the error is x' itself, which x' predicts exactly."""
    sums = run(tmp_path / "a", order)
    explained = 1 - sums["left"] / sums["spread"][:, None]
    np.testing.assert_array_equal(explained[:, 0], 1)
    np.testing.assert_allclose(explained[:, -1], 1, atol=1e-12)
    assert (explained[:, 1:-1] < 0.99).all()
    unmasked = 1 - sums["error"] / sums["spread"][:, None]
    assert (explained[1, 1:] > unmasked[1, 1:]).all()  # least squares can only help, on the rows it fits
    assert sums["l0"][0] == pytest.approx(5, abs=0.5)


def test_a_mask_and_its_complement_leave_the_same():
    """e + u = x' makes their residuals opposite: why the curve in random order is symmetric about one half."""
    blocks, rows = row_blocks(500, 0.6)
    y = draw_vectors(3, 40, 6)
    group = mask_groups(mask_rank("random", 40, 3), [0, 10, 20, 40])
    both = []
    for groups in (group, group.max() - group):
        moments = MaskedMoments(blocks, 6, 3)
        for block in range(len(blocks.members)):
            firings = draw_firings(np.random.default_rng(block), np.full(40, 0.1), rows)
            moments.update(block, group_parts(firings, groups, y, rows))
        both.append(share_sums(moments.finish(), [0, 1, 2, 40], 1e-12)["left"])
    forward, backward = both
    np.testing.assert_allclose(forward[:, 1], backward[:, 2], rtol=1e-6)
    np.testing.assert_allclose(forward[:, 2], backward[:, 1], rtol=1e-6)
    assert forward[0, 1] > 1


@settings(max_examples=40)
@given(features=st.integers(2, 500), share=st.floats(0.01, 0.9), power_law=st.floats(0.1, 3), rows=st.integers(1, 60))
def test_probabilities_and_draws(features, share, power_law, rows):
    probability = firing_probabilities(features, share * features, power_law)
    assert probability.sum() == pytest.approx(share * features, rel=1e-9)
    assert probability.max() <= 1
    assert (np.diff(probability) <= 0).all()
    row, feature = draw_firings(np.random.default_rng(0), probability, rows)
    cells = feature * rows + row
    assert len(np.unique(cells)) == len(cells)
    assert 0 <= row.min(initial=0) <= row.max(initial=0) < rows
    assert feature.max(initial=0) < features
    always = np.count_nonzero(probability >= 1)
    assert (np.bincount(feature, minlength=features)[:always] == rows).all()


def test_firings_are_independent_bernoulli_draws():
    """Frequent and rare features alike: rates, variances over blocks, and rows that are all equally likely."""
    probability = np.array([1.0, 0.5, 0.06, 0.04, 0.01])
    blocks, rows = 400, 50
    counts, places = np.zeros((blocks, 5)), np.zeros(rows)
    for block in range(blocks):
        row, feature = draw_firings(np.random.default_rng(block), probability, rows)
        counts[block] = np.bincount(feature, minlength=5)
        places += np.bincount(row[feature == 3], minlength=rows)
    expected, variance = rows * probability, rows * probability * (1 - probability)
    np.testing.assert_array_less(abs(counts.mean(0) - expected), 4 * np.sqrt(variance / blocks) + 1e-9)
    np.testing.assert_array_less(abs(counts.var(0) / np.maximum(variance, 1e-9) - (variance > 0)), 0.35)
    assert scipy.stats.chisquare(places).pvalue > 1e-4
    assert abs(np.corrcoef(counts[:, 1], counts[:, 3])[0, 1]) < 0.2


def test_groups_nest_the_masks():
    edges = [round(share * 11) for share in SHARES]
    rank = mask_rank("least_frequent_first", 11, 0)
    assert rank[-1] == 0
    groups = mask_groups(rank, edges)
    for number, edge in enumerate(edges):
        assert ((groups < number) == (rank < edge)).all()
    assert sorted(mask_rank("random", 50, 1)) == list(range(50))
    parts = group_parts((np.array([0, 0, 2]), np.array([0, 1, 10])), groups, torch.eye(11), 3)
    assert torch.equal(parts.sum(0), torch.tensor([[1.0] * 2 + [0] * 9, [0] * 11, [0] * 10 + [1]]))


def test_seeds_differ_and_repeat(tmp_path):
    first, again, other = (run(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["left"], other["left"])


def test_fewer_rows_than_dimensions_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"10 rows leave too few .* raise random_features\.rows"):
        run(tmp_path / "a", rows=10)


def highest_memory() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def test_memory_does_not_grow_with_rows_and_stays_within_its_estimate(tmp_path):
    """Dense activations of the longer run would take 590 MB, its streamed blocks a twentieth of that."""
    reset = Path("/proc/self/clear_refs")
    try:
        reset.write_text("5")
    except OSError:
        pytest.skip("no /proc/self/clear_refs to reset the highest memory with")
    size = {"features": 12_000, "d_model": 16, "expected_l0": 12}
    run(tmp_path / "warm", **size, rows=2_048)
    used = []
    for name, rows in (("short", 2_048), ("long", 12_288)):
        reset.write_text("5")
        before = highest_memory()
        run(tmp_path / name, **size, rows=rows)
        used.append(highest_memory() - before)
    slack = 24 << 20
    assert used[1] < used[0] + slack
    assert max(used) < memory_estimate(12_000, 16, len(SHARES)) + slack


def test_memory_at_the_papers_size():
    assert 4e9 < memory_estimate(100_000, 4_000, 11) < 7e9
    small, large = (memory_estimate(features, 400, 11) for features in (10_000, 100_000))
    assert large - small == 4 * 90_000 * 400


# --- The parabola --------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(vertex=st.floats(-1, 2), depth=st.floats(0.01, 3))
def test_a_parabola_is_found_exactly(vertex, depth):
    shares = np.linspace(0, 1, 6)
    result = parabola(shares, 0.3 + depth * (shares - vertex) ** 2)
    assert result["curvature"] == pytest.approx(2 * depth)
    assert result["vertex"] == pytest.approx(vertex, abs=1e-6)
    assert result["r2"] == pytest.approx(1)
    assert result["lowest"] == pytest.approx(shares[np.abs(shares - vertex).argmin()], abs=0.21)


def test_a_curve_without_a_minimum_has_no_vertex():
    shares = np.array(SHARES, dtype=float)
    assert parabola(shares, 1 - shares**2)["vertex"] is None
    assert set(parabola(shares, np.ones(5)).values()) == {None}
    sums = {"rows": np.full(2, 9.0), "rank": np.full(2, 3.0), "spread": np.ones(2), "l0": np.ones(1)}
    sums |= {"error": np.tile(shares, (2, 1)), "left": np.tile(shares**2, (2, 1))}
    result = random_feature_results({order: [sums, sums] for order in ORDERS}, SHARES, 0.95)
    claim = result["estimands"]["random_feature_parabola"]
    assert claim["vertex"]["value"] is None
    assert "no minimum" in claim["vertex"]["reason"]
    assert claim["curvature"]["value"] == pytest.approx(-2)


def test_results_are_those_of_the_sums(tmp_path):
    by_seed = {order: [run(tmp_path / f"{order}{seed}", order, seed) for seed in (0, 1)] for order in ORDERS}
    result = random_feature_results(by_seed, SHARES, 0.95)
    for order, seeds in by_seed.items():
        curve = [row["explained"]["value"] for row in result["orders"][order]["held_out"]["curve"]]
        expected = np.mean([1 - sums["left"][0] / sums["spread"][0] for sums in seeds], axis=0)
        np.testing.assert_allclose(curve, expected)
    claim = result["estimands"]["random_feature_parabola"]
    assert claim["curvature"]["low"] <= claim["curvature"]["value"] <= claim["curvature"]["high"]
    assert 0.3 < claim["vertex"]["value"] < 0.7
    alone = result["orders"]["random"]["held_out"]["parabola"]["curvature"]
    assert claim["curvature"]["joint"]["level"] == pytest.approx(0.975)
    assert claim["curvature"]["joint"]["low"] < claim["curvature"]["low"] == alone["low"]
    variants = result["estimands_by_variant"]["token"]
    assert variants["paper"]["random_feature_parabola"] == claim
    assert variants["authors"]["random_feature_parabola"]["vertex"]["rows"] == 600
