"""Token ids of a user: any integers are read, each must have a row in the embedding, other containers are named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from api_case import CONTEXTS, save_model
from safetensors.numpy import save_file

from darkmatter.api.model_rows import open_model
from darkmatter.api.model_tokens import make_tokens
from darkmatter.models.load import load_tokenizer
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.text.tokens import check_ids

IDS = np.random.default_rng(0).integers(97, 123, size=(CONTEXTS, 40))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of 258 tokens with a tokenizer of two more, as Gemma 3's has one more."""
    folder = tmp_path_factory.mktemp("model") / "my_model"
    save_model(folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content["added_tokens"] += [
        {"id": 258 + i, "content": name, **special} for i, name in enumerate(("<image>", "<b>"))
    ]
    path.write_text(json.dumps(content))
    opened = open_model(str(folder), None, folder.parent / "work")
    assert len(load_tokenizer(opened.folder)) == 260 and opened.vocab_size == 258
    return opened


@pytest.fixture
def made(model, tmp_path):
    """The function that makes int32 tokens of an array, a file or a text."""

    def make(ids=None, *, path=None, text=None, first=8, length=32):
        if ids is not None:
            np.save(path := tmp_path / "given.npy", ids)
        target = tmp_path / "tokens.npy"
        make_tokens(model, target, text, path, length, first, None)
        return np.load(target)

    return make


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">i8", "<u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_integers_become_int32(made, dtype, order):
    result = made(np.array(IDS, dtype=dtype, order=order))
    assert result.dtype == np.int32 and np.array_equal(result, IDS)


@pytest.mark.parametrize(
    ("dtype", "value"), [("i8", 2**32 + 97), ("u8", 2**64 - 1), ("i8", -100), ("u4", 2**31), ("i2", 260)]
)
def test_an_id_outside_the_embedding_is_named_with_its_place(made, dtype, value):
    ids = IDS.astype(dtype)
    ids[3, 5] = 257  # the last row
    assert np.array_equal(made(ids), ids)
    ids[3, 6] = value
    place = rf"context 3, position 6: token {value} \(unknown to the tokenizer\)"
    with pytest.raises(ArtifactError, match=rf"{place} has no row .* 0 to 257"):
        made(ids)


def test_a_token_beyond_the_embedding_is_refused_only_where_it_is_used(model, made, tmp_path):
    text = tmp_path / "texts.txt"
    text.write_text("a" * 40 + "\n" + "b" * 40 + "\n")
    assert made(text=text).tolist() == load_tokenizer(model.folder)(["a" * 32, "b" * 32])["input_ids"]
    text.write_text("a" * 40 + "\n" + "b" * 30 + "<image>" + "b" * 10 + "\n")
    with pytest.raises(ArtifactError, match=r"texts\.txt, line 2, position 30: token 258 \('<image>'\) has no row"):
        made(text=text)
    made(text=text, length=30)  # the context ends before it
    with pytest.raises(ArtifactError, match=r"context 0, position 0: token 259 \('<b>'\)"):
        made(np.full((2, 40), 259))


def test_check_ids_names_the_document():
    ids = np.array([[0, 1], [2, 3]])
    check_ids(ids, 4, str)
    with pytest.raises(ArtifactError, match=r"book, position 1: token 3 \('3'\)"):
        check_ids(ids, 3, str, ["chapter", "book"])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (IDS.astype(float), r"holds float64\[12, 40\]; token ids are integers.*astype\(np.int64\)"),
        (IDS > 100, "holds bool"),
        (IDS.astype(str), "token ids are integers"),
        (IDS.ravel(), r"holds int64\[480\]; needed is \[context, position\].*reshape"),
        (IDS[None], r"holds int64\[1, 12, 40\]"),
        (IDS[:0], r"holds int64\[0, 40\]"),
        (np.array([[1], [2, 3]], dtype=object), "holds Python objects"),
    ],
)
def test_what_is_not_ids_is_refused(made, ids, message):
    with pytest.raises(ArtifactError, match=message):
        made(ids)
    with pytest.raises(ArtifactError, match="counted from 0"):
        made(IDS, first=-1)


def edges(value, count, side=-1):
    """IDS with `value` so many times at the end (or start) of contexts 2 and 5."""
    ids = IDS[:, ::-side].copy()
    ids[[2, 5], :count] = value
    return ids[:, ::-side]


@pytest.mark.parametrize("side", [-1, 1], ids=["start", "end"])
def test_padding_among_the_tokens_is_refused(made, side):
    for value, count in ((257, 2), (256, 2), (97, 16)):  # <eos>, <bos>, and what may be padding of a zero-like id
        place = rf"2 contexts {'end' if side == 1 else 'start'} .*context 2: {count} times {value}\).*one BOS"
        with pytest.raises(ArtifactError, match=place):
            made(edges(value, count, side))
        fewer = edges(value, count - 1, side)
        assert np.array_equal(made(fewer), fewer)
    once = edges(257, 9, side)
    once[2] = IDS[2]
    assert np.array_equal(made(once), once)


def test_ids_that_only_the_embedding_has_room_for_are_another_tokenizers(tmp_path):
    save_model(tmp_path / "m")
    path = tmp_path / "m" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < 257]
    content["model"]["vocab"] = {name: number for name, number in content["model"]["vocab"].items() if number < 257}
    path.write_text(json.dumps(content))
    (tmp_path / "m" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    model = open_model(str(tmp_path / "m"), None, tmp_path / "work")
    ids = IDS.copy()
    for last, message in ((256, None), (257, "holds token 257, the last of the model's tokenizer is 256")):
        ids[3, 3] = last
        np.save(tmp_path / "ids.npy", ids)
        arguments = (model, tmp_path / "tokens.npy", None, tmp_path / "ids.npy", 32, 8, None)
        if message is None:
            make_tokens(*arguments)
            continue
        with pytest.raises(ArtifactError, match=message):
            make_tokens(*arguments)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("{}")], ids=["none", "damaged"])
def test_ids_need_no_tokenizer(tmp_path, change):
    save_model(tmp_path / "m")
    change(tmp_path / "m" / "tokenizer.json")
    model = open_model(str(tmp_path / "m"), None, tmp_path / "work")
    np.save(tmp_path / "ids.npy", IDS)
    assert make_tokens(model, tmp_path / "tokens.npy", None, tmp_path / "ids.npy", 32, 8, None) == (CONTEXTS, 31)


def save_as(kind, path):
    match kind:
        case "npz":
            np.savez(path, NAME=IDS)
        case "pt" | "pth":
            torch.save(torch.from_numpy(IDS), path)
        case "safetensors":
            save_file({"NAME": IDS}, path)
        case "csv":
            np.savetxt(path, IDS, delimiter=",", fmt="%d")
        case "json":
            path.write_text(json.dumps(IDS.tolist()))
        case "bin":
            IDS.astype(np.uint16).tofile(path)


@pytest.mark.parametrize("kind", ["npz", "pt", "pth", "safetensors", "csv", "json", "bin"])
def test_another_container_is_named_with_a_line_of_python_that_works(made, tmp_path, monkeypatch, kind):
    import safetensors.numpy

    path = tmp_path / f"ids.{kind}"
    save_as(kind, path)
    with pytest.raises(ArtifactError, match=f"ids.{kind} is no .npy but {kind.replace('pth', 'pt')}") as result:
        made(path=path)
    line = re.search(r"`(np\.save.*)`", str(result.value))[1]
    monkeypatch.chdir(tmp_path)
    names = {"np": np, "torch": torch, "safetensors": safetensors, "json": json, "LENGTH": 40}
    exec(line, names)  # noqa: S102
    assert np.array_equal(made(path=tmp_path / "tokens.npy"), IDS)


def test_a_zip_called_npy_or_anything_else_is_no_npy(made, tmp_path):
    np.savez(tmp_path / "a.npz", NAME=IDS)
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npz").read_bytes())
    refused = {"b.npy": "no .npy but npz", "c": "does not exist", ".": "a folder"}
    for name, message in refused.items():
        with pytest.raises(ArtifactError, match=message):
            made(path=tmp_path / name)
    (tmp_path / "d.dat").write_bytes(b"\0" * 100)
    with pytest.raises(ArtifactError, match=r"d\.dat is no \.npy\. Save integers"):
        made(path=tmp_path / "d.dat")
