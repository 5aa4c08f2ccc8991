"""Architectures: each fold is exact, the skip does what is said of it, numbers at one L0 are those of known curves."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_architectures import SLOPES, WORLD, fake_sums
from profiles import profile_params
from safetensors.torch import load_file
from schema_errors import errors

from darkmatter.audit.compare import compare
from darkmatter.decomposition.passes import SUMS as DECOMPOSED
from darkmatter.decomposition.passes import decompose
from darkmatter.experiments.architectures.compute import measure, open_inference, prepare_contexts, rebuild
from darkmatter.experiments.architectures.estimates import L0, CurvePoint, around, between, spread_ratio
from darkmatter.experiments.architectures.matched import Matched
from darkmatter.experiments.architectures.names import STORED, SUMS, trained, variants
from darkmatter.experiments.architectures.results import derive, results_of
from darkmatter.experiments.architectures.train import fold_biases, train_architecture
from darkmatter.params.saes import Training
from darkmatter.params.schema import parse_params
from darkmatter.params.types import ParamsError
from darkmatter.saes.open import encode_sae
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.train import fit, train_sae
from darkmatter.saes.training.training_rows import open_rows
from darkmatter.statistics.per_dimension import unexplained_key
from darkmatter.storage.artifacts import ArtifactError, plain, read_arrays, read_json, write_arrays

PARAMS = profile_params("smoke")
SPLIT = {"fit_share": 0.6, "folds": 3, "split_seed": 0}
D_MODEL, POSITIONS, CONTEXTS, D_SAE, K = 10, 120, 12, 32, 4
TRAINING = PARAMS.saes.training.model_dump() | {"batch_size": 128}
CLASSES = (*PARAMS.architectures.classes, "skip")
RANKS = {"skip": 3}
SAVED_AS = {"batchtopk": "jumprelu", "matryoshka_batchtopk": "jumprelu", "skip": "skip_topk"}
ONES = np.ones((1, 16))


def activations(path: Path, seed: int = 0, contexts: int = CONTEXTS) -> Path:
    """Sparse sums of more features than dimensions, away from the origin and not of scale one."""
    random, fixed = np.random.default_rng([seed]), np.random.default_rng(7)
    features, mean = fixed.standard_normal((24, D_MODEL)), 5 * fixed.standard_normal(D_MODEL)
    fires = random.random((contexts, POSITIONS, 24)) < 0.1
    x = (fires * random.exponential(size=fires.shape)) @ features + 0.05 * random.standard_normal(D_MODEL) + mean
    np.save(path, (3 * x).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("rows")
    for name, seed in {"train": 0, "eval": 1}.items():
        activations(made / f"{name}.npy", seed)
    (made / "moments").mkdir()
    prepare_contexts(
        made / "moments", str(made / "eval.npy"), CONTEXTS, **SPLIT, eigen_cutoff=1e-12, outlier_norm_ratio=None
    )
    return made


def train(folder: Path, out: Path, architecture: str, rank: int | None = None, steps: int = 60, **changed) -> Path:
    out.mkdir()
    arguments = {"d_sae": D_SAE, "k": K, "seed": 0, "train_tokens": 128 * steps, "training": TRAINING} | changed
    where = {"activations": str(folder / "train.npy"), "contexts": CONTEXTS, "hookpoint": "resid_post.1"}
    train_architecture(out, architecture=architecture, rank=rank, **where, **arguments)
    return out


def measured(folder: Path, sae: Path) -> dict[str, np.ndarray]:
    (sae / "measured").mkdir()
    where = {"activations": str(folder / "eval.npy"), "contexts": CONTEXTS, "prepared": str(folder / "moments")}
    measure(sae / "measured", sae=str(sae), **where, **SPLIT)
    return dict(read_arrays(sae / "measured" / SUMS))


@pytest.mark.parametrize("architecture", CLASSES)
def test_an_sae_on_raw_activations_is_the_one_that_was_trained(architecture, folder, tmp_path):
    from darkmatter.experiments.architectures.trainers import make_architecture_trainer

    settings = Training.model_validate(TRAINING)
    schedule = Schedule.of(settings, D_SAE, 128 * 60)
    rows = open_rows(folder / "train.npy", CONTEXTS, settings.outlier_norm_ratio, schedule.batch_size)
    trainer = make_architecture_trainer(architecture, RANKS.get(architecture), rows, schedule, settings, D_SAE, K, 0)
    fit(trainer, schedule, 2)
    trainer.sae.save_inference_model(tmp_path / "of_z")
    assert rows.scale > 2 and np.linalg.norm(rows.mean) > 5  # else folding would change little
    fold_biases(trainer.sae, rows.mean, rows.scale)
    trainer.sae.save_inference_model(tmp_path / "of_x")
    of_z, of_x = (open_inference(tmp_path / name) for name in ("of_z", "of_x"))
    assert of_z.cfg.architecture() == SAVED_AS.get(architecture, architecture)
    x = np.load(folder / "eval.npy")
    z = (x - rows.mean) / np.float32(rows.scale)
    unfolded, folded = rebuild(of_z, z, "of_z"), rebuild(of_x, x, "of_x")
    alike = unfolded.l0 == folded.l0
    assert alike.mean() > 0.998 and 1 < folded.l0.mean() < 20  # a row whose two last latents tie may choose the other
    expected = (unfolded.values * rows.scale + rows.mean)[alike]
    gap = np.linalg.norm(folded.values[alike] - expected, axis=1) / np.linalg.norm(x[alike] - rows.mean, axis=1)
    assert np.quantile(gap, 0.995) < 1e-4
    with torch.no_grad():
        codes = [sae.encode(torch.from_numpy(part[0])) for sae, part in ((of_z, z), (of_x, x))]
    assert float((codes[0] * rows.scale - codes[1]).abs().median()) < 1e-4


@pytest.mark.parametrize("architecture", CLASSES)
def test_every_architecture_learns_and_has_the_l0_that_it_was_asked_for(architecture, folder, tmp_path):
    sae = train(folder, tmp_path / "sae", architecture, RANKS.get(architecture), steps=200)
    sums, facts = measured(folder, sae), read_json(sae / "training.json")
    x = np.load(folder / "eval.npy").reshape(-1, D_MODEL).astype(float)
    held_out = read_arrays(folder / "moments" / "activations.npz")["rows"][0].sum()
    fvu = sums["token/error"].sum() / held_out / np.square(x - x.mean(0)).sum(1).mean()
    assert 0 < fvu < 0.6 and 0 < sums["token/nonlinear"].sum() < sums["token/error"].sum()
    exact = architecture in ("topk", "abstopk", "skip")
    assert sums["mean_l0"] == pytest.approx(K, rel=0.02) if exact else K / 2 < sums["mean_l0"] < 2 * K
    assert (facts["l1_coefficient"] is not None) == (architecture in ("standard", "gated"))
    assert np.isnan(sums["l1_coefficient"]) == (facts["l1_coefficient"] is None)


def test_a_skip_of_rank_zero_is_topk(folder, tmp_path):
    skip = train(folder, tmp_path / "skip", "skip", 0)
    plain_topk = train(folder, tmp_path / "topk", "topk")
    with_skip, without = (load_file(sae / "sae_weights.safetensors") for sae in (skip, plain_topk))
    assert with_skip.keys() - without.keys() == {"skip_in", "skip_out"}
    for name, weight in without.items():
        torch.testing.assert_close(with_skip[name], weight, rtol=0, atol=1e-6)
    one, other = measured(folder, skip), measured(folder, plain_topk)
    np.testing.assert_allclose(one["token/error"], other["token/error"], rtol=1e-5)


def test_topk_of_the_experiment_is_that_of_the_graph(folder, tmp_path):
    (tmp_path / "usual").mkdir()
    shared = {"activations": str(folder / "train.npy"), "contexts": CONTEXTS, "hookpoint": "resid_post.1"}
    shared |= {"d_sae": D_SAE, "k": K, "seed": 0, "train_tokens": 128 * 60, "training": TRAINING}
    train_sae(tmp_path / "usual", architecture="topk", **shared)
    here = load_file(train(folder, tmp_path / "here", "topk") / "sae_weights.safetensors")
    for name, weight in load_file(tmp_path / "usual" / "sae_weights.safetensors").items():
        assert torch.equal(here[name], weight), name


def gaussian(folder: Path) -> Path:
    """Rows of a Gaussian with a falling spectrum."""
    deviations = np.arange(1, D_MODEL + 1) ** -0.5
    for seed, name in enumerate(("train", "eval")):
        x = np.random.default_rng(seed).standard_normal((CONTEXTS, POSITIONS, D_MODEL)) * deviations + 1
        np.save(folder / f"{name}.npy", x.astype(np.float32))
    (folder / "moments").mkdir()
    prepare_contexts(
        folder / "moments", str(folder / "eval.npy"), CONTEXTS, **SPLIT, eigen_cutoff=1e-12, outlier_norm_ratio=None
    )
    return folder


def test_a_skip_of_full_rank_leaves_no_linear_error_of_a_gaussian(tmp_path):
    folder = gaussian(tmp_path)
    sums = {
        rank: measured(folder, train(folder, tmp_path / f"skip{rank}", "skip", rank, steps=600))
        for rank in (0, 2, D_MODEL)
    }
    linear = {rank: (own["token/error"] - own["token/nonlinear"]).sum() for rank, own in sums.items()}
    assert linear[0] > 0 and linear[2] < 0.9 * linear[0] and linear[D_MODEL] < 0.02 * linear[0]


def test_a_skip_is_saved_and_loaded_by_sae_lens(folder, tmp_path):
    from sae_lens import SAE

    sae = SAE.load_from_disk(train(folder, tmp_path / "skip", "skip", 3))
    assert sae.cfg.rank == 3 and sae.cfg.architecture() == "skip_topk" and sae.skip_in.shape == (D_MODEL, 3)
    x = torch.from_numpy(np.load(folder / "eval.npy")[:2])
    with torch.no_grad():
        whole = sae(x)
        latents = sae.decode(sae.encode(x))
        torch.testing.assert_close(whole - latents, (x - sae.b_dec) @ sae.skip_in @ sae.skip_out)
    assert float((whole - latents).abs().mean()) > 0.01
    np.testing.assert_allclose(rebuild(sae.eval(), x.numpy(), "skip").values, whole.numpy(), rtol=1e-4, atol=1e-4)


def test_dead_latents_are_held_against_what_skip_and_latents_leave(folder):
    """The gradient of the auxiliary loss in a dead latent points at the error of the whole."""
    from sae_lens.saes.sae import TrainStepInput

    from darkmatter.experiments.architectures.skip_topk import SkipTopKTrainingSAE, SkipTopKTrainingSAEConfig

    torch.manual_seed(0)
    shared = {"decoder_init_norm": 1.0, "rescale_acts_by_decoder_norm": False, "aux_loss_coefficient": 1.0}
    sae = SkipTopKTrainingSAE(SkipTopKTrainingSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=K, rank=D_MODEL, **shared))
    x = torch.randn(64, D_MODEL)
    dead = torch.zeros(D_SAE, dtype=torch.bool)
    dead[:2] = True
    step = {"sae_in": x, "coefficients": {}, "dead_neuron_mask": dead, "n_training_steps": 0, "is_logging_step": False}

    def auxiliary() -> float:
        losses = sae.training_forward_pass(TrainStepInput(**step)).losses
        return losses["auxiliary_reconstruction_loss"].item()

    before = auxiliary()
    with torch.no_grad():  # a skip that is the identity on what the latents leave makes the error smaller
        latents = sae.decode(sae.encode(x))
        sae.skip_in.copy_(torch.eye(D_MODEL))
        sae.skip_out.copy_(torch.linalg.lstsq(x, x - latents).solution)
    assert auxiliary() < 0.9 * before


def test_measured_sums_are_those_of_the_decomposition(folder, tmp_path):
    sae = train(folder, tmp_path / "topk", "topk")
    sums = measured(folder, sae)
    for name in ("codes", "decomposed"):
        (tmp_path / name).mkdir()
    encode_sae(tmp_path / "codes", str(sae), str(folder / "eval.npy"), "topk", D_SAE, K)
    files = {"prepared": folder / "moments", "codes": tmp_path / "codes" / "codes.npz", "sae": sae}
    paths = {key: str(path) for key, path in files.items()}
    decompose(tmp_path / "decomposed", str(folder / "eval.npy"), **paths, **SPLIT)
    expected = read_arrays(tmp_path / "decomposed" / DECOMPOSED)
    for place, split in enumerate(("token", "context")):
        used = expected["sum/error"][place] > 0
        np.testing.assert_allclose(sums[f"{split}/error"], expected["sum/error"][place][used], rtol=1e-4)
        left = expected[f"pooled/nonlinear/{split}/paper"][place][used]
        np.testing.assert_allclose(sums[f"{split}/nonlinear"], left, rtol=1e-4)
        np.testing.assert_allclose(sums[f"{split}/l0"], expected["sum/l0"][place][used])
        unexplained = expected[unexplained_key(split, "paper")]
        np.testing.assert_allclose(sums[f"{split}/unexplained"], unexplained, rtol=1e-3)


def curve(l0: float, number) -> CurvePoint:
    """An SAE at an L0 on a known curve."""
    constants = {L0: l0, "fvu": number(l0)}
    return CurvePoint.of({name: lambda w, at=value: np.full(len(w), at) for name, value in constants.items()}, 16)


@pytest.mark.parametrize("l0s", [(16, 64), (20, 30, 35, 70), (32, 64), (8, 32)])
def test_a_number_that_is_straight_in_log_l0_is_found_exactly(l0s):
    number = lambda l0: 0.5 - 0.06 * np.log(l0)  # noqa: E731
    low, high = around([curve(l0, number) for l0 in l0s], 32)
    assert low.l0 == max(l0 for l0 in l0s if l0 <= 32) and high.l0 == min(l0 for l0 in l0s if l0 >= 32)
    assert between(low, high, 32, "fvu")(ONES)[0] == pytest.approx(number(32))


def test_the_l0_is_resampled_with_the_number():
    """Weights that raise both L0s move the place between them."""
    l0s = [np.array([10.0, 20.0]), np.array([40.0, 80.0])]
    points = [
        CurvePoint.of({L0: lambda w, own=own: w @ own / w.sum(1), "fvu": lambda w, v=value: np.full(len(w), v)}, 2)
        for own, value in zip(l0s, (0.4, 0.2), strict=True)
    ]
    found = between(*around(points, 32), 32, "fvu")(np.array([[1.0, 1.0], [0.0, 2.0]]))
    np.testing.assert_allclose(
        found, [0.4 - 0.2 * np.log(32 / 15) / np.log(4), 0.4 - 0.2 * np.log(32 / 20) / np.log(4)]
    )


def test_without_l0s_around_it_a_number_is_withheld_with_the_reason():
    text = around([curve(l0, float) for l0 in (40, 70)], 32)
    assert text == "L0 32 is not between those that were reached (40.0, 70.0)"
    content = plain(results_of(fake_sums(PARAMS, l0_of={"gated": 3.0}), PARAMS))
    assert errors(content, "architectures") == []
    for row in content["matched"]:
        numbers = row["estimates"]["token"]["numbers"]["fvu"]
        assert (numbers["value"] is None) == (row["variant"] in missing(row["d_sae"]))
    gated = next(row for row in content["matched"] if row["variant"] == "gated")
    reason = "gated: L0 4 is not between those that were reached (6.0, 24.0)"
    assert gated["estimates"]["context"]["above_topk"]["vector_r2"]["reason"] == reason
    ratios = {item["sae"]: item for item in content["estimands"]["architecture_fvu_nonlinear_ratio"]["ratio"]}
    assert ratios["gated-32"]["value"] is None and ratios["standard-32"]["value"] is not None
    assert content["estimands"]["architecture_spread"]["ratio"][0]["reason"] == reason


def missing(d_sae: int) -> set[str]:
    left_out = {size.d_sae for size in PARAMS.architectures.sizes if size.slow_tokens is None}
    return {"gated", "matching_pursuit"} if d_sae in left_out else {"gated"}


@pytest.fixture(scope="module")
def made():
    arrays = fake_sums(PARAMS)
    return arrays, plain(results_of(arrays, PARAMS))


def test_results_have_every_variant_at_the_l0(made):
    _, content = made
    assert errors(content, "architectures") == []
    own = PARAMS.architectures
    assert [sae["name"] for sae in content["saes"]] == [sae.name for sae in trained(own)]
    assert [(row["variant"], row["d_sae"]) for row in content["matched"]] == [
        (variant, size.d_sae) for size in own.sizes for variant in variants(own)
    ]
    topk = WORLD["topk"]
    for row in content["matched"]:
        if row["variant"] in missing(row["d_sae"]) - {"gated"}:
            continue
        later = 0.001 * (row["seeds"] - 1) / 2  # the second seed is worse by 0.001
        fvu, nonlinear = WORLD[row["variant"]]
        for split in ("token", "context"):
            found = row["estimates"][split]["numbers"]
            assert found["fvu"]["value"] == pytest.approx(fvu + later)
            assert found["fvu_nonlinear"]["value"] == pytest.approx(nonlinear + later)
            assert found["fvu_linear"]["value"] == pytest.approx(fvu - nonlinear)
            above = row["estimates"][split]["above_topk"]
            assert above["fvu"]["value"] == pytest.approx(fvu - topk[0])
            assert above["fvu"]["low"] <= above["fvu"]["value"] <= above["fvu"]["high"]
    at_k = {(sae["variant"], sae["k"]): sae for sae in content["saes"] if sae["seed"] == 0 and sae["d_sae"] == 32}
    two, eight = (at_k["topk", k]["estimates"]["token"]["fvu"]["value"] for k in (2, 8))
    assert eight - two == pytest.approx(SLOPES[0] * np.log(4))


def test_seeds_have_their_noise_in_what_is_judged(made):
    """The seeds of each variant differ by δ: one has the variance δ²/2, the mean of two a half of that."""
    _, content = made
    size = PARAMS.architectures.sizes[0]
    there = len(variants(PARAMS.architectures))
    numbers = next(row for row in content["matched"] if row["variant"] == "gated" and row["d_sae"] == size.d_sae)
    found = numbers["estimates"]["token"]
    assert found["numbers"]["fvu"]["of_seed"] == {"deviation": pytest.approx(0.0005), "freedom": there}
    assert found["above_topk"]["fvu"]["of_seed"]["deviation"] == pytest.approx(0.0005 * 2**0.5)
    alone = next(row for row in content["matched"] if row["variant"] == "gated" and row["d_sae"] != size.d_sae)
    deviation = alone["estimates"]["token"]["numbers"]["fvu"]["of_seed"]["deviation"]
    assert deviation == pytest.approx(0.0005 * 2**0.5)  # of one SAE, measured where there are two
    one_seed = [size.model_copy(update={"seeds": [0]}) for size in PARAMS.architectures.sizes]
    own = PARAMS.architectures.model_copy(update={"sizes": one_seed})
    params = PARAMS.model_copy(update={"architectures": own})
    bare = Matched(fake_sums(params), own, "token", {"resamples": 100, "level": 0.95, "seed": 0})
    estimate = bare.estimate(size.d_sae, [("gated", "fvu")], lambda parts: parts[0])
    assert "not known" in estimate["of_seed"]["reason"]


def test_differences_are_paired(made):
    """Contexts that are hard for one architecture are hard for TopK: their difference has the narrower interval."""
    _, content = made
    row = next(row for row in content["matched"] if row["variant"] == "abstopk" and row["d_sae"] == 32)
    found = row["estimates"]["token"]
    widths = [item["high"] - item["low"] for item in (found["above_topk"]["fvu"], found["numbers"]["fvu"])]
    assert widths[0] < 0.01 * widths[1]


def test_the_spread_ratio_compares_relative_deviations():
    fvu = np.array([[0.2], [0.4], [0.8]])
    assert spread_ratio(np.concatenate([fvu**0.5, fvu]))[0] == pytest.approx(0.5)


def test_results_follow_from_the_stored_sums(made, tmp_path):
    arrays, content = made
    write_arrays(tmp_path / STORED, arrays, compress=True)
    derived = derive({STORED: read_arrays(tmp_path / STORED)}, content, PARAMS)
    result = compare(content, plain(derived))
    assert (result.differing, result.close) == ([], 0) and result.equal > 500
    name = trained(PARAMS.architectures)[0].name
    spoiled = arrays | {f"{name}/token/error": 2 * arrays[f"{name}/token/error"]}
    assert compare(content, plain(derive({STORED: spoiled}, content, PARAMS))).differing


def test_an_experiment_that_is_off_has_empty_results():
    off = PARAMS.model_copy(update={"architectures": PARAMS.architectures.model_copy(update={"classes": []})})
    content = results_of({}, off)
    assert (content["saes"], content["matched"], content["estimands"]) == ([], [], {})
    assert errors(plain(content), "architectures") == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": ["gated"]}, "lacks topk"),
        ({"classes": ["topk", "topk"]}, "classes lists something twice"),
        ({"l0": 16}, r"l0 16 lies outside of k \[2, 8\]"),
        ({"k": [2, 64]}, "k = 64 exceeds d_sae = 32"),
        ({"sizes": []}, "sizes needs an entry"),
        ({"contexts": 17}, r"architectures\.contexts exceeds tokens\.eval_contexts 16"),
        ({"train_contexts": 25}, r"architectures\.train_contexts exceeds hookpoints\.resid_post\.1\.train_contexts"),
        ({"classes": ["temporal"]}, "classes"),
    ],
)
def test_options_that_compare_nothing_are_refused(changed, message):
    content = copy.deepcopy(PARAMS.model_dump(mode="json"))
    content["architectures"] |= changed
    with pytest.raises(ParamsError, match=message):
        parse_params(content)


def test_damaged_weights_are_refused(folder, tmp_path):
    from safetensors.torch import save_file

    sae = train(folder, tmp_path / "topk", "topk")
    weights = load_file(sae / "sae_weights.safetensors")
    weights["b_dec"][0] = torch.nan
    save_file(weights, sae / "sae_weights.safetensors")
    with pytest.raises(ArtifactError, match="NaN or infinity"):
        measured(folder, sae)
    (sae / "cfg.json").write_text("{}")
    with pytest.raises(ArtifactError, match="sae-lens cannot load it"):
        open_inference(sae)
