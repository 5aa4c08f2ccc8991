"""Section 6.2 against dense least squares, the checks of Eq. 16, and what the ledger reads."""

import numpy as np
import pytest
from components_case import CONTEXTS, D_MODEL, D_SAE, PARENTS, POSITIONS, SPLIT, files, make_case
from decomposition_reference import r2
from decomposition_reference import regress as dense
from profiles import profile_params

from darkmatter.experiments.components.compute import (
    MAPS,
    SUMS,
    TARGET_SUMS,
    check_parents,
    check_sum,
    explain,
    parents_of,
    write_targets,
)
from darkmatter.experiments.components.estimates import (
    PARENTS_SEED,
    TARGETS,
    components_results,
    regressor_estimates,
    target_sums,
)
from darkmatter.experiments.components.results import results_of, stored
from darkmatter.params.types import ParamsError
from darkmatter.regression.splits import draw_splits
from darkmatter.statistics.joint_levels import joint
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays

BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return make_case(tmp_path_factory.mktemp("components"))


def run(case, out, names, judged=1, bootstrap=BOOTSTRAP):
    folder = case[0]
    sample = {"activations": str(folder / "self.npy"), "prepared": str(folder / "moments"), **files(folder, "self")}
    sample |= SPLIT
    write_targets(out, **sample)
    regressors = [files(folder, name) for name in names]
    explain(out, regressors, str(out), 1e-12, **sample)
    sums = read_arrays(out / SUMS)
    rank = {name.removeprefix("rank/"): int(array) for name, array in sums.items() if name.startswith("rank/")}
    scored = {name: array for name, array in sums.items() if name == "rows" or name.startswith("residual/")}
    together = joint(bootstrap, judged) if judged > 1 else None
    kept = target_sums(read_arrays(out / TARGET_SUMS) | scored, pooled=True)
    return regressor_estimates(sums["rows"], kept, rank, bootstrap, together)


def expected(case, names, fit_set, intercept):
    """R² of each target the long way: b* on the fit rows, then the prediction of its parts on the same rows."""
    _, x, outputs = case
    splits = draw_splits(CONTEXTS, POSITIONS, 150 / 247, 3, 0)
    fitted = splits.fits_on(fit_set).ravel()
    scored = fitted if fit_set == "all" else ~fitted
    error = x - outputs["self"]
    linear = dense(x, error, fitted, intercept)
    regressors = np.concatenate([outputs[name] for name in names], 1)
    parts = {"error": error, "linear": linear, "nonlinear": error - linear}
    return {target: r2(part, dense(regressors, part, fitted, intercept), scored) for target, part in parts.items()}


@pytest.mark.parametrize("names", [("attn_out.1",), ("self",), PARENTS], ids=" ".join)
def test_equals_dense_least_squares(case, tmp_path, monkeypatch, names):
    monkeypatch.setattr(
        "darkmatter.decomposition.shared_moments.SINGLE_PRECISION_CONDITION", 0.0
    )  # products in float64
    result = run(case, tmp_path, names)
    for split in ("token", "context"):
        for convention in ("paper", "authors"):
            for target, value in expected(case, names, split, convention == "paper").items():
                assert result[target][split][convention]["value"] == pytest.approx(value, abs=1e-6), (target, split)
    for target, value in expected(case, names, "all", True).items():
        assert result[target]["in_sample"]["value"] == pytest.approx(value, abs=1e-6)


def test_single_precision_loses_nothing_that_shows(case, tmp_path):
    result = run(case, tmp_path, PARENTS)
    for target, value in expected(case, PARENTS, "token", True).items():
        assert result[target]["token"]["paper"]["value"] == pytest.approx(value, abs=1e-4)


def test_parts_come_from_the_map_of_their_own_split(case, tmp_path):
    run(case, tmp_path, ["self"])
    maps = read_arrays(tmp_path / MAPS)
    assert not np.allclose(maps["token/paper"], maps["context/paper"])
    assert not np.allclose(maps["token/paper"], maps["token/authors"])


def test_more_parents_explain_more_in_sample(case, tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "all").mkdir()
    one, every = run(case, tmp_path / "one", PARENTS[:1]), run(case, tmp_path / "all", PARENTS)
    for target in TARGETS:
        assert 0 < one[target]["in_sample"]["value"] < every[target]["in_sample"]["value"]
    assert every["error"]["token"]["paper"]["rank"] == 3 * D_MODEL


def test_intervals_judged_together_are_wider(case, tmp_path):
    result = run(case, tmp_path, PARENTS[:1], judged=3, bootstrap=BOOTSTRAP | {"resamples": 1200})["error"]
    alone, together = result["token"]["paper"], result["joint"]["token"]["paper"]
    assert result["joint"]["level"] == pytest.approx(1 - 0.05 / 3)
    assert together["low"] < alone["low"] < alone["high"] < together["high"]
    assert together["value"] == alone["value"]


@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_pooled_share_is_that_of_all_dimensions_together(case, tmp_path, convention):
    """As a fall of FVU_nonlinear is: against the sums of squares of every dimension, the long way."""
    result = run(case, tmp_path, PARENTS[:1], judged=3)["nonlinear"]
    pooled = result["pooled"]["token"][convention]
    _, x, outputs = case
    fitted = draw_splits(CONTEXTS, POSITIONS, 150 / 247, 3, 0).fits_on("token").ravel()
    error, intercept = x - outputs["self"], convention == "paper"
    part = error - dense(x, error, fitted, intercept)
    left = (part - dense(outputs[PARENTS[0]], part, fitted, intercept))[~fitted]
    spread = part[~fitted] - part[~fitted].mean(0)
    assert pooled["value"] == pytest.approx(1 - (left**2).sum() / (spread**2).sum(), abs=1e-4)
    assert abs(pooled["value"] - result["token"][convention]["value"]) > 1e-3  # the mean over dimensions is another
    assert (pooled["level"], pooled["joint"]["level"]) == (0.95, pytest.approx(1 - 0.05 / 3))
    assert pooled["joint"]["low"] < pooled["low"] and pooled["high"] < pooled["joint"]["high"]


def test_codes_of_other_rows_or_another_sae_are_refused(case, tmp_path):
    folder = case[0]
    arrays = read_arrays(folder / "attn_out.1" / "codes.npz")
    (tmp_path / "attn_out.1").mkdir()
    for name in ("cfg.json", "sae_weights.safetensors"):
        (tmp_path / "attn_out.1" / name).write_bytes((folder / "attn_out.1" / name).read_bytes())
    sample = {"activations": str(folder / "self.npy"), "prepared": str(folder / "moments"), **files(folder, "self")}
    broken = files(tmp_path, "attn_out.1")
    write_arrays(tmp_path / "attn_out.1" / "codes.npz", {name: array[:-1] for name, array in arrays.items()})
    with pytest.raises(ArtifactError, match=r"has 719 rows, the activations 720"):
        explain(tmp_path, [broken], str(tmp_path), 1e-12, **sample, **SPLIT)
    write_arrays(tmp_path / "attn_out.1" / "codes.npz", arrays | {"index": arrays["index"] + D_SAE})
    with pytest.raises(ArtifactError, match="names latents that"):
        explain(tmp_path, [broken], str(tmp_path), 1e-12, **sample, **SPLIT)


def test_parents_of_a_residual_activation():
    assert parents_of("resid_post.14") == ("resid_post.13", "attn_out.14", "mlp_out.14")
    for hookpoint in ("resid_post.0", "mlp_out.3"):
        with pytest.raises(ParamsError, match=f"main_hookpoint is {hookpoint}"):
            parents_of(hookpoint)


@pytest.mark.parametrize(
    "parents",
    [
        ["resid_post.12/a", "attn_out.14/a", "mlp_out.14/a"],
        ["resid_post.13/a", "attn_out.14/a"],
        ["resid_post.13/a", "attn_out.14/a", "attn_out.14/b"],
    ],
)
def test_wrong_parents_are_refused_by_name(parents):
    with pytest.raises(ParamsError, match=r"one SAE at each of resid_post.13, attn_out.14, mlp_out.14"):
        check_parents("resid_post.14", parents)
    check_parents("resid_post.14", ["mlp_out.14/a", "resid_post.13/a", "attn_out.14/b"])


def test_parents_must_add_up_to_float32_rounding(case, tmp_path):
    folder = case[0]
    paths = [folder / f"{name}.npy" for name in PARENTS]
    check_sum(folder / "self.npy", paths)
    off = np.load(paths[1])
    off[-1, 5, 2] *= 1 + 1e-5
    np.save(tmp_path / "off.npy", off)
    with pytest.raises(ArtifactError, match=f"context {CONTEXTS - 1} .* is not the sum of"):
        check_sum(folder / "self.npy", [paths[0], tmp_path / "off.npy", paths[2]])
    np.save(tmp_path / "off.npy", off[..., :-1])
    with pytest.raises(ArtifactError, match="expected float32"):
        check_sum(folder / "self.npy", [paths[0], tmp_path / "off.npy", paths[2]])


def test_results_name_what_the_ledger_reads():
    number = lambda value: {"value": value, "low": value - 1, "high": value + 1}  # noqa: E731
    ways = lambda value: {s: {w: number(value) for w in ("paper", "authors")} for s in ("token", "context")}  # noqa: E731
    parents = [f"{name}/sae" for name in PARENTS]
    estimates = {
        name: {target: ways(place)
               | {"in_sample": number(9), "joint": ways(place + 10) | {"level": 0.98}, "pooled": ways(place + 20)}
               for target in TARGETS}
        for place, name in enumerate((*parents, "all-parents", "self"))
    }  # fmt: skip
    del estimates["self"]["nonlinear"]["joint"]
    result = components_results("resid_post.1/sae", parents, estimates, 720, 12)
    for place, item in enumerate(result["estimands"]["components_explain_error"]["r2"]):
        assert (item["regressor"], item["value"]) == (parents[place], place)
        assert item["joint"] == {"level": 0.98, "low": place + 9, "high": place + 11}
    for place, item in enumerate(result["estimands"]["components_explain_nonlinear_pooled"]["r2"]):
        assert (item["regressor"], item["value"]) == (parents[place], place + 20)
    assert result["estimands"]["sae_explains_nonlinear"]["r2"]["value"] == 4
    assert result["estimands_by_variant"]["context"]["authors"].keys() == result["estimands"].keys()
    assert [row["label"] for row in result["regressors"]] == [*PARENTS, "all parents", "Sae(x)"]
    assert "of_seed" not in str(result) and "absent" not in str(result)
    beside = {"joint", "pooled"}
    assert all(beside.isdisjoint(target) for row in result["regressors"] for target in row["targets"].values())


def test_another_seed_of_the_explained_sae_moves_what_claims_take(case, tmp_path):
    """The pair: the SAE and itself without one latent of each row, as if that were another seed."""
    folder, fewer = case[0], tmp_path / "fewer"
    fewer.mkdir()
    for name in ("cfg.json", "sae_weights.safetensors"):
        (fewer / name).write_bytes((folder / "self" / name).read_bytes())
    codes = read_arrays(folder / "self" / "codes.npz")
    codes["value"][:, -1] = 0
    write_arrays(fewer / "codes.npz", codes)
    names = ("widths-2048-k32-s0", "seeds-2048-k32-s1")
    params = profile_params("smollm2")
    parents = dict(zip(params.components.parents, PARENTS, strict=True))

    def left(out, sae):
        sample = {"activations": str(folder / "self.npy"), "prepared": str(folder / "moments"), **sae, **SPLIT}
        out.mkdir()
        write_targets(out, **sample)
        result = {}
        for regressor, sources in {**{k: [files(folder, v)] for k, v in parents.items()}, "self": [sae]}.items():
            explain(out, sources, str(out), 1e-12, **sample)
            result[regressor] = read_arrays(out / SUMS)
        return result, read_arrays(out / TARGET_SUMS)

    own, other = left(tmp_path / names[0], files(folder, "self")), left(tmp_path / names[1], files(tmp_path, "fewer"))
    own[0]["all-parents"] = own[0]["self"]
    other[0]["all-parents"] = other[0]["self"]
    result = results_of(stored(*own, further={names[1]: other}), params)["estimands"]
    alone = results_of(stored(*other, further={names[1]: other}), params)["estimands"]
    for name, numbers in result.items():
        pairs = zip(as_list(numbers["r2"]), as_list(alone[name]["r2"]), strict=True)
        for one, moved in pairs:
            deviation = abs(one["value"] - moved["value"]) / 2**0.5
            assert one["of_seed"] == {"deviation": pytest.approx(deviation), "freedom": 1} and deviation > 1e-4
            assert one.get("absent") == (None if name == "sae_explains_nonlinear" else PARENTS_SEED)


def as_list(numbers):
    return numbers if isinstance(numbers, list) else [numbers]
