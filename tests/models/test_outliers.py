"""Rows of absurd norm: left out of every sum, so that they might as well be absent or twice as large."""

import numpy as np
import pytest
import torch
from decomposition_reference import reference, reference_cross_fit
from safetensors.numpy import save_file

from darkmatter import decompose as decompose_rows
from darkmatter.decomposition.passes import SUMS, decompose
from darkmatter.decomposition.results import regressions
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.components.compute import explain, write_targets
from darkmatter.experiments.controls.compute import CONTROLS, on_activations
from darkmatter.experiments.error_saes.compute import score, silence
from darkmatter.experiments.latent_probe.compute import probe_latents
from darkmatter.experiments.norm_baselines.compute import baselines
from darkmatter.experiments.per_token_scaling.token_series import token_sums
from darkmatter.ledger.estimands.quantities import Formula, Sampled
from darkmatter.models.outliers import kept_rows
from darkmatter.regression.splits import draw_splits
from darkmatter.saes.decoder import load_decoder
from darkmatter.statistics.bootstrap import ContextBootstrap
from darkmatter.statistics.sae_estimates import RowSet, hookpoint_sums, sae_estimates
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays, write_json

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 12, 40, 8, 24, 4
SPLIT = {"fit_share": 150 / 247, "folds": 3, "split_seed": 0}
BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}
SINKS = np.zeros((CONTEXTS, POSITIONS), bool)
SINKS[[0, 0, 1, 5, 7], [0, 3, 39, 11, 11]] = True
KEPT = draw_splits(CONTEXTS, POSITIONS, *SPLIT.values(), ~SINKS)
RATIO = 5.0


@pytest.fixture(autouse=True)
def _double(monkeypatch):
    monkeypatch.setattr("darkmatter.decomposition.shared_moments.SINGLE_PRECISION_CONDITION", 0.0)


def write_case(folder, sink=1e3, rows=slice(None)):
    """Activations with sinks that are `sink` times as long, and the codes of a random TopK SAE on them."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    x = random.standard_normal((CONTEXTS, POSITIONS, D_MODEL)) @ random.standard_normal((D_MODEL, D_MODEL))
    x = (x + random.standard_normal((CONTEXTS, 1, D_MODEL)) + 2).astype(np.float32)
    decoder = random.standard_normal((D_SAE, D_MODEL)).astype(np.float32)
    b_dec = x.mean((0, 1))
    x[SINKS] *= np.float32(sink)
    pre = (x.reshape(-1, D_MODEL) - b_dec) @ decoder.T / D_MODEL
    index = np.sort(np.argsort(-pre, axis=1)[:, :K], axis=1).astype(np.int32)
    value = np.maximum(np.take_along_axis(pre, index, 1), 0).astype(np.float32)
    np.save(folder / "x.npy", x)
    write_arrays(folder / "codes.npz", {"index": index, "value": value, "l0": (value > 0).sum(1).astype(np.int32)})
    write_json(folder / "cfg.json", {"d_sae": D_SAE, "d_in": D_MODEL})
    save_file({"W_dec": decoder, "b_dec": b_dec}, folder / "sae_weights.safetensors")
    sae = load_decoder(folder).sum_of(*map(torch.from_numpy, (index, value)))
    return x.reshape(-1, D_MODEL).astype(np.float64), sae.double().numpy()


def files(folder):
    return {"codes": str(folder / "codes.npz"), "sae": str(folder)}


def run_stage(folder, ratio):
    for name in ("moments", "out"):
        (folder / name).mkdir()
    x = str(folder / "x.npy")
    prepare(folder / "moments", activations=x, eigen_cutoff=1e-12, outlier_norm_ratio=ratio, **SPLIT)
    decompose(folder / "out", activations=x, prepared=str(folder / "moments"), **files(folder), **SPLIT)
    shared = read_arrays(folder / "moments" / "activations.npz")
    rank = {name: int(facts["rank"]) for name, facts in regressions(shared).items()}
    return sae_estimates(hookpoint_sums(shared, rank, BOOTSTRAP), read_arrays(folder / "out" / SUMS))


class Absent:
    """The splits of the rows that are left when the sinks are deleted: one flat list of rows."""

    fold = np.repeat(KEPT.fold, POSITIONS)[~SINKS.ravel()]

    @staticmethod
    def fits_on(name):
        return KEPT.fits_on(name)[~SINKS]


def values(estimates):
    return {name: values(result) if "value" not in result else result["value"] for name, result in estimates.items()}


@pytest.mark.parametrize("split", ["token", "context"])
@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_equals_dense_least_squares_without_these_rows(tmp_path, split, convention):
    x, sae = write_case(tmp_path)
    result = run_stage(tmp_path, RATIO)[split][convention]
    assert result["vector_r2"]["rows"] == (KEPT.row_sets()[["token", "context"].index(split)]).sum()
    result = values(result)
    cross_fit = result.pop("norm_test_cross_fit", None)
    left = ~SINKS.ravel()
    expected = reference(x[left], sae[left], Absent, split, convention)
    assert result.keys() == expected.keys()
    for name, number in expected.items():
        assert result[name] == pytest.approx(number, rel=1e-5), name
    if convention == "paper":
        assert cross_fit == pytest.approx(reference_cross_fit(x[left], sae[left], Absent, 1), abs=1e-7)


def test_a_sink_changes_r2_only_without_the_filter(tmp_path):
    result = {}
    for sink, ratio in ((1, None), (1e3, None), (1e3, RATIO), (1e4, RATIO)):
        write_case(folder := tmp_path / f"{sink:g}-{ratio}", sink)
        result[sink, ratio] = values(run_stage(folder, ratio))
    assert result[1e3, RATIO] == result[1e4, RATIO]
    ordinary, with_sinks, filtered = (
        result[case]["context"]["paper"]["vector_r2"] for case in ((1, None), (1e3, None), (1e3, RATIO))
    )
    assert abs(with_sinks - ordinary) > 0.1
    assert filtered == pytest.approx(ordinary, abs=0.02)


def test_without_outliers_the_filter_changes_no_bit(tmp_path):
    results = []
    for ratio in (None, RATIO):
        write_case(folder := tmp_path / str(ratio), sink=1)
        results.append(run_stage(folder, ratio))
    assert results[0] == results[1]


def run_controls(folder):
    own = {"activations": str(folder / "x.npy"), **files(folder), "contexts": 10, "seed": 0, **SPLIT}
    for control in ("planted", *CONTROLS):
        on_activations(folder, control, [0.0, 0.5], **own, eigen_cutoff=1e-12, outlier_norm_ratio=RATIO)


def run_latent_probe(folder):
    x = str(folder / "x.npy")
    probe_latents(folder, **files(folder), activations=x, **SPLIT, cutoff=1e-12, outlier_norm_ratio=RATIO)


def run_components(folder):
    run_stage(folder, RATIO)
    sample = {"activations": str(folder / "x.npy"), "prepared": str(folder / "moments"), **files(folder), **SPLIT}
    (folder / "targets").mkdir()
    write_targets(folder / "targets", **sample)
    explain(folder, regressors=[files(folder)], targets=str(folder / "targets"), cutoff=1e-12, **sample)


def run_tables(folder):
    run_stage(folder, RATIO)
    table = read_arrays(folder / "out" / "tokens.npz")
    ids = np.arange(CONTEXTS * POSITIONS).reshape(CONTEXTS, POSITIONS) % 7
    loss = np.random.default_rng(0).random(ids.shape)
    write_arrays(folder / "series.npz", token_sums([{"name": "a"}], {"a": table}, KEPT, 6, ids[0]))
    for target, result in baselines(table, np.load(folder / "x.npy"), ids, loss, KEPT, 1e-12).items():
        for name, baseline in result.items():
            write_arrays(folder / f"{target}-{name}.npz", dict(baseline.sums))


def run_score(folder):
    silence(folder / "codes.npz", ~SINKS)
    write_arrays(folder / "score.npz", score(folder / "x.npy", folder, ~SINKS))


@pytest.mark.parametrize("experiment", [run_controls, run_latent_probe, run_components, run_tables, run_score])
def test_no_experiment_sees_how_large_an_outlier_is(tmp_path, experiment):
    """Every sum is the same to the last bit; with the sinks as ordinary rows it is another."""
    results = []
    for sink in (1e3, 2e3):
        write_case(folder := tmp_path / f"{sink:g}", sink)
        experiment(folder)
        files = [path for path in sorted(folder.glob("*.npz")) if path.stem != "codes"]
        results.append({path.stem: read_arrays(path) for path in files})
    assert results[0].keys() == results[1].keys()
    for name, arrays in results[0].items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, results[1][name][key], err_msg=f"{name}: {key}")


def test_shown_tokens_skip_outliers(tmp_path):
    write_case(tmp_path)
    run_tables(tmp_path)
    result = read_arrays(tmp_path / "series.npz")
    assert result["shown_columns"].tolist() == [1, 2, 4, 5, 6, 7]
    assert result["token_ids"].tolist() == [1, 2, 4, 5, 6, 0]
    assert result["tokens"] == (~SINKS).sum()


def test_the_public_function_leaves_them_out_too(tmp_path):
    x, sae = write_case(tmp_path)
    given = sae.reshape(CONTEXTS, POSITIONS, D_MODEL)
    own = {"folds": 3, "resamples": 100, "max_fvu": np.inf}
    result = decompose_rows(x.reshape(given.shape), reconstructions=given, outlier_norm_ratio=RATIO, **own)
    assert (result.rows, result.dropped_rows) == ((~SINKS).sum(), SINKS.sum())
    assert f"({SINKS.sum()} outliers left out)" in result.table()
    expected = values(run_stage(tmp_path, RATIO))["context"]["paper"]["vector_r2"]
    assert result.estimate("vector_r2", "context")["value"] == pytest.approx(expected, rel=1e-6)


def test_kept_rows(tmp_path):
    write_case(tmp_path)
    assert (kept_rows(tmp_path / "x.npy", RATIO) == ~SINKS).all()
    assert kept_rows(tmp_path / "x.npy", None).all()
    assert kept_rows(tmp_path / "x.npy", 1e9).all()


def test_damaged_rows_and_empty_contexts_are_refused(tmp_path):
    x = np.ones((6, 4, 3), np.float32)
    x[2] = 100
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ArtifactError, match=r"context 2 has no row below 5 times .* raise decomposition\.outlier_norm"):
        kept_rows(tmp_path / "x.npy", RATIO)
    x[3, 1, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ArtifactError, match="context 3 holds a NaN"):
        kept_rows(tmp_path / "x.npy", RATIO)


def test_hookpoints_with_other_outliers_are_resampled_together():
    """Their contexts are the same, if not their rows; numbers of other contexts are still refused."""
    bootstrap = ContextBootstrap(3, **BOOTSTRAP)
    rows = [np.array([5.0, 5.0, 4.0]), np.array([5.0, 3.0, 5.0])]
    views = [RowSet(0, np.arange(3), one, bootstrap) for one in rows]
    parts = [Formula(view, lambda weights, own=view.rows: weights @ own, 2) for view in views]
    result = Sampled(parts, lambda numbers: numbers.sum(0)).at(BOOTSTRAP, 1)
    assert (result["value"], result["rows"], result["contexts"]) == (27, 13, 3)
    other = Formula(RowSet(0, np.array([0, 1, 3]), rows[0], bootstrap), parts[0].statistic, 2)
    with pytest.raises(ValueError, match="different contexts"):
        Sampled([parts[0], other], lambda numbers: numbers.sum(0)).at(BOOTSTRAP, 1)
