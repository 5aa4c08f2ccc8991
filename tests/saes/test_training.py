"""Training: what it refuses, what it leaves behind, and that it learns planted features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE

from darkmatter.params.saes import Training
from darkmatter.params.types import ParamsError
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.train import train_sae
from darkmatter.saes.training.training_rows import open_rows
from darkmatter.storage.artifacts import ArtifactError, sha256_path

CONTEXTS, POSITIONS, D_MODEL, FEATURES, ACTIVE = 6, 300, 16, 24, 3
TRAINING = {
    "batch_size": 128,
    "learning_rate": 0.01,
    "learning_rate_d_sae": 32,
    "learning_rate_max": 0.01,
    "warm_up_steps": 5,
    "decay_share": 0.3,
    "dead_after_tokens": 1000,
    "auxiliary_coefficient": 0.03125,
    "outlier_norm_ratio": 5.0,
    "curve_points": 6,
}


def planted(contexts: int = CONTEXTS) -> np.ndarray:
    """Rows that are sums of ACTIVE of FEATURES directions, far from the origin and on a scale of their own."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(FEATURES, D_MODEL))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    codes = np.zeros((contexts * POSITIONS, FEATURES))
    for row in codes:
        row[rng.choice(FEATURES, ACTIVE, replace=False)] = rng.uniform(1, 3, ACTIVE)
    rows = 40 * (codes @ features) + 100 * rng.normal(size=D_MODEL)
    return rows.reshape(contexts, POSITIONS, D_MODEL).astype(np.float32)


def save(folder: Path, array: np.ndarray) -> Path:
    path = folder / "resid_post.0.npy"
    np.save(path, array)
    return path


def arguments(path: Path, **changed: Any) -> dict[str, Any]:
    return {
        "activations": str(path),
        "contexts": CONTEXTS,
        "hookpoint": "resid_post.0",
        "architecture": "topk",
        "d_sae": 32,
        "k": ACTIVE,
        "seed": 0,
        "train_tokens": 128 * 40,
        "training": TRAINING,
    } | changed


def train(out: Path, path: Path, **changed: Any) -> dict[str, Any]:
    out.mkdir()
    train_sae(out, **arguments(path, **changed))
    return json.loads((out / "training.json").read_text())


def fvu(sae: SAE, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float((x - sae(x)).square().sum() / (x - x.mean(0)).square().sum())


def test_the_dense_trainer_of_accelerators_learns_what_the_sparse_one_does(tmp_path: Path) -> None:
    """`cpu:0` is the CPU by a name that takes sae-lens's own step, as a GPU would."""
    path = save(tmp_path, planted())
    sparse, dense = (train(tmp_path / name.replace(":", "-"), path, device=name) for name in ("cpu", "cpu:0"))
    assert dense["train_fvu"] == pytest.approx(sparse["train_fvu"], rel=0.1)
    assert dense["train_l0"] <= ACTIVE
    assert SAE.load_from_disk(tmp_path / "cpu-0").W_dec.device.type == "cpu"


def test_trained_sae_works_on_raw_activations(tmp_path: Path) -> None:
    """The FVU told by training.json, measured in z, is that of the loaded SAE on x; and it has learned something."""
    array = planted()
    record = train(tmp_path / "sae", save(tmp_path, array))
    x = torch.from_numpy(array.reshape(-1, D_MODEL))
    measured = fvu(SAE.load_from_disk(tmp_path / "sae"), x)
    assert measured == pytest.approx(record["train_fvu"], rel=1e-3)
    assert measured < record["curve"][0]["fvu"]
    longer = train(tmp_path / "longer", save(tmp_path, array), train_tokens=128 * 400)
    assert longer["train_fvu"] < 0.5 * record["train_fvu"]


def test_jumprelu_aims_at_its_l0_and_works_on_raw_activations(tmp_path: Path) -> None:
    """The threshold is folded with the biases: what fires on z fires on x."""
    array = planted()
    record = train(tmp_path / "sae", save(tmp_path, array), architecture="jumprelu", train_tokens=128 * 200)
    sae = SAE.load_from_disk(tmp_path / "sae")
    x = torch.from_numpy(array.reshape(-1, D_MODEL))
    with torch.no_grad():
        l0 = sae.encode(x).count_nonzero().item() / len(x)
    assert sae.cfg.architecture() == "jumprelu"
    assert fvu(sae, x) == pytest.approx(record["train_fvu"], rel=0.02)
    assert l0 == pytest.approx(record["train_l0"], rel=0.02)
    assert ACTIVE / 2 < l0 < ACTIVE * 2
    assert record["train_fvu"] < record["curve"][0]["fvu"] < 1


def test_record(tmp_path: Path) -> None:
    array = planted()
    array[0, 7] *= 100
    record = train(tmp_path / "sae", save(tmp_path, array))
    assert record["dropped_outliers"] == 1
    assert record["distinct_rows"] == CONTEXTS * POSITIONS - 1
    assert record["tokens"] == 128 * 40 == record["curve"][-1]["tokens"]
    assert len(record["curve"]) == TRAINING["curve_points"]
    rates = [point["learning_rate"] for point in record["curve"]]
    assert max(rates) == record["learning_rate"] == pytest.approx(0.01)
    assert rates[-1] < 0.1 * max(rates)
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert config["architecture"] == "topk"
    assert config["metadata"]["hook_name"] == "resid_post.0"
    assert list(config) == sorted(config)


def test_same_seed_same_bytes_another_seed_another_sae(tmp_path: Path) -> None:
    path = save(tmp_path, planted())
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, path, seed=seed)
    first, second, third = (sha256_path(tmp_path / name) for name in "abc")
    assert first == second != third


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"k": 33}, ParamsError, "exceeds d_sae"),
        ({"train_tokens": 128 * 6}, ParamsError, "too few"),
        ({"contexts": CONTEXTS + 1}, ArtifactError, "asked for"),
        ({"training": TRAINING | {"batch_size": 4096}, "train_tokens": 10**6}, ArtifactError, "one batch"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    tmp_path: Path, changed: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        train(tmp_path / "sae", save(tmp_path, planted()), **changed)
    assert not list((tmp_path / "sae").iterdir())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_damaged_activations_are_refused_with_their_place(tmp_path: Path, bad: float) -> None:
    array = planted()
    array[2, 5, 3] = bad
    with pytest.raises(ArtifactError, match="context 2, position index 5"):
        train(tmp_path / "sae", save(tmp_path, array))


@pytest.mark.parametrize("array", [np.zeros((4, 8), np.float32), np.zeros((CONTEXTS, 300, 4), np.float64)])
def test_arrays_of_another_kind_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ArtifactError, match="expected float32"):
        train(tmp_path / "sae", save(tmp_path, array))


def test_equal_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="all rows are equal"):
        train(tmp_path / "sae", save(tmp_path, np.ones((CONTEXTS, POSITIONS, D_MODEL), np.float32)))


def test_standardised_rows_have_mean_zero_and_squared_norm_d_model(tmp_path: Path) -> None:
    array = planted()
    array[1, 1] *= 1000  # an outlier must not move the mean
    rows = open_rows(save(tmp_path, array), CONTEXTS, 5.0, 10)
    z = rows.standardised(np.arange(len(rows.kept))).astype(np.float64)
    assert np.abs(z.mean(0)).max() < 1e-4
    assert np.square(z).sum(1).mean() == pytest.approx(D_MODEL, rel=1e-5)


def test_each_epoch_holds_every_row_once_in_another_order(tmp_path: Path) -> None:
    rows = open_rows(save(tmp_path, planted(1)), 1, 5.0, 10)
    batches = rows.batches(70, seed=3)
    drawn = np.concatenate([next(batches) for _ in range(9)])[: 2 * POSITIONS]
    everything = rows.standardised(np.arange(POSITIONS))
    epochs = drawn[:POSITIONS], drawn[POSITIONS:]
    for epoch in epochs:
        assert np.array_equal(np.unique(epoch, axis=0), np.unique(everything, axis=0))
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize(("d_sae", "rate"), [(32, 0.01), (128, 0.005), (8, 0.01)])
def test_learning_rate_falls_with_the_root_of_width_and_is_capped(d_sae: int, rate: float) -> None:
    assert Schedule.of(Training(**TRAINING), d_sae, 10**5).learning_rate == pytest.approx(rate)
