"""Nulls: the decoder stays, the Gaussian and the random model have the moments they should, and the known answers."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_nulls import WORLD, fake_sums
from profiles import profile_params
from safetensors.torch import load_file
from schema_errors import errors

from darkmatter.audit.compare import compare
from darkmatter.decomposition.passes import decompose
from darkmatter.decomposition.results import MOMENTS
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.nulls import results as nulls_results
from darkmatter.experiments.nulls.estimates import lead
from darkmatter.experiments.nulls.frozen_decoder import train_frozen_decoder
from darkmatter.experiments.nulls.gaussian import EVAL, TRAIN, draw_gaussian
from darkmatter.experiments.nulls.names import FROZEN_DECODER, GAUSSIAN, NULLS, TRAINED
from darkmatter.experiments.nulls.random_model import draw_weights
from darkmatter.experiments.nulls.results import results_of, stored
from darkmatter.models.extract import extract
from darkmatter.models.load import load_model, random_model, save_model
from darkmatter.params.schema import parse_params
from darkmatter.params.types import ParamsError
from darkmatter.saes.open import encode_sae, read_facts
from darkmatter.saes.training.train import train_sae
from darkmatter.statistics.held_out_numbers import HeldOutNumber
from darkmatter.statistics.sae_estimates import HookpointSums
from darkmatter.storage.artifacts import ArtifactError, plain, read_arrays, read_json, sha256_path, write_arrays

PARAMS = profile_params("smoke")
SPLIT = {"fit_share": 0.6, "folds": 3, "split_seed": 0}
D_MODEL, POSITIONS, D_SAE, K = 10, 200, 32, 4
TRAINING = PARAMS.saes.training.model_dump() | {"batch_size": 128}
BUDGET = {"hookpoint": "resid_post.1", "d_sae": D_SAE, "k": K, "seed": 0, "train_tokens": 128 * 60}


def activations(path: Path, contexts: int = 12, seed: int = 0) -> Path:
    """Skewed rows with a mean and correlated dimensions."""
    random = np.random.default_rng([seed])
    mixing = np.random.default_rng(7).standard_normal((D_MODEL, D_MODEL))
    x = random.exponential(size=(contexts, POSITIONS, D_MODEL)) @ mixing + 3
    np.save(path, x.astype(np.float32))
    return path


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    return activations(tmp_path_factory.mktemp("rows") / "train.npy")


@pytest.fixture(scope="module")
def gaussian(train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gaussian")
    held_out = activations(folder / "held_out.npy", contexts=120, seed=1)
    draw_gaussian(folder, str(train), 12, str(held_out), drawn=60, seed=3, outlier_norm_ratio=5.0)
    return folder


def train_both(folder: Path, train: Path) -> tuple[Path, Path]:
    shared = {"activations": str(train), "contexts": 12, "training": TRAINING, **BUDGET}
    for name in ("frozen", "usual"):
        (folder / name).mkdir()
    train_frozen_decoder(folder / "frozen", **shared)
    train_sae(folder / "usual", architecture="topk", **shared)
    return folder / "frozen", folder / "usual"


def test_a_frozen_decoder_is_bit_by_bit_the_one_that_was_drawn(train, tmp_path):
    from darkmatter.experiments.nulls.frozen_trainer import make_frozen_trainer
    from darkmatter.params.saes import Training
    from darkmatter.saes.training.schedule import Schedule
    from darkmatter.saes.training.trainers import make_trainer
    from darkmatter.saes.training.training_rows import open_rows

    frozen, usual = train_both(tmp_path, train)
    settings = Training.model_validate(TRAINING)
    schedule = Schedule.of(settings, D_SAE, BUDGET["train_tokens"])
    rows = open_rows(train, 12, settings.outlier_norm_ratio, schedule.batch_size)
    drawn, first = (make(rows, schedule, settings, D_SAE, K, 0) for make in
                    (make_frozen_trainer, lambda *rest: make_trainer("topk", *rest)))  # fmt: skip
    weights = {folder: load_file(folder / "sae_weights.safetensors") for folder in (frozen, usual)}
    assert torch.equal(weights[frozen]["W_dec"], drawn.sae.W_dec)
    assert torch.equal(drawn.sae.W_dec, first.sae.W_dec) and torch.equal(drawn.sae.W_enc, first.sae.W_enc)
    torch.testing.assert_close(drawn.sae.W_dec.norm(dim=1), torch.ones(D_SAE))
    assert not torch.equal(weights[usual]["W_dec"], weights[frozen]["W_dec"])
    for name in ("W_enc", "b_enc", "b_dec"):  # everything else has learned
        assert not torch.allclose(weights[frozen][name], getattr(drawn.sae, name).detach(), atol=1e-3), name


def test_a_frozen_decoder_leaves_more_than_a_trained_one_and_less_than_everything(train, tmp_path):
    frozen, usual = (read_json(folder / "training.json") for folder in train_both(tmp_path, train))
    assert usual["train_fvu"] < frozen["train_fvu"] < 0.9 and frozen["curve"][-1]["fvu"] < frozen["curve"][0]["fvu"]
    assert {key: read_facts(tmp_path / "frozen")[key] for key in ("architecture", "d_sae", "k", "seed")} == {
        "architecture": "topk",
        **{key: BUDGET[key] for key in ("d_sae", "k", "seed")},
    }
    assert frozen["tokens"] == BUDGET["train_tokens"]


def test_frozen_training_is_the_same_again(train, tmp_path):
    shared = {"activations": str(train), "contexts": 12, "training": TRAINING, **BUDGET}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        train_frozen_decoder(tmp_path / name, **shared)
    assert sha256_path(tmp_path / "one") == sha256_path(tmp_path / "two")


def test_the_gaussian_has_the_moments_of_the_activations_and_no_other(train, gaussian):
    x = np.load(train).reshape(-1, D_MODEL).astype(np.float64)
    x = x[np.linalg.norm(x, axis=1) <= 5 * np.median(np.linalg.norm(x, axis=1))]
    drawn = {name: np.load(gaussian / name) for name in (TRAIN, EVAL)}
    assert {name: rows.shape for name, rows in drawn.items()} == {
        TRAIN: (60, POSITIONS, D_MODEL),
        EVAL: (120, POSITIONS, D_MODEL),
    }
    for rows in drawn.values():
        flat = rows.reshape(-1, D_MODEL).astype(np.float64)
        scale = np.sqrt(np.diag(np.cov(x.T)))
        errors = scale / np.sqrt(len(flat))
        assert (abs(flat.mean(0) - x.mean(0)) < 5 * errors).all()
        np.testing.assert_allclose(np.cov(flat.T), np.cov(x.T), atol=8 * np.outer(errors, scale).max())
        whitened = (flat - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
        assert (abs((whitened**3).mean(0)) < 5 * np.sqrt(15 / len(flat))).all()  # the activations have a skewness
    skewness = (((x - x.mean(0)) / x.std(0)) ** 3).mean(0)
    assert abs(skewness).max() > 0.3
    trained_on, scored = ({row.tobytes() for row in drawn[name].reshape(-1, D_MODEL)} for name in (TRAIN, EVAL))
    assert not trained_on & scored


def test_gaussian_rows_depend_on_their_seed_and_not_on_how_many_are_drawn(train, gaussian, tmp_path):
    held_out = activations(tmp_path / "held_out.npy", contexts=2, seed=1)
    for seed in (3, 4):
        (tmp_path / str(seed)).mkdir()
        draw_gaussian(tmp_path / str(seed), str(train), 12, str(held_out), drawn=2, seed=seed, outlier_norm_ratio=5.0)
    np.testing.assert_array_equal(np.load(tmp_path / "3" / TRAIN), np.load(gaussian / TRAIN)[:2])
    assert not np.isclose(np.load(tmp_path / "4" / TRAIN), np.load(tmp_path / "3" / TRAIN)).any()


@pytest.fixture(scope="module")
def decomposed(gaussian, tmp_path_factory):
    """The whole way of the Gaussian null: an SAE trained on it, its codes, and the decomposition of its error."""
    folder = tmp_path_factory.mktemp("decomposed")
    for name in ("sae", "codes", "moments", "null/sae"):
        (folder / name).mkdir(parents=True)
    budget = BUDGET | {"train_tokens": 128 * 200}
    rows = {"activations": str(gaussian / TRAIN), "contexts": 60}
    train_sae(folder / "sae", architecture="topk", training=TRAINING, **rows, **budget)
    held_out = str(gaussian / EVAL)
    encode_sae(folder / "codes", str(folder / "sae"), held_out, "topk", D_SAE, K)
    prepare(folder / "moments", activations=held_out, eigen_cutoff=1e-12, **SPLIT)
    files = {"prepared": folder / "moments", "codes": folder / "codes" / "codes.npz", "sae": folder / "sae"}
    decompose(folder / "null" / "sae", held_out, **{key: str(path) for key, path in files.items()}, **SPLIT)
    (folder / "null" / MOMENTS).parent.mkdir()
    (folder / "moments" / "activations.npz").rename(folder / "null" / MOMENTS)
    return folder / "null"


BOOTSTRAP = {"resamples": 200, "level": 0.95, "seed": 0}


def numbers_of(folder: Path) -> dict:
    arrays = stored({GAUSSIAN: folder}, ["sae"])
    sums = nulls_results.null_sums(arrays)[GAUSSIAN]
    return sums.estimates("sae", "token", "paper", BOOTSTRAP)


def test_of_a_gaussian_the_norm_of_x_has_the_linear_part_that_its_moments_say(decomposed, train):
    """‖x‖² = ‖m‖² + 2m·d + ‖d‖² with d even about 0: R² = 4m'Σm / (4m'Σm + 2 tr Σ²)."""
    x = np.load(train).reshape(-1, D_MODEL).astype(np.float64)
    x = x[np.linalg.norm(x, axis=1) <= 5 * np.median(np.linalg.norm(x, axis=1))]
    mean, covariance = x.mean(0), np.cov(x.T)
    linear = 4 * mean @ covariance @ mean
    expected = linear / (linear + 2 * np.trace(covariance @ covariance))
    assert 0.2 < expected < 0.95  # else the test shows little
    found = numbers_of(decomposed)["norm_test"]["x"]
    assert found["rows"] > 9000  # so that 0.04 are four standard errors
    assert found["value"] == pytest.approx(expected, abs=0.04)


def test_of_a_gaussian_the_linear_share_of_the_error_is_at_least_its_fvu(decomposed):
    """As the predictions have it, from E[e·Sae(x)] = 0: FVU_nonlinear is FVU · (1 − R²) at most FVU · (1 − FVU)."""
    numbers = numbers_of(decomposed)
    fvu, nonlinear = numbers["fvu"]["value"], numbers["fvu_nonlinear"]["value"]
    assert 0.02 < fvu < 0.7 and 0 < nonlinear <= fvu * (1 - fvu) * 1.05


def test_stored_sums_give_the_numbers_of_the_decomposition(decomposed):
    from darkmatter.decomposition.results import estimate_sae

    estimate_sae(decomposed, str(decomposed / MOMENTS), str(decomposed / "sae"), **BOOTSTRAP)
    expected = read_json(decomposed / "estimates.json")["estimates"]["token"]["paper"]
    found = plain(numbers_of(decomposed))
    for name in ("fvu", "fvu_nonlinear", "norm_r2", "norm_test", "norm_ratio", "cos_linear_x", "vector_r2"):
        assert found[name] == expected[name], name


def test_a_random_model_keeps_shapes_means_and_deviations_and_nothing_else(tmp_path):
    model, tokenizer = random_model(PARAMS.model)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.add_(0.2)
        model.model.norm.weight.normal_(1.3, 0.4)
    for name in ("model", "one", "two", "other"):
        (tmp_path / name).mkdir()
    save_model(tmp_path / "model", model, tokenizer, {"label": "a label", "source": "random", "package": None})
    for name, seed in {"one": 0, "two": 0, "other": 1}.items():
        draw_weights(tmp_path / name, str(tmp_path / "model"), seed)
    assert sha256_path(tmp_path / "one") == sha256_path(tmp_path / "two") != sha256_path(tmp_path / "other")
    drawn = dict(load_model(tmp_path / "one").named_parameters())
    for name, weight in model.named_parameters():
        assert drawn[name].shape == weight.shape and drawn[name].dtype == weight.dtype
        mean, deviation = float(weight.detach().mean()), float(weight.detach().std())
        error = 5 * deviation / weight.numel() ** 0.5
        assert float(drawn[name].mean()) == pytest.approx(mean, abs=error), name
        assert float(drawn[name].std()) == pytest.approx(deviation, abs=error), name
        if deviation > 0:
            assert not torch.isclose(drawn[name], weight).all()
    assert read_json(tmp_path / "one" / "manifest.json")["label"] == "a label, random weights"


def test_a_random_model_is_read_as_every_model_is(tmp_path):
    model, tokenizer = random_model(PARAMS.model)
    for name in ("model", "drawn", "shard"):
        (tmp_path / name).mkdir()
    save_model(tmp_path / "model", model, tokenizer, {"label": "a label", "source": "random", "package": None})
    draw_weights(tmp_path / "drawn", str(tmp_path / "model"), 0)
    np.save(tmp_path / "tokens.npy", np.random.default_rng(0).integers(0, 256, (3, 40)).astype(np.int32))
    arguments = {"tokens": str(tmp_path / "tokens.npy"), "start": 0, "stop": 3, "hookpoints": ["resid_post.1"]}
    extract(
        tmp_path / "shard", str(tmp_path / "drawn"), first_position=8, batch_contexts=2, with_loss=False, **arguments
    )
    rows = np.load(tmp_path / "shard" / "resid_post.1.npy")
    assert rows.shape == (3, 31, 24) and np.isfinite(rows).all() and rows.std() > 0


@pytest.fixture(scope="module")
def made():
    arrays, trained = fake_sums(PARAMS)
    return arrays, trained, plain(results_of(arrays, trained, PARAMS))


def test_results_have_every_null_beside_the_trained_saes(made):
    *_, content = made
    assert errors(content, "nulls") == []
    assert [row["null"] for row in content["nulls"]] == [TRAINED, *NULLS]
    for row in content["nulls"]:
        assert [sae["name"] for sae in row["saes"]] == PARAMS.nulls.saes
        for sae in row["saes"]:
            numbers = sae["estimates"]["token"]["paper"]
            for name in ("fvu", "vector_r2", "norm_r2"):
                assert numbers[name]["value"] == pytest.approx(WORLD[row["null"]][name], abs=0.02)
                assert numbers[name]["low"] <= numbers[name]["value"] <= numbers[name]["high"]
            nonlinear = WORLD[row["null"]]["fvu"] * (1 - WORLD[row["null"]]["vector_r2"])
            assert numbers["fvu_nonlinear"]["value"] == pytest.approx(nonlinear, abs=0.01)
            assert sae["dead_latents"] == 4 and sae["l0"] == pytest.approx(4)


def test_results_follow_from_the_stored_sums(made, monkeypatch):
    arrays, trained, content = made
    monkeypatch.setattr(nulls_results, "trained_sums", lambda params: trained)
    derived = nulls_results.derive({nulls_results.STORED: arrays}, content, PARAMS)
    result = compare(content, plain(derived))
    assert (result.differing, result.close) == ([], 0) and result.equal > 500 and result.given == 0
    spoiled = arrays | {f"{GAUSSIAN}/{PARAMS.nulls.saes[0]}/sum/error": arrays[f"{GAUSSIAN}/rows"]}
    assert compare(content, plain(nulls_results.derive({nulls_results.STORED: spoiled}, content, PARAMS))).differing


def test_leads_are_differences_and_ratios_over_the_same_contexts(made):
    *_, content = made
    number = {
        row["null"]: {sae["name"]: sae["estimates"]["token"]["paper"] for sae in row["saes"]}
        for row in content["nulls"]
    }
    found = content["estimands"]
    for item in found["gaussian_fvu_lead"]["lead"]:
        expected = number[GAUSSIAN][item["sae"]]["fvu"]["value"] - number[TRAINED][item["sae"]]["fvu"]["value"]
        assert item["value"] == pytest.approx(expected) and item["low"] < item["value"] < item["high"]
        assert item["joint"]["low"] <= item["low"] and item["joint"]["level"] == pytest.approx(0.975)
    for item in found["gaussian_fvu_nonlinear_ratio"]["ratio"]:
        pair = [number[null][item["sae"]]["fvu_nonlinear"]["value"] for null in (GAUSSIAN, TRAINED)]
        assert item["value"] == pytest.approx(pair[0] / pair[1])
    for item in found["frozen_decoder_r2"]["norm_r2_lead"]:
        pair = [number[null][item["sae"]]["norm_r2"]["value"] for null in (FROZEN_DECODER, TRAINED)]
        assert item["value"] == pytest.approx(pair[0] - pair[1]) and item["joint"]["level"] == pytest.approx(
            1 - 0.05 / 4
        )


def test_numbers_of_other_contexts_are_not_set_against_each_other(made):
    _, trained, _ = made
    rows = trained.arrays["rows"].copy()
    fewer = rows.copy()
    fewer[:, 0] = 0

    def first_context(kept):
        view = HookpointSums(kept, kept, kept, {}, BOOTSTRAP).views["token"]
        return HeldOutNumber(view, lambda weights: weights[:, 0], 1)

    one, other = map(first_context, (rows, fewer))
    assert one.against(one, lead)["value"] == 0
    with pytest.raises(ArtifactError, match="different contexts"):
        one.against(other, lead)


def test_an_experiment_that_is_off_has_empty_results(tmp_path):
    *_, trained = fake_sums(PARAMS)
    write_arrays(tmp_path / nulls_results.STORED, {}, compress=True)
    off = PARAMS.model_copy(update={"nulls": PARAMS.nulls.model_copy(update={"saes": []})})
    content = results_of(read_arrays(tmp_path / nulls_results.STORED), trained, off)
    assert content["nulls"] == [] and content["estimands"] == {} and errors(plain(content), "nulls") == []


def test_saes_that_were_not_trained_here_as_topk_are_refused():
    content = copy.deepcopy(PARAMS.model_dump(mode="json"))
    content["saes"]["groups"]["widths"]["architecture"] = "jumprelu"
    with pytest.raises(ParamsError, match=r"nulls\.saes names widths-32-k4-s0"):
        parse_params(content)
    content = copy.deepcopy(PARAMS.model_dump(mode="json"))
    content["nulls"]["saes"] = ["widths-1-k4-s0"]
    with pytest.raises(ParamsError, match=r"nulls\.saes names resid_post\.1/widths-1-k4-s0, which `saes\.groups`"):
        parse_params(content)
    content["nulls"] |= {"saes": PARAMS.nulls.saes, "random_model_contexts": 25}
    with pytest.raises(ParamsError, match=r"random_model_contexts exceeds tokens\.train_contexts 24"):
        parse_params(content)
