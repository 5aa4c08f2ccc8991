"""SAEs on both parts of an error: the split against a dense reference, scores, intervals over seeds, bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from decomposition_reference import fvu, r2, regress
from sae_lens import TopKSAE, TopKSAEConfig

from darkmatter.experiments.error_saes.compute import score, train_error_sae
from darkmatter.experiments.error_saes.error_parts import write_part
from darkmatter.experiments.error_saes.estimates import over_contexts_and_seeds, results, scored_of
from darkmatter.experiments.error_saes.names import PARTS, SUMS, sae_name
from darkmatter.experiments.error_saes.results import stored
from darkmatter.models.activation_files import Bfloat16, narrowed, open_activations, widened
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json

TRAIN, EVAL, POSITIONS, D_MODEL, D_SAE, K = 8, 6, 60, 8, 16, 2
TRAINING = {
    "batch_size": 64,
    "learning_rate": 0.003,
    "learning_rate_d_sae": 4096,
    "learning_rate_max": 0.004,
    "warm_up_steps": 5,
    "decay_share": 0.3,
    "dead_after_tokens": 1000,
    "auxiliary_coefficient": 0.03125,
    "outlier_norm_ratio": 5.0,
    "curve_points": 4,
}
BOOTSTRAP = {"resamples": 200, "level": 0.95, "seed": 0}


def base_sae(folder: Path, d_model: int = D_MODEL) -> TopKSAE:
    """The two strongest of ±e_i, shrunk: its error has a linear part and another."""
    torch.manual_seed(0)
    sae = TopKSAE(TopKSAEConfig(d_in=d_model, d_sae=2 * d_model, k=K))
    basis = torch.eye(d_model)
    sae.W_enc.data = 0.8 * torch.cat([basis, -basis]).T.contiguous()
    sae.W_dec.data = torch.cat([basis, -basis])
    sae.b_dec.data = torch.linspace(4.8, 5.2, d_model)
    sae.save_model(folder)
    return sae


def activations(path: Path, contexts: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.laplace(size=(contexts, POSITIONS, D_MODEL)) @ np.diag(np.linspace(1, 3, D_MODEL)) + 5
    np.save(path, x.astype(np.float32))
    return x.astype(np.float32)


def arguments(folder: Path, **changed: Any) -> dict[str, Any]:
    files = {"train": f"{folder}/train.npy", "held_out": f"{folder}/eval.npy", "sae": f"{folder}/base"}
    return files | {"contexts": TRAIN, "architecture": "topk", "d_sae": D_SAE, "k": K, "cutoff": 1e-12} | changed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("error_saes")
    activations(path / "train.npy", TRAIN, 0)
    activations(path / "eval.npy", EVAL, 1)
    base_sae(path / "base")
    (path / "parts").mkdir()
    for part in PARTS:
        write_part(path / "parts", part, **arguments(path))
    return path


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """One SAE of each part and each of two seeds."""
    for part in PARTS:
        for seed in (0, 1):
            out = folder / "saes" / sae_name(part, seed)
            out.mkdir(parents=True)
            budget = {"hookpoint": "resid_post.1", "d_sae": 12, "k": 3, "seed": seed, "train_tokens": 64 * 60}
            train_error_sae(out, str(folder / "parts"), part, TRAIN, training=TRAINING, **budget)
    return folder / "saes"


def part_rows(folder: Path, side: str, part: str) -> np.ndarray:
    return np.load(folder / "parts" / f"{side}-{part}.npy").reshape(-1, D_MODEL).astype(np.float64)


def test_parts_are_those_of_a_dense_regression_on_training_rows(folder: Path) -> None:
    x = {side: np.load(folder / f"{side}.npy").reshape(-1, D_MODEL) for side in ("train", "eval")}
    sae = base_sae(folder / "again")
    with torch.no_grad():
        error = {side: rows - sae(torch.from_numpy(rows)).numpy() for side, rows in x.items()}
    both = np.concatenate([x["train"], x["eval"]]).astype(np.float64)
    fitted = np.arange(len(both)) < len(x["train"])
    linear = regress(both, np.concatenate([error["train"], error["eval"]]).astype(np.float64), fitted)
    for side, rows in (("train", fitted), ("eval", ~fitted)):
        np.testing.assert_allclose(part_rows(folder, side, "linear"), linear[rows], atol=2e-5)
        total = part_rows(folder, side, "linear") + part_rows(folder, side, "nonlinear")
        np.testing.assert_allclose(total, error[side], atol=2e-6)
    facts = read_arrays(folder / "parts" / "map.npz")["facts"]
    assert facts[:2].tolist() == [TRAIN * POSITIONS, D_MODEL]


def test_parts_of_bfloat16_activations_are_rounded_to_bfloat16(folder: Path, tmp_path: Path) -> None:
    for side in ("train", "eval"):
        x = np.load(folder / f"{side}.npy")
        np.save(tmp_path / f"{side}.npy", narrowed(x))
        np.save(tmp_path / f"{side}-single.npy", widened(narrowed(x)))
    single = {"train": f"{tmp_path}/train-single.npy", "held_out": f"{tmp_path}/eval-single.npy"}
    half = {"train": f"{tmp_path}/train.npy", "held_out": f"{tmp_path}/eval.npy"}
    for name, files in (("single", single), ("half", half)):
        (tmp_path / name).mkdir()
        for part in PARTS:
            write_part(tmp_path / name, part, **arguments(folder, **files))
    for part in PARTS:
        for side in ("train", "eval"):
            exact, rounded = (open_activations(tmp_path / name / f"{side}-{part}.npy") for name in ("single", "half"))
            assert isinstance(rounded, Bfloat16) and not isinstance(exact, Bfloat16)
            gap = np.square(np.asarray(rounded) - exact).sum() / np.square(exact).sum()
            assert 1e-8 < gap < 1e-4, (part, side)


def test_nonlinear_error_has_nothing_linear_left_on_training_rows(folder: Path) -> None:
    x = np.load(folder / "train.npy").reshape(-1, D_MODEL).astype(np.float64)
    everything = np.ones(len(x), dtype=bool)
    for part, expected in (("nonlinear", 0.0), ("linear", 1.0)):
        target = part_rows(folder, "train", part)
        assert r2(target, regress(x, target, everything), everything) == pytest.approx(expected, abs=1e-5)


def test_score_is_the_dense_fvu(folder: Path, trained: Path) -> None:
    from sae_lens import SAE

    scores = {(part, seed): read_arrays(trained / sae_name(part, seed) / SUMS) for part in PARTS for seed in (0, 1)}
    sums = stored(scores, np.array([EVAL * POSITIONS, D_MODEL, 10.0]))
    content = results(sums, [0, 1], BOOTSTRAP)
    assert len(content["saes"]) == 4
    for one in content["saes"]:
        t = part_rows(folder, "eval", one["part"])
        sae = SAE.load_from_disk(trained / sae_name(one["part"], one["seed"]))
        with torch.no_grad():
            approximation = sae(torch.from_numpy(t).float()).numpy().astype(np.float64)
        everything = np.ones(len(t), dtype=bool)
        assert one["fvu"]["value"] == pytest.approx(fvu(t, approximation, everything), rel=1e-4)
        assert one["fvu_per_dim"]["value"] == pytest.approx(1 - r2(t, approximation, everything), rel=1e-4)
        assert one["fvu"]["low"] < one["fvu"]["value"] < one["fvu"]["high"] < 1
        curve = read_json(trained / sae_name(one["part"], one["seed"]) / "training.json")["curve"]
        ends = curve[-1]["fvu"], curve[0]["fvu"]
        assert ends[0] < ends[1]
        derived = sums[f"{one['part']}/residual/s{one['seed']}"].sum()
        products = metrics.symmetric(sums[f"{one['part']}/cross"])
        spread = sums[f"{one['part']}/square"].sum() - products.sum() / sums["rows"].sum()
        assert derived / spread == pytest.approx(one["fvu"]["value"])
    claim = content["estimands"]["error_sae_fvu"]
    own = {part: [one["fvu"]["value"] for one in content["saes"] if one["part"] == part] for part in PARTS}
    assert claim["linear"]["value"] == pytest.approx(np.mean(own["linear"]))
    assert claim["difference"]["value"] == pytest.approx(np.mean(own["nonlinear"]) - np.mean(own["linear"]))
    for name, one in claim.items():
        alone = content["over_seeds"]["fvu"][name]
        assert one["joint"]["level"] == pytest.approx(1 - (1 - BOOTSTRAP["level"]) / 3)
        assert one["joint"]["low"] < one["low"] == alone["low"] and one["joint"]["high"] > one["high"]
    norm = {part: np.sqrt((part_rows(folder, "eval", part) ** 2).sum()) for part in PARTS}
    assert content["norm_ratio"]["value"] == pytest.approx(norm["linear"] / norm["nonlinear"], rel=1e-6)


def test_target_without_variance_is_null(tmp_path: Path, folder: Path, trained: Path) -> None:
    np.save(tmp_path / "flat.npy", np.ones((EVAL, POSITIONS, D_MODEL), dtype=np.float32))
    sums = score(tmp_path / "flat.npy", trained / "linear-s0", np.ones((EVAL, POSITIONS), bool))
    flat = scored_of(stored({(part, 0): sums for part in PARTS}, np.zeros(3)), "linear", 0)
    result = over_contexts_and_seeds([flat.fvu, flat.fvu], ContextBootstrap(EVAL, **BOOTSTRAP), sums["rows"], 8)
    assert result["value"] is None and result["low"] is None
    assert result["reason"] == "the target has no variance"


def means(values: np.ndarray) -> list:
    """A statistic for each seed: the weighted mean over contexts of values [seed, context]."""
    return [lambda weights, row=row: weights @ row / weights.sum(1) for row in values]


def test_one_seed_has_no_interval_over_seeds() -> None:
    values = np.random.default_rng(0).normal(size=(1, 20))
    result = over_contexts_and_seeds(means(values), ContextBootstrap(20, **BOOTSTRAP), np.ones(20), 3)
    assert result["value"] is None
    assert "error_saes.seeds" in result["reason"]


def test_equal_seeds_leave_the_interval_over_contexts() -> None:
    row = np.random.default_rng(0).normal(size=40)
    units = ContextBootstrap(40, 2000, 0.95, 0)
    result = over_contexts_and_seeds(means(np.stack([row, row, row])), units, np.ones(40), 3)
    assert result["deviation_seeds"] == pytest.approx(0, abs=1e-15)  # a product rounds by where its row lies in memory
    half = 2.0227 * row.std() / np.sqrt(40)  # Student, 39 degrees of freedom
    assert result["high"] - result["value"] == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize(("of_seeds", "of_contexts"), [(1.0, 0.1), (0.1, 1.0), (0.5, 3.0)])
def test_interval_over_contexts_and_seeds_covers(of_seeds: float, of_contexts: float) -> None:
    """Three seeds, thirty contexts, both random, crossed: the truth lies inside about as often as promised."""
    random = np.random.default_rng(1)
    trials, covered = 400, 0
    for trial in range(trials):
        values = of_seeds * random.normal(size=(3, 1)) + of_contexts * random.normal(size=(1, 30))
        units = ContextBootstrap(30, 100, 0.95, trial)
        result = over_contexts_and_seeds(means(values + 0.1 * random.normal(size=(3, 30))), units, np.ones(30), 3)
        covered += result["low"] <= 0 <= result["high"]
    assert 0.92 <= covered / trials <= 0.99


def test_too_few_contexts_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds 8 contexts, error_saes.train_contexts asks for 9"):
        write_part(tmp_path, "linear", **arguments(folder, contexts=TRAIN + 1))


def test_sae_of_another_model_is_refused(tmp_path: Path, folder: Path) -> None:
    base_sae(tmp_path / "other", d_model=4)
    with pytest.raises(ArtifactError, match="d_model 8"):
        write_part(tmp_path, "linear", **arguments(folder, sae=str(tmp_path / "other"), d_sae=8))


def test_fewer_rows_than_regressors_are_refused(tmp_path: Path, folder: Path) -> None:
    np.save(tmp_path / "short.npy", np.load(folder / "train.npy")[:1, : D_MODEL + 1])
    with pytest.raises(ArtifactError, match="needs more than 9 rows"):
        write_part(tmp_path, "linear", **arguments(folder, train=str(tmp_path / "short.npy"), contexts=1))


def test_nan_is_refused(tmp_path: Path, folder: Path) -> None:
    x = np.load(folder / "train.npy")
    x[3, 5, 2] = np.nan
    np.save(tmp_path / "nan.npy", x)
    with pytest.raises(ArtifactError, match="NaN or infini"):
        write_part(tmp_path, "linear", **arguments(folder, train=str(tmp_path / "nan.npy")))
