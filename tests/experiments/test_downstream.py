"""The splices of section 5.3 against a dense reference, and their estimates against sums whose answer is known."""

import copy

import numpy as np
import pytest
import torch
from decomposition_reference import regress
from downstream_case import (
    CONTEXTS,
    D_MODEL,
    D_SAE,
    EXTRA,
    FIRST,
    LENGTH,
    POINT,
    SPLIT,
    files,
    make_case,
    shared,
    splice,
)
from fake_downstream import fake
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile_params
from safetensors.numpy import save_file

from darkmatter.experiments.downstream import compute as downstream
from darkmatter.experiments.downstream.compute import fit_map, random_directions
from darkmatter.experiments.downstream.estimates import (
    NO_COST,
    estimates,
    expected,
    held_out_contexts,
    join_contexts,
    kept_sums,
    ratio,
    recovered,
)
from darkmatter.experiments.downstream.model_pass import residual_gap
from darkmatter.figures import fig08_downstream
from darkmatter.models.extract import token_loss
from darkmatter.models.hookpoints import module_of
from darkmatter.models.load import load_model
from darkmatter.regression.splits import draw_splits
from darkmatter.results.load import Results
from darkmatter.runner import rounded_products
from darkmatter.saes.decoder import load_decoder
from darkmatter.statistics import metrics
from darkmatter.statistics.variance_model import SEED_HELD
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json, write_arrays, write_json

BOOTSTRAP = {"resamples": 200, "level": 0.95, "seed": 0}


@pytest.fixture(scope="module", params=EXTRA)
def case(request, tmp_path_factory):
    folder = make_case(tmp_path_factory.mktemp(request.param), request.param)
    fit_map(folder / "map", **shared(folder), **files(folder))
    return folder


def naive(folder, context):
    """Every splice the long way: dense least squares, the whole model, a hook that replaces the block's output."""
    x = np.load(folder / "x.npy").reshape(-1, D_MODEL).astype(np.float64)
    codes = read_arrays(folder / "codes.npz")
    index, value = (torch.from_numpy(codes[name]) for name in ("index", "value"))
    sae = load_decoder(folder / "sae").sum_of(index, value).double().numpy()
    splits = draw_splits(CONTEXTS, LENGTH - 1 - FIRST, *SPLIT.values())
    linear = regress(x, x - sae, splits.fits_on("context").ravel())
    parts = {"x": x, "sae": sae, "error": x - sae, "linear": linear, "nonlinear": x - sae - linear}
    parts = {name: rows.reshape(CONTEXTS, -1, D_MODEL)[context] for name, rows in parts.items()}
    rows = {"clean": parts["x"], "sae": parts["sae"], "all": parts["sae"] + parts["linear"] + parts["nonlinear"]}
    rows |= {part: parts["sae"] + parts[part] for part in ("linear", "nonlinear")}
    model = load_model(folder / "model")
    ids = torch.from_numpy(np.load(folder / "tokens.npy")[context : context + 1]).long()
    losses = {}
    for name, replaced in rows.items():

        def replace(module, inputs, output, replaced=replaced):
            output = output.clone()
            output[0, FIRST:-1] = torch.from_numpy(replaced).float()
            return output

        handle = module_of(model, POINT).register_forward_hook(replace)
        losses[name] = float(token_loss(model, ids, FIRST).sum(dtype=torch.float64))
        handle.remove()
    return parts, rows, losses


def test_every_splice_equals_the_dense_reference(case):
    context = held_out_contexts(draw_splits(CONTEXTS, LENGTH - 1 - FIRST, *SPLIT.values()), 2)[1]
    sums = splice(case, context, ("linear", "nonlinear"))
    parts, rows, losses = naive(case, context)
    assert sums["rows"] == LENGTH - 1 - FIRST and sums["residual_gap"] < 1e-5
    assert sums["ce/clean"] == pytest.approx(losses["clean"], rel=1e-6)
    for name in ("sae", "linear", "nonlinear"):
        assert sums[f"one/ce/{name}"] == pytest.approx(losses[name], rel=1e-5), name
        np.testing.assert_allclose(sums[f"one/left/{name}"], ((parts["x"] - rows[name]) ** 2).sum(0), rtol=1e-4)
    for name, vectors in parts.items():
        assert sums[f"one/norm/{name}"] == pytest.approx(np.linalg.norm(vectors, axis=1).sum(), rel=1e-5)
    assert abs(losses["sae"] - losses["clean"]) > 0.01  # the splice does something
    assert losses["all"] == pytest.approx(losses["clean"], abs=1e-5 * sums["rows"])


def test_all_parts_together_restore_the_clean_loss(case, monkeypatch):
    everything = lambda parts, *_: {"sae": parts["sae"] + parts["linear"] + parts["nonlinear"]}  # noqa: E731
    monkeypatch.setattr(downstream, "replacements", everything)
    sums = splice(case, 0)
    assert sums["one/ce/sae"] / sums["rows"] == pytest.approx(sums["ce/clean"] / sums["rows"], abs=1e-5)


def test_controls_have_the_norms_of_their_parts_and_do_not_move_each_other(case):
    both, one = splice(case, 0, ("linear", "nonlinear")), splice(case, 0, ("nonlinear",))
    assert "one/ce/random_linear" not in one
    assert both["one/ce/random_nonlinear"] == one["one/ce/random_nonlinear"] != both["one/ce/random_linear"]
    assert splice(case, 0, ("nonlinear",), seed=1)["one/ce/random_nonlinear"] != one["one/ce/random_nonlinear"]
    assert {name: value.tolist() for name, value in splice(case, 0, ("nonlinear",)).items()} == {
        name: value.tolist() for name, value in one.items()
    }


@given(rows=st.integers(1, 6), d_model=st.integers(2, 40), seed=st.integers(0, 99), scale=st.floats(0, 1e4))
def test_random_directions_keep_every_norm(rows, d_model, seed, scale):
    vectors = scale * torch.randn(rows, d_model, generator=torch.manual_seed(seed))
    result = random_directions(vectors, seed, 3, "resid_post.1/sae", "linear")
    torch.testing.assert_close(result.double().norm(dim=1), vectors.double().norm(dim=1), rtol=1e-4, atol=1e-30)


def test_random_directions_are_uniform_and_differ_by_context_sae_and_part():
    ones = torch.ones(4000, 8)
    draws = [(0, 1, "a", "linear"), (0, 2, "a", "linear"), (0, 1, "b", "linear"), (0, 1, "a", "nonlinear")]
    results = [random_directions(ones, *draw) for draw in draws]
    for number, vectors in enumerate(results):
        torch.testing.assert_close(vectors.T @ vectors / 4000, torch.eye(8), rtol=0, atol=0.1)
        assert vectors.mean(0).abs().max() < 0.06
        for other in results[:number]:
            assert (vectors * other).sum(1).mean().abs() < 0.2


def test_activations_of_another_text_are_refused(case):
    tokens = np.load(case / "tokens.npy")
    np.save(case / "other.npy", tokens[::-1])
    with pytest.raises(ArtifactError, match="dvc repro -f activations"):
        splice(case, 0, tokens=str(case / "other.npy"))
    with pytest.raises(ArtifactError, match="stored"):
        splice(case, 0, first_position=FIRST + 1)


def test_residual_gap_is_relative_to_each_row():
    stored = torch.tensor([[3.0, 4.0], [300.0, 400.0]])
    assert residual_gap(stored, stored, "x") == 0
    assert residual_gap(stored * (1 + 5e-5), stored, "x") == pytest.approx(5e-5, rel=0.01)
    for changed in (stored + torch.tensor([[1e-3, 0], [0, 0]]), stored * float("nan")):
        with pytest.raises(ArtifactError, match="of its norm"):
            residual_gap(changed, stored, "x")


def test_passes_have_the_models_arithmetic_and_what_is_judged_stays_float32(tmp_path, monkeypatch):
    """A product inside the decomposition is measured while the passes of the same unit round their factors."""
    monkeypatch.setattr(rounded_products, "rounds_by_itself", lambda: False)
    folder = make_case(tmp_path)
    fit_map(folder / "map", **shared(folder), **files(folder))
    before = splice(folder, 0)
    manifest = folder / "model" / "manifest.json"
    write_json(manifest, read_json(manifest) | {"arithmetic": "bfloat16"})
    distances, split = [], downstream.split_context

    def measured(sample, context, linear_map, place):
        parts = split(sample, context, linear_map, place)
        centred = parts["x"].double() - sample.prepared.x_shift.double()
        exact = centred @ torch.from_numpy(linear_map["weight"]).double() + torch.from_numpy(linear_map["intercept"])
        distances.append(float((parts["linear"] - exact).norm() / exact.norm()))
        return parts

    monkeypatch.setattr(downstream, "split_context", measured)
    after = splice(folder, 0)
    assert distances and max(distances) < 1e-6
    assert before["residual_gap"] < 1e-5 < 1e-3 < after["residual_gap"] < 0.1
    for name in ("ce/clean", "one/ce/sae", "one/ce/linear"):
        assert 1e-6 < abs(after[name] / before[name] - 1) < 0.05, name
    for name in ("one/norm/error", "one/norm/linear", "one/left/nonlinear"):
        assert np.array_equal(after[name], before[name]), name


def test_rounded_passes_may_differ_as_far_as_those_of_a_bfloat16_model():
    stored = torch.tensor([[3.0, 4.0]])
    assert residual_gap(stored * 1.01, stored, "x", "bfloat16") == pytest.approx(0.01, rel=0.01)
    for far, arithmetic in ((1.01, "float32"), (1.2, "bfloat16")):
        with pytest.raises(ArtifactError, match="of its norm"):
            residual_gap(stored * far, stored, "x", arithmetic)


def test_an_sae_of_another_width_is_refused(case, tmp_path):
    (tmp_path / "sae").mkdir()
    write_json(tmp_path / "sae" / "cfg.json", {"d_sae": D_SAE, "d_in": 5})
    save_file(
        {"W_dec": np.ones((D_SAE, 5), np.float32), "b_dec": np.ones(5, np.float32)},
        tmp_path / "sae" / "sae_weights.safetensors",
    )
    with pytest.raises(ArtifactError, match="decodes to 5 dimensions"):
        fit_map(tmp_path, **shared(case), **(files(case) | {"sae": str(tmp_path / "sae")}))


def test_too_few_held_out_contexts_are_refused():
    splits = draw_splits(10, 5, 0.6, 3, 0)
    result = held_out_contexts(splits, 4)
    assert len(result) == 4 and not splits.context_fit[result].any()
    with pytest.raises(ArtifactError, match=r"asks for 5 contexts, the context split holds out 4\. Lower"):
        held_out_contexts(splits, 5)


FACTS = [{"name": "one", "d_sae": 8}, {"name": "two", "d_sae": 16}]
RANK = {"one": 4, "two": 4}
TWO = (("one", 0.3), ("two", 0.6))


def make_sums(contexts=8, d=3, shares=TWO):
    """Parts orthogonal in every dimension, and a cross-entropy that rises with what is left of x."""
    random = np.random.default_rng(1)
    sums = {"rows": np.full(contexts, 50.0), "x_sum": random.standard_normal((contexts, d))}
    sums |= {"x_square": 100 + random.random((contexts, d)), "ce/clean": 100 + random.random(contexts)}
    sums["residual_gap"] = np.zeros(contexts)
    for sae, share in shares:
        error = 2 + random.random((contexts, d))
        left = {"sae": error, "linear": (1 - share) * error, "nonlinear": share * error, "random_linear": 1.3 * error}
        sums |= {f"{sae}/left/{splice}": squares for splice, squares in left.items()}
        sums |= {f"{sae}/ce/{splice}": sums["ce/clean"] + 2 * squares.sum(1) for splice, squares in left.items()}
        sums |= {f"{sae}/norm/x": np.full(contexts, 500.0), f"{sae}/norm/sae": np.full(contexts, 400.0)}
        sums |= {f"{sae}/norm/error": np.full(contexts, 100.0), f"{sae}/norm/linear": np.full(contexts, 80.0)}
        sums[f"{sae}/norm/nonlinear"] = np.full(contexts, 60.0)
    return sums


ONES = np.ones((1, 8))


def test_a_loss_linear_in_squares_is_recovered_in_proportion_to_variance():
    sums = make_sums()
    for sae, share in (("one", 30), ("two", 60)):
        for way in ("variance", "variance_per_dimension"):
            assert expected(kept_sums(sums), sae, "linear", way)(ONES) == pytest.approx(share)
            assert expected(kept_sums(sums), sae, "nonlinear", way)(ONES) == pytest.approx(100 - share)
            assert ratio(kept_sums(sums), sae, "linear", way)(ONES) == pytest.approx(1)
        assert recovered(sums, sae, "random_linear")(ONES) == pytest.approx(-30)
    results = estimates(kept_sums(sums), FACTS, RANK, BOOTSTRAP)
    for part in ("linear", "nonlinear"):
        judged = results["estimands"]["cross_entropy_ratio"][f"{part}_by_variance"]
        assert (judged["value"], judged["low"], judged["high"]) == pytest.approx((1, 1, 1))


def test_expectations_by_norm():
    sums = make_sums()
    assert expected(kept_sums(sums), "one", "linear", "norm")(ONES) == pytest.approx(100 * 80 / 400)
    assert expected(kept_sums(sums), "one", "nonlinear", "norm_of_error")(ONES) == pytest.approx(60)
    assert ratio(kept_sums(sums), "one", "linear", "norm")(ONES) == pytest.approx(30 / 20)


def test_per_dimension_share_is_the_published_formula():
    sums = make_sums()
    random = np.random.default_rng(5)
    sums["one/left/linear"] = sums["one/left/sae"] * random.random(sums["one/left/sae"].shape)
    spread = sums["x_square"].sum(0) - sums["x_sum"].sum(0) ** 2 / sums["rows"].sum()
    r2 = {name: np.mean(1 - sums[f"one/left/{name}"].sum(0) / spread) for name in ("sae", "linear")}
    share = 100 * (r2["sae"] - r2["linear"]) / (r2["sae"] - 1)
    assert expected(kept_sums(sums), "one", "linear", "variance_per_dimension")(ONES) == pytest.approx(share)
    assert abs(share - expected(kept_sums(sums), "one", "linear", "variance")(ONES)[0]) > 0.01


def test_conventions_differ_in_how_variance_is_averaged():
    sums = make_sums()
    sums["one/left/linear"] = sums["one/left/linear"] * np.array([0.5, 1.0, 1.5])
    results = estimates(kept_sums(sums), FACTS, RANK, BOOTSTRAP)
    paper, authors = (results["estimands_by_variant"]["context"][way] for way in ("paper", "authors"))
    assert paper == results["estimands"]
    for convention, way in ((paper, "variance"), (authors, "variance_per_dimension")):
        means = results["mean_ratio"]
        judged = convention["cross_entropy_ratio"]["linear_by_variance"]
        assert judged["value"] == means[way]["linear"]["value"]
        assert judged["level"] == BOOTSTRAP["level"]
        assert judged["joint"]["level"] == 1 - (1 - BOOTSTRAP["level"]) / 4  # four ratios
        assert judged["joint"]["low"] < means[way]["linear"]["intervals"]["context"]["low"]
        assert convention["cross_entropy_ratio"]["linear_by_norm"]["value"] == means["norm"]["linear"]["value"]
    assert paper != authors


def test_results_state_cross_entropies_in_nats_per_token():
    sums = make_sums()
    results = estimates(kept_sums(sums), FACTS, RANK, BOOTSTRAP)
    assert results["cross_entropy"]["clean"]["value"] == pytest.approx(sums["ce/clean"].sum() / 400)
    one = results["saes"][0]
    for name in ("sae", "linear", "nonlinear", "random_linear"):
        nats = one["cross_entropy"][name]["value"]
        assert nats == pytest.approx(sums[f"one/ce/{name}"].sum() / 400)
        assert one["increase"][name]["value"] == pytest.approx(nats - results["cross_entropy"]["clean"]["value"])
    assert "sae" not in one["recovered_percent"] and one["recovered_percent"]["linear"]["rank"] == 4
    assert one["recovered_percent"]["linear"]["contexts"] == 8


def test_contexts_and_saes_are_combined():
    shares = (("a", 0.2), ("b", 0.3), ("c", 0.4), ("d", 0.5), ("e", 0.6))
    facts, rank = [{"name": name} for name, _ in shares], {name: 4 for name, _ in shares}
    sums = make_sums(shares=shares)
    for name, _ in shares:
        sums[f"{name}/ce/linear"] = sums[f"{name}/ce/linear"] - np.where(np.arange(8) % 2, 3, 0)
    judged = estimates(kept_sums(sums), facts, rank, BOOTSTRAP)["mean_ratio"]["norm"]["linear"]
    assert judged["resampled"] == "context, sae" and "short" not in judged and judged["saes"] == 5
    assert judged["absent"] == {"seed": SEED_HELD}
    by_sae = [ratio(kept_sums(sums), name, "linear", "norm")(ONES)[0] for name, _ in shares]
    half = 2.776445 * np.std(by_sae, ddof=1) / np.sqrt(5)  # Student, 4 degrees of freedom
    assert judged["intervals"]["sae"] == pytest.approx({"low": judged["value"] - half, "high": judged["value"] + half})
    spread = {name: ends["high"] - ends["low"] for name, ends in judged["intervals"].items()}
    assert spread["context"] < judged["high"] - judged["low"] < np.hypot(*spread.values())


def test_two_saes_say_nothing_about_others():
    judged = estimates(kept_sums(make_sums()), FACTS, RANK, BOOTSTRAP)["mean_ratio"]["norm"][
        "linear"
    ]  # 30/20 and 60/20
    assert judged["value"] == pytest.approx(2.25) and judged["resampled"] == "context"
    assert "2 SAEs leave 1 degrees of freedom" in judged["short"] and "of these SAEs" in judged["absent"]["sae"]
    assert (judged["low"], judged["high"]) == tuple(judged["intervals"]["context"][end] for end in ("low", "high"))


@pytest.mark.parametrize("cost", [0.0, -3.0])
def test_an_sae_that_costs_nothing_has_no_share_to_recover(cost):
    sums = make_sums()
    sums["two/ce/sae"] = sums["ce/clean"] + cost
    results = estimates(kept_sums(sums), FACTS, RANK, BOOTSTRAP)
    one, two = results["saes"]
    assert two["recovered_percent"]["linear"] == two["recovered_percent"]["linear"] | {"value": None, "reason": NO_COST}
    assert two["ratio"]["norm"]["linear"]["reason"] == NO_COST
    assert (
        two["increase"]["sae"]["value"] == pytest.approx(cost / 50)
        and two["expected_percent"]["norm"]["linear"]["value"]
    )
    assert one["recovered_percent"]["linear"]["value"] == pytest.approx(30)
    for judged in results["estimands"]["cross_entropy_ratio"].values():
        assert judged["value"] is None and judged["reason"] == f"two: {NO_COST}"


def test_a_cost_of_uncertain_sign_has_no_interval():
    sums = make_sums()
    sums["one/ce/sae"] = sums["ce/clean"] + np.array([10, -9, 8, -7, 6, -5, 4, -3])
    result = estimates(kept_sums(sums), FACTS, RANK, BOOTSTRAP)["saes"][0]["recovered_percent"]["linear"]
    assert result["value"] is None and "of the resamples" in result["reason"]


def test_a_part_of_no_size_and_an_sae_without_error_are_null_with_their_reasons():
    sums = make_sums()
    sums["one/norm/linear"] = np.zeros(8)
    result = estimates(kept_sums(sums), FACTS, RANK, BOOTSTRAP)["saes"][0]
    assert result["expected_percent"]["norm"]["linear"]["value"] == 0
    assert result["ratio"]["norm"]["linear"]["reason"] == "nothing is expected of this part by norm"
    for name in [name for name in sums if name.startswith("one/left")]:
        sums[name] = np.zeros_like(sums[name])
    sums["one/norm/error"] = np.zeros(8)
    result = estimates(kept_sums(sums), FACTS, RANK, BOOTSTRAP)["saes"][0]
    for way in ("norm_of_error", "variance", "variance_per_dimension"):
        assert result["expected_percent"][way]["nonlinear"]["reason"] == "the SAE makes no error"


def test_judged_numbers_follow_from_the_committed_sums(tmp_path):
    sums = make_sums()
    random = np.random.default_rng(5)
    for part in ("linear", "nonlinear"):
        sums[f"one/left/{part}"] = sums["one/left/sae"] * random.uniform(0.3, 0.7, (8, 3))
    write_arrays(tmp_path / "sums.npz", kept_sums(sums), compress=True)
    small = read_arrays(tmp_path / "sums.npz")
    assert {array.shape for array in small.values()} == {(8,), (2, 8)} and "residual_gap" not in small
    weights = 1 + 1e-5 * random.standard_normal((20, 8))
    of_x = [sums[name] for name in ("rows", "x_sum", "x_square")]
    after, base = (metrics.r2_mean(weights, *of_x, sums[f"one/left/{name}"]) for name in ("linear", "sae"))
    by_dimension = 100 * (after - base) / (1 - base)
    np.testing.assert_allclose(expected(small, "one", "linear", "variance_per_dimension")(weights), by_dimension, 1e-9)
    pooled = [weights @ sums[f"one/left/{name}"].sum(1) for name in ("linear", "sae")]
    by_variance = 100 * (1 - pooled[0] / pooled[1])
    np.testing.assert_allclose(expected(small, "one", "linear", "variance")(weights), by_variance, 1e-12)


def test_contexts_are_joined_in_order(tmp_path):
    for number in range(3):
        write_arrays(tmp_path / f"{number}.npz", {"rows": np.array(float(number)), "x": np.full(4, number)})
    joined = join_contexts([tmp_path / f"{number}.npz" for number in range(3)])
    assert joined["rows"].tolist() == [0, 1, 2] and joined["x"].shape == (3, 4)


def test_the_fake_has_the_format_of_the_results():
    """Else the figure would be tested on something no stage writes."""
    params = profile_params("smoke")
    content = fake(params)
    real = estimates(kept_sums(make_sums()), FACTS, RANK, BOOTSTRAP)
    shape = lambda tree: {k: shape(v) if isinstance(v, dict) and "low" not in v else None for k, v in tree.items()}  # noqa: E731
    for key in ("cross_entropy", "mean_ratio", "estimands", "estimands_by_variant"):
        assert shape(content[key]) == shape(real[key])
    for key in ("expected_percent", "ratio"):
        assert shape(content["saes"][0][key]) == shape(real["saes"][0][key])
    assert content["saes"][0].keys() >= real["saes"][0].keys()


def test_the_figure_shows_the_results():
    params = profile_params("smoke")
    content = fake(params)
    data = fig08_downstream.data(Results({}, {"downstream": copy.deepcopy(content)}), params)
    assert [sae["name"] for sae in data["saes"]] == params.downstream.saes
    assert data["saes"][0]["recovered_percent"] == content["saes"][0]["recovered_percent"]
    assert data["clean"] == content["cross_entropy"]["clean"]
    assert "95 %" in data["note"] and "4 contexts" in data["note"]
