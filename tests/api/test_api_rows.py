"""Which rows take part: masks, contexts of unequal length, and what `decompose` says of the rows it was given."""

import json

import numpy as np
import pytest
import torch
from api_case import CONTEXTS, D_MODEL, POSITIONS, QUICK, Nonlinear, TopK, make_activations
from decomposition_reference import fvu, r2, regress, sq

from darkmatter import decompose
from darkmatter.api.contexts import store
from darkmatter.api.decompose import DEFAULTS
from darkmatter.cli import main
from darkmatter.regression.splits import draw_splits
from darkmatter.storage.artifacts import ArtifactError

X = make_activations()
LENGTHS = np.random.default_rng(1).integers(25, POSITIONS + 1, CONTEXTS)
LENGTHS[3] = POSITIONS
MASK = np.arange(POSITIONS) < LENGTHS[:, None]
FLAT, IDS = X[MASK], np.repeat(np.arange(CONTEXTS) + 5, LENGTHS)
HOLES = MASK & (np.random.default_rng(2).random(MASK.shape) < 0.9)


def filled(mask, value):
    x = X.copy()
    x[~mask] = value
    return x


def garbage(mask=MASK):
    """NaN, infinities and huge numbers where the mask is 0."""
    x = filled(mask, 1e30)
    x[~mask, 0], x[0][~mask[0], 1] = np.nan, np.inf
    return x


def naive(x, output, mask, split, folds=QUICK["folds"]):
    """The numbers of one split, from all rows at once in float64."""
    splits = draw_splits(CONTEXTS, POSITIONS, DEFAULTS.fit_share, folds, DEFAULTS.split_seed, mask)
    kept = mask.ravel()
    fitted = splits.fits_on(split).ravel()[kept]
    x, output = x.reshape(-1, D_MODEL)[kept].astype(np.float64), output.reshape(-1, D_MODEL)[kept].astype(np.float64)
    error = x - output
    linear, size = regress(x, error, fitted), sq(error)[:, None]
    return {
        "fvu": fvu(x, output, ~fitted),
        "fvu_nonlinear": fvu(x, output + linear, ~fitted),
        "vector_r2": r2(error, linear, ~fitted),
        "norm_r2": r2(size, regress(x, size, fitted), ~fitted),
    }


@pytest.fixture(scope="module")
def of_mask():
    return decompose(X, TopK(X), mask=MASK, **QUICK)


@pytest.mark.parametrize("kind", [TopK, Nonlinear])
@pytest.mark.parametrize("mask", [MASK, HOLES], ids=["ends", "holes"])
def test_masked_rows_take_part_in_nothing(kind, mask):
    sae = kind(X).requires_grad_(False)
    codes = sae.encode(torch.from_numpy(X.reshape(-1, D_MODEL)))
    output = sae.decode(codes).numpy().reshape(X.shape)
    result = decompose(garbage(mask), sae, mask=mask, **QUICK)
    for split in ("token", "context"):
        for name, value in naive(X, output, mask, split).items():
            assert result.estimate(name, split)["value"] == pytest.approx(value, abs=1e-5), (split, name)
    fires = codes.numpy()[mask.ravel()] > 0
    assert result.l0 == pytest.approx(fires.sum(1).mean())
    assert result.dead_latents == int((~fires.any(0)).sum())
    assert (result.rows, result.masked_rows, result.dropped_rows) == (mask.sum(), (~mask).sum(), 0)
    assert f"{(~mask).sum()} masked rows left out" in str(result)
    given = decompose(garbage(mask), reconstructions=filled(mask, np.nan) * 0 + output, mask=mask, **QUICK)
    for split in ("token", "context"):
        assert given.estimate("fvu", split)["value"] == pytest.approx(result.estimate("fvu", split)["value"], abs=1e-6)


SAME_ROWS = {
    "padded with garbage": lambda: {"activations": garbage(), "mask": MASK},
    "attention mask": lambda: {"activations": garbage(), "mask": torch.from_numpy(MASK.astype(np.int64))},
    "ids": lambda: {"activations": FLAT, "context_ids": IDS},
    "shuffled contexts": lambda: {
        "activations": FLAT[np.argsort(np.concatenate([np.arange(n) for n in LENGTHS]), kind="stable")],
        "context_ids": IDS[np.argsort(np.concatenate([np.arange(n) for n in LENGTHS]), kind="stable")],
    },
    "iterator": lambda: {"activations": (x[:length] for x, length in zip(X, LENGTHS, strict=True))},
    "list": lambda: {"activations": [torch.from_numpy(x[:n]) for x, n in zip(X, LENGTHS, strict=True)]},
    "iterator with mask": lambda: {"activations": iter(garbage()), "mask": MASK},
    "flat rows where a mask puts them": lambda: {"activations": FLAT, "mask": MASK},
    "flat with length and mask": lambda: {
        "activations": garbage().reshape(-1, D_MODEL),
        "context_length": POSITIONS,
        "mask": MASK.ravel(),
    },
    "flat with ids and mask": lambda: {
        "activations": garbage().reshape(-1, D_MODEL),
        "context_ids": np.repeat(np.arange(CONTEXTS), POSITIONS),
        "mask": MASK,
    },
}


@pytest.mark.parametrize("form", SAME_ROWS)
def test_masked_rows_and_rows_that_are_not_there_give_the_same_bits(of_mask, form):
    result = decompose(sae=TopK(X), **SAME_ROWS[form](), **QUICK)
    assert (result.estimates, result.regressions) == (of_mask.estimates, of_mask.regressions)
    assert (result.l0, result.dead_latents, result.rows) == (of_mask.l0, of_mask.dead_latents, of_mask.rows)


def test_a_mask_of_ones_changes_nothing():
    ones = decompose(X, TopK(X), mask=np.ones(MASK.shape), **QUICK)
    assert ones.to_json() == decompose(X, TopK(X), **QUICK).to_json()


def test_outliers_are_found_among_the_rows_that_count():
    """The masked rows are huge, and would move the median."""
    mask = np.arange(POSITIONS) < np.full((CONTEXTS, 1), 25)
    x = filled(mask, 1e6)
    x[:, 4] *= 40
    result = decompose(x, TopK(X), mask=mask, outlier_norm_ratio=8, **QUICK)
    assert (result.rows, result.dropped_rows, result.masked_rows) == (24 * CONTEXTS, CONTEXTS, 35 * CONTEXTS)


@pytest.mark.parametrize("name", ["mask", "context_ids"])
def test_command_line_and_python_agree(tmp_path, monkeypatch, capsys, of_mask, name):
    monkeypatch.chdir(tmp_path)
    TopK(X).save(tmp_path / "sae")
    np.save("acts.npy", garbage() if name == "mask" else FLAT)
    np.save("other.npy", MASK if name == "mask" else IDS)
    for option in {"mask": ["--mask", "--attention-mask"], "context_ids": ["--context-ids"]}[name]:
        main(["decompose", "--activations", "acts.npy", "--sae", "sae", "--json", option, "other.npy"])
        result = json.loads(capsys.readouterr().out)
        assert result["rows"] == MASK.sum() and result["source"]["rows"][name]["file"] == "other.npy"
        python = decompose("acts.npy", TopK(X), **{name: "other.npy"}, threads=1)
        for split in ("token", "context"):
            for key in ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2"):
                value = result["estimates"][split]["paper"][key]["value"]
                assert value == pytest.approx(python.estimate(key, split)["value"], abs=1e-5)


def shifted(x, length):
    return np.concatenate([np.full((POSITIONS - length, D_MODEL), 2.0, dtype=np.float32), x[:length]])


PADDED = {
    "zeros": lambda: filled(MASK, 0.0),
    "zeros of both signs": lambda: X * MASK[..., None],
    "one vector": lambda: filled(MASK, np.arange(D_MODEL)),
    "whole contexts of zeros": lambda: np.where(np.arange(CONTEXTS)[:, None, None] < 2, 0, X),
    "whole contexts of one row": lambda: np.where(np.arange(CONTEXTS)[:, None, None] < 2, 1, X),
    "in front": lambda: np.stack([shifted(x, n) for x, n in zip(X, LENGTHS, strict=True)]),
    "iterator": lambda: iter(filled(MASK, 0.0)),
}


@pytest.mark.parametrize("form", PADDED)
def test_what_is_evidently_padding_needs_a_mask_or_a_word(monkeypatch, form):
    message = "contexts 0 and 1 (end|start) with .*--mask FILE.npy"
    with monkeypatch.context() as patch, pytest.raises(ArtifactError, match=message):
        patch.setattr("darkmatter.api.split_error.write_moments", lambda *a, **k: pytest.fail("the work had begun"))
        decompose(PADDED[form](), TopK(X), **QUICK)
    result = decompose(PADDED[form](), TopK(X), mask="none", max_fvu=10, **QUICK)
    count = "60 of 660" if "whole" in form else f"{(~MASK).sum()} of {MASK.size}"
    (note,) = (note for note in result.notes if "rows are equal to another" in note)
    assert f"{count} rows are equal to another row, bit for bit" in note and result.rows == MASK.size
    assert note in str(result)


def test_the_line_that_the_refusal_names_makes_the_mask(of_mask):
    x = filled(MASK, np.arange(D_MODEL))
    with pytest.raises(ArtifactError) as refused:
        decompose(x, TopK(X), **QUICK)
    expression = str(refused.value).split('numpy.save("mask.npy", ')[1].split(". Where")[0][:-1]
    mask = eval(expression, {"x": x})  # noqa: S307
    assert np.array_equal(mask, MASK)


def repeated_at_the_start(x):
    x[:, 0] = 3.0
    return x


NO_PADDING = {
    "ordinary": lambda x: x,
    "same first token": repeated_at_the_start,
    "one context of it": lambda x: np.concatenate([x[:1] * (np.arange(POSITIONS) < 50)[:, None], x[1:]]),
    "one row each": lambda x: x[:, :10].reshape(-1, 1, D_MODEL),
}


@pytest.mark.parametrize("form", NO_PADDING)
def test_rows_that_are_no_padding_are_taken(form):
    result = decompose(NO_PADDING[form](X.copy()), TopK(X), **QUICK, max_fvu=10)
    repeats = {"same first token": CONTEXTS, "one context of it": 10}.get(form)
    assert result.rows == (120 if form == "one row each" else X[..., 0].size) and len(result.notes) == bool(repeats)
    assert not repeats or f"{repeats} of 720 rows are equal" in result.notes[0]


def test_rows_that_are_nearly_the_same_at_the_ends_are_named():
    x = nearly(np.random.default_rng(0).standard_normal((CONTEXTS, 1, D_MODEL)))
    result = decompose(x, TopK(X), max_fvu=10, **QUICK)
    (note,) = result.notes
    assert "contexts end with rows that are nearly the same" in note and "--mask" in note
    assert decompose(x, TopK(X), mask=MASK, **QUICK).notes == []


def nearly(own):
    """Padding of one vector, `own` more in each context, and a little more in each row."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(X.shape)
    return np.where(MASK[..., None], X, np.arange(D_MODEL) + own + noise).astype(np.float32)


@pytest.mark.parametrize("turn", [1, -1], ids=["end", "start"])
def test_rows_that_are_nearly_the_same_in_all_contexts_too_need_a_mask_or_a_word(monkeypatch, turn):
    x = nearly(0)[:, ::turn]
    with monkeypatch.context() as patch, pytest.raises(ArtifactError, match=r"from context to context too.*--mask"):
        patch.setattr("darkmatter.api.split_error.write_moments", lambda *a, **k: pytest.fail("the work had begun"))
        decompose(x, TopK(X), **QUICK)
    assert decompose(x, TopK(X), mask="none", max_fvu=10, **QUICK).rows == MASK.size
    result = decompose(x, TopK(X), mask=MASK[:, ::turn], **QUICK)
    codes = TopK(X).encode(torch.from_numpy(x.reshape(-1, D_MODEL)))
    output = TopK(X).decode(codes).detach().numpy().reshape(x.shape)
    for name, value in naive(x, output, MASK[:, ::turn], "context").items():
        assert result.estimate(name, "context")["value"] == pytest.approx(value, abs=1e-5), name


def test_copies_of_contexts_are_named_as_such():
    (note,) = decompose(np.concatenate([X, X[:3]]), TopK(X), **QUICK).notes
    assert note.startswith("3 of 15 contexts are copies of another, bit for bit")


def test_a_note_never_names_an_option_that_was_decided(capsys):
    x = repeated_at_the_start(X.copy())
    (given,) = decompose(x, TopK(X), **QUICK).notes
    (decided,) = decompose(x, TopK(X), mask="none", **QUICK).notes
    assert "--mask" in given and given.startswith(decided) and "--mask" not in decided


def sinks():
    x = X.copy()
    x[:, 0] = 0.1 * x[:, 0] + 30 * np.median(np.linalg.norm(x, axis=-1)) * np.eye(D_MODEL)[0]
    return x


def test_a_few_rows_with_most_of_the_variance_are_named():
    x = sinks()
    flat = x.reshape(-1, D_MODEL).astype(np.float64)
    squares = sq(flat - flat.mean(0)).reshape(x.shape[:2])
    result = decompose(x, TopK(X), max_fvu=100, **QUICK)
    share = f"{CONTEXTS} of 720 rows hold {squares[:, 0].sum() / squares.sum():.0%} of the variance"
    (note,) = result.notes
    assert share in note and "--outlier-norm-ratio 10" in note
    assert json.loads(result.to_json())["notes"] == result.notes
    without = decompose(x, TopK(X), outlier_norm_ratio=10, **QUICK)
    assert without.notes == [] and without.dropped_rows == CONTEXTS


def test_sinks_of_short_contexts_are_named_and_their_other_rows_are_no_padding():
    x = sinks().reshape(-1, 6, D_MODEL).copy()
    x[:, 0] = sinks()[0, 0]
    (note, _) = decompose(x, TopK(X), max_fvu=100, **QUICK).notes
    assert note.startswith("120 of 720 rows hold")


def test_notes_are_on_standard_error_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    TopK(X).save(tmp_path / "sae")
    np.save("acts.npy", sinks())
    arguments = ["decompose", "--activations", "acts.npy", "--sae", "sae", "--max-fvu", "100", "--json"]
    main(arguments)
    said = capsys.readouterr()
    assert [f"note: {note}" for note in json.loads(said.out)["notes"]] == said.err.splitlines()
    main([*arguments, "--outlier-norm-ratio", "10"])
    assert capsys.readouterr().err == ""


def far():
    x = X.copy()
    x[4] *= 100
    return x


LAST_EMPTY = np.where(np.arange(CONTEXTS)[:, None] == 11, False, MASK)
ERRORS = {
    "another shape": ({"mask": MASK[:, :50]}, r"the mask is \[12, 50\].*it needs one entry per row, \[12, 60\]"),
    "other numbers": ({"mask": MASK * 2}, "other than 0 and 1"),
    "additive": ({"mask": np.where(MASK, 0.0, -np.inf)}, "other than 0 and 1"),
    "nothing": ({"mask": ~MASK & False}, "the mask leaves no row"),
    "an empty context": ({"mask": LAST_EMPTY}, "context 11 has no row that counts"),
    "inverted": ({"activations": filled(MASK, 0.0), "mask": ~MASK | (LENGTHS == POSITIONS)[:, None]}, "says count"),
    "of the other side": ({"activations": filled(MASK, 0.0), "mask": MASK[:, ::-1]}, r"end with \d+ and \d+ zero rows"),
    "turned": (
        {"activations": X.reshape(-1, D_MODEL), "mask": MASK.T, "context_length": POSITIONS},
        "one entry per row",
    ),
    "no file": ({"mask": "nowhere.npy"}, "mask: nowhere.npy does not exist"),
    "no ids": ({"activations": FLAT, "context_ids": "nowhere.npy"}, "context_ids: nowhere.npy does not exist"),
    "NaN that counts": ({"activations": garbage(HOLES), "mask": MASK}, "a NaN or an infinity.*a mask leaves out"),
    "flat rows": ({"activations": FLAT, "mask": HOLES}, r"have \d+ rows, the mask \[12, 60\] has \d+ ones"),
    "flat mask": ({"activations": FLAT, "context_ids": IDS, "mask": MASK}, "one entry per row"),
    "short iterator": ({"activations": iter(X[:11]), "mask": MASK}, "of 12 contexts, activations have 11"),
    "long iterator": ({"activations": iter(X), "mask": MASK[:11]}, "context 11 of activations has 60 rows"),
    "ids of contexts": ({"context_ids": np.arange(CONTEXTS)}, "contexts already: leave out context_ids"),
    "all outliers": ({"activations": far(), "outlier_norm_ratio": 8}, "context 4 has no row below 8 times the median"),
    "other rows": (
        {"activations": FLAT, "context_ids": IDS, "reconstructions": FLAT[::-1], "mask": np.arange(len(FLAT)) > 0},
        "FVU",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_masks_that_cannot_be_meant_are_refused_before_the_work(monkeypatch, case):
    monkeypatch.setattr("darkmatter.api.split_error.write_moments", lambda *a, **k: pytest.fail("the work had begun"))
    changed, message = ERRORS[case]
    with pytest.raises(ArtifactError, match=message):
        decompose(**{"activations": X, "sae": TopK(X), **QUICK, **changed})


def test_a_mask_is_not_for_the_rows_of_a_model(capsys):
    with pytest.raises(SystemExit):
        main(["decompose", "--model", "m", "--sae", "s", "--mask", "none"])
    assert "about the rows of --activations" in capsys.readouterr().err


def test_one_context_far_longer_than_the_others_is_no_table_of_nothing(monkeypatch, tmp_path):
    contexts = [X[0], *(x[:5] for x in X[1:])]
    assert store(contexts, tmp_path / "x.npy").shape == X.shape
    assert (tmp_path / "x.npy").stat().st_size < 128 + 4 * D_MODEL * (POSITIONS + 5 * CONTEXTS)
    monkeypatch.setattr("darkmatter.api.contexts.MANY_CELLS", 500)
    with pytest.raises(ArtifactError, match=r"12 contexts of up to 60 positions hold 115 rows.*Cut the longest"):
        store(contexts, tmp_path / "x.npy")
    assert len(store([x[:30] for x in X], tmp_path / "x.npy").rows) == 30 * CONTEXTS  # many rows are no reason


def test_many_contexts_of_one_row_give_the_same_numbers(monkeypatch):
    x = X[:, :15].reshape(-1, 1, D_MODEL)
    expected = decompose(x, TopK(X), **QUICK)
    for module in ("bootstrap", "sae_estimates"):
        monkeypatch.setattr(f"darkmatter.statistics.{module}.MANY", 50)
    monkeypatch.setattr("darkmatter.statistics.sae_estimates.hookpoint_sums", lambda *a: pytest.fail("n² products"))
    result = decompose(x, TopK(X), **QUICK)
    for split in ("token", "context"):
        for name, estimate in expected.estimates[split]["paper"].items():
            if "value" in estimate:
                of_many = result.estimate(name, split)
                for end in ("value", "low", "high"):
                    assert of_many[end] == pytest.approx(estimate[end], rel=1e-8, abs=1e-10), (split, name, end)
