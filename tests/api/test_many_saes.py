"""Many SAEs in one call: the numbers of one call each, one table of all, and `--sae` as a list or an expression."""

import json
import math

import jsonschema
import numpy as np
import pytest
import torch
from api_case import D_MODEL, D_SAE, QUICK, K, Nonlinear, Stateful, TopK, make_activations
from saebench_schema import CORE

from darkmatter import decompose
from darkmatter.api import one_sae
from darkmatter.api.choose_saes import choose, short_names
from darkmatter.api.decompose import DEFAULTS
from darkmatter.api.parts import RowParts
from darkmatter.api.result import SHOWN
from darkmatter.api.saebench import to_saebench
from darkmatter.cli import main
from darkmatter.decomposition.shared_moments import write_moments
from darkmatter.regression.splits import draw_splits
from darkmatter.saes.published.registry import releases, saes_of
from darkmatter.storage.artifacts import ArtifactError

X = make_activations()
SAES = {"linear": TopK(X), "tanh": Nonlinear(X), "group/stateful": Stateful(X)}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return decompose(X, SAES, parts=tmp_path_factory.mktemp("many"), **QUICK)


def test_each_has_the_numbers_of_a_call_of_its_own(many):
    assert list(many) == list(SAES)
    for name, sae in SAES.items():
        own = decompose(X, sae, **QUICK)
        assert many[name].to_json() == own.to_json(), name


def test_the_moments_are_formed_once(monkeypatch):
    formed = []
    monkeypatch.setattr(one_sae, "write_moments", lambda *a: formed.append(1) or write_moments(*a))
    decompose(X, SAES, **QUICK)
    assert len(formed) == 1


def test_one_bad_sae_is_named_before_the_work(monkeypatch):
    monkeypatch.setattr("darkmatter.api.one_sae.write_moments", lambda *a, **k: pytest.fail("the work had begun"))
    bad = (lambda x: x.relu(), lambda acts: 100 * acts)
    with pytest.raises(ArtifactError, match=r"^bad: FVU .* on 720 rows"):
        decompose(X, {"good": TopK(X), "bad": bad}, **QUICK)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sae": {}}, "at least one"),
        ({"sae": {"a": TopK(X)}, "reconstructions": X}, "without reconstructions"),
        ({"sae": {"../a": TopK(X)}}, "no name of an SAE"),
        ({"sae": {3: TopK(X)}}, "no name of an SAE"),
    ],
)
def test_what_is_no_mapping_of_saes(given, message):
    with pytest.raises(ArtifactError, match=message):
        decompose(X, **given, **QUICK)


# As a table.


def test_the_frame_has_every_estimate_with_its_interval(many):
    frame = many.to_frame()
    for name, one in many.items():
        own = frame[frame.sae == name].set_index(["split", "convention", "estimate"])
        assert own.index.is_unique and own["skip"].isna().all()
        for split in ("token", "context"):
            for convention in ("paper", "authors"):
                for estimate in SHOWN:
                    row, wanted = own.loc[(split, convention, estimate)], one.estimate(estimate, split, convention)
                    assert [row[column] for column in wanted] == list(wanted.values())
        test = one.estimate("norm_test")["error"]["value"]
        assert own.loc[("token", "paper", "norm_test/error"), "value"] == test
        assert set(own["l0"]) == {one.l0} and set(own["d_sae"]) == {D_SAE}
    alone = many["tanh"].to_frame()
    assert len(alone) == (frame.sae == "tanh").sum() and set(alone["sae"]) == {""}


def test_an_estimate_without_a_value_says_why(many):
    same = np.repeat(X[:, :, :1], 3, axis=2) * np.float32([1, 2, 3])
    frame = decompose(same, reconstructions=same, **QUICK).to_frame()
    empty = frame[frame.estimate == "vector_r2"]
    assert empty["value"].isna().all() and set(empty["reason"]) == {"the target has no variance"}


def test_the_plot_shows_the_two_parts_of_each_fvu(many):
    (axes,) = many.plot().axes
    heights = [bar.get_height() for bar in axes.patches]
    nonlinear = [one.estimate("fvu_nonlinear")["value"] for one in many.values()]
    whole = [one.estimate("fvu")["value"] for one in many.values()]
    assert heights == pytest.approx([*nonlinear, *np.subtract(whole, nonlinear)])
    assert [text.get_text().split("\n")[0] for text in axes.get_xticklabels()] == list(many)
    assert len(many["tanh"].plot().axes[0].patches) == 2


# The parts of each row.


def test_the_parts_add_up_and_have_the_norms_of_the_table(many):
    for name, sae in SAES.items():
        parts = many[name].parts
        sae.requires_grad_(False)
        flat = torch.from_numpy(X.reshape(-1, D_MODEL))
        error = (flat - sae.decode(sae.encode(flat))).numpy()
        assert isinstance(parts.error, np.memmap) and parts.error.shape == error.shape
        np.testing.assert_allclose(parts.error, error, atol=1e-4)
        np.testing.assert_allclose(parts.linear + parts.nonlinear, parts.error, atol=1e-4)
        table = parts.to_frame()
        assert list(table.columns[:3]) == ["context", "position", "kept"] and table.kept.all()
        for part in ("error", "linear", "nonlinear"):
            norms = (getattr(parts, part).astype(np.float64) ** 2).sum(1)
            np.testing.assert_allclose(table[f"norm_sq_{part}"], norms, rtol=1e-3, atol=1e-3)
        assert (table.l0 == K).all()
        held_out = table[table.held_out_token]
        assert len(held_out) == many[name].estimate("vector_r2")["rows"]
        assert table.groupby("context").held_out_context.nunique().max() == 1


def test_the_linear_part_of_a_row_comes_from_other_contexts(many):
    """Least squares on the contexts of the other folds, written out."""
    parts = many["linear"].parts
    fold = draw_splits(*X.shape[:2], DEFAULTS.fit_share, QUICK["folds"], 0).fold
    x = np.concatenate([X.reshape(-1, D_MODEL), np.ones((X[..., 0].size, 1))], 1).astype(np.float64)
    of_row = np.repeat(fold, X.shape[1])
    for number in range(QUICK["folds"]):
        fitted = np.linalg.lstsq(x[of_row != number], np.array(parts.error)[of_row != number], rcond=None)[0]
        np.testing.assert_allclose(parts.linear[of_row == number], x[of_row == number] @ fitted, atol=2e-4)


def test_rows_that_are_masked_or_outliers_have_their_place(tmp_path):
    mask = np.ones(X.shape[:2], dtype=bool)
    mask[::2, 50:] = False
    parts = decompose(X, TopK(X), mask=mask, outlier_norm_ratio=1.8, parts=tmp_path / "p", **QUICK).parts
    table = RowParts(tmp_path / "p").to_frame()
    assert len(table) == mask.sum() == len(parts.error) and 0 < (~table.kept).sum() < 40
    assert not table[~table.kept].held_out_token.any()
    assert [*zip(table.context, table.position, strict=True)] == [*zip(*np.nonzero(mask), strict=True)]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.npy").write_text("x")
    with pytest.raises(ArtifactError, match="is not empty"):
        decompose(X, TopK(X), parts=tmp_path, **QUICK)
    with pytest.raises(ArtifactError, match="holds no parts"):
        RowParts(tmp_path)


# SAEBench.


def test_the_document_fits_saebench_s_schema(many):
    for one in many.values():
        document = json.loads(json.dumps(to_saebench(one, "release", "id")))
        jsonschema.validate(document, CORE)
        missing = document["eval_result_unstructured"]["not_measured"]
        assert "kl_div_score" in missing and "explained_variance" not in missing and "l1" not in missing
        intervals = document["eval_result_unstructured"]["decomposition"]["estimates"]["token"]["paper"]
        assert intervals["fvu_nonlinear"]["low"] < intervals["fvu_nonlinear"]["high"]


def test_its_numbers_are_those_of_the_rows(many):
    """As SAEBench writes them out, on all rows at once."""
    sae = TopK(X).requires_grad_(False)
    x = torch.from_numpy(X.reshape(-1, D_MODEL))
    acts = sae.encode(x)
    out = sae.decode(acts)
    density = (acts > 0).float().mean(0)
    squared = (x - out).square().sum(1)
    expected = {
        "explained_variance": 1 - squared.sum() / (x - x.mean(0)).square().sum(),
        "explained_variance_legacy": (1 - squared / (x - x.mean(0)).square().sum(1)).mean(),
        "mse": squared.mean(),
        "cossim": torch.nn.functional.cosine_similarity(x, out).mean(),
        "l2_norm_in": x.norm(dim=1).mean(),
        "l2_norm_out": out.norm(dim=1).mean(),
        "l2_ratio": (out.norm(dim=1) / x.norm(dim=1)).mean(),
        "relative_reconstruction_bias": out.square().sum(1).mean() / (x * out).sum(1).mean(),
        "l0": (acts > 0).sum(1).float().mean(),
        "l1": acts.sum(1).mean(),
        "frac_alive": (density > 0).float().mean(),
        "freq_over_1_percent": (density > 0.01).float().mean(),
        "normalized_freq_over_10_percent": density[density > 0.1].sum() / density.sum(),
    }
    metrics = to_saebench(many["linear"])["eval_result_metrics"]
    result = {name: value for category in metrics.values() for name, value in category.items()}
    for name, value in expected.items():
        assert result[name] == pytest.approx(float(value), rel=1e-4), name
    assert result["total_tokens_eval_sparsity_variance"] == len(x) and math.isnan(result["ce_loss_score"])


# On the command line.


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    for name in ("widths-512", "widths-64", "other"):
        (tmp_path / "saes").mkdir(exist_ok=True)
        TopK(X).save(tmp_path / "saes" / name)
    return tmp_path


EXPRESSIONS = [
    (["saes/widths-64"], (["saes/widths-64"], False)),
    (["saes/widths-.*"], (["saes/widths-64", "saes/widths-512"], True)),
    (["saes/(other|widths-5.*)"], (["saes/other", "saes/widths-512"], True)),
    (["saes/other", "saes/widths-.*", "saes/other"], (["saes/other", "saes/widths-64", "saes/widths-512"], True)),
]


@pytest.mark.parametrize(("words", "result"), EXPRESSIONS)
def test_what_sae_names(inside, words, result):
    assert choose(words) == result


def test_an_expression_over_the_registry():
    release = next(name for name in releases() if len(saes_of(name)) > 3)
    chosen, many = choose([f"{release}/.*"])
    assert many and sorted(chosen) == sorted(f"{release}/{one.id}" for one in saes_of(release))


@pytest.mark.parametrize(
    ("word", "message"),
    [("saes/x.*", "fits no SAE of the folders below saes; there are saes/other"), ("saes/(", "no regular expression")],
)
def test_an_expression_that_names_none(inside, word, message):
    with pytest.raises(ArtifactError, match=message):
        choose([word])


def test_short_names_are_what_differs():
    assert short_names(["a/b/c", "a/b/d/e"]) == ["c", "d/e"]
    assert short_names(["a/b"]) == ["b"]
    assert short_names(["../x", "y"]) == ["x", "y"]
    assert choose(["saes/a", "saes/a/"]) == (["saes/a"], True)


def test_the_command_prints_and_writes_all_of_them(inside, capsys):
    command = ["decompose", "--activations", "x.npy", "--sae", "saes/widths-.*", "--threads", "1"]
    main([*command, "--out", "all.json", "--parts", "parts", "--saebench", "bench"])
    said = capsys.readouterr().out
    result = json.loads((inside / "all.json").read_text())
    assert set(result) == {"widths-64", "widths-512"}
    own = decompose(X, TopK(X), threads=1)
    for name, one in result.items():
        assert one["estimates"] == own.estimates
        assert one["source"]["sae"]["reference"] == f"saes/{name}"
        assert len(RowParts(inside / "parts" / name).error) == own.rows
        document = json.loads((inside / "bench" / f"{name}_eval_results.json").read_text())
        jsonschema.validate(document, CORE)
    assert said.startswith("widths-64\n720 rows") and "\n\nwidths-512\n720 rows" in said
