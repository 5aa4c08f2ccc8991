"""`decompose` on the containers people keep activations in: the numbers of the .npy, or the line that converts it."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from api_case import CONTEXTS, D_MODEL, POSITIONS, QUICK, TopK, make_activations
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from darkmatter import decompose
from darkmatter.api.containers import open_container
from darkmatter.api.contexts import store
from darkmatter.api.numbers import as_float32
from darkmatter.cli import main
from darkmatter.models.activation_files import narrowed, widened
from darkmatter.storage.artifacts import ArtifactError

X = make_activations()
FLAT = X.reshape(-1, D_MODEL)
HALVES = {"acts_10.npy": X[5:], "acts_2.npy": X[:5]}


@pytest.fixture(scope="module")
def expected():
    return decompose(X, TopK(X), **QUICK).to_json()


def npz(folder):
    np.savez(folder / "acts.npz", activations=X)
    return "acts.npz"


def npz_of_two(folder):
    np.savez_compressed(folder / "acts.npz", layer_1=X, layer_2=X + 1)
    return "acts.npz:layer_1"


def safetensors(folder):
    save_file({"activations": X}, folder / "acts.safetensors")
    return "acts.safetensors"


def safetensors_of_two(folder):
    save_file({"blocks.1": X, "tokens": np.zeros(X.shape[:2], np.int32)}, folder / "acts.safetensors")
    return "acts.safetensors:blocks.1"


def shards(folder):
    for name, part in HALVES.items():
        np.save(folder / name, part)
    (folder / "cfg.json").write_text("{}")
    return "."


def shards_of_unequal_length(folder):
    for number, x in enumerate(X):  # one context a file
        (folder / f"{number}").mkdir()
        save_file({"x": x[None]}, folder / f"shard-{number}.safetensors")
    return "."


def saved_by_datasets(folder):
    """As sae-lens's cache of activations."""
    import datasets

    features = {"blocks.1.hook_resid_post": datasets.Array2D(X.shape[1:], "float32")}
    features["token_ids"] = datasets.Sequence(datasets.Value("int32"), length=POSITIONS)
    columns = {"blocks.1.hook_resid_post": list(X), "token_ids": [[1] * POSITIONS] * CONTEXTS}
    datasets.Dataset.from_dict(columns, datasets.Features(features)).save_to_disk(folder / "acts", num_shards=2)
    return "acts"


def arrow(folder, columns, state=None):
    """The files of a saved dataset, without the library."""
    (folder / "acts").mkdir()
    table = pa.table(columns)
    with pa.ipc.new_stream(folder / "acts" / "data.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    state = {"_data_files": [{"filename": "data.arrow"}], **(state or {})}
    (folder / "acts" / "state.json").write_text(json.dumps(state))
    return "acts"


def lists(x):
    return pa.array(x.tolist(), pa.list_(pa.list_(pa.float32())))


CONTAINERS = {
    "npz": npz,
    "npz of two": npz_of_two,
    "safetensors": safetensors,
    "safetensors of two": safetensors_of_two,
    "shards": shards,
    "shard of one context each": shards_of_unequal_length,
    "datasets": saved_by_datasets,
    "arrow": lambda folder: arrow(folder, {"x": lists(X), "tokens": [[1, 2]] * CONTEXTS}),
    "arrow of two": lambda folder: arrow(folder, {"x": lists(X), "y": lists(X + 1)}) + ":x",
}


@pytest.mark.parametrize("form", CONTAINERS)
def test_every_container_gives_the_numbers_of_the_array(tmp_path, monkeypatch, expected, form):
    monkeypatch.chdir(tmp_path)
    assert decompose(CONTAINERS[form](tmp_path), TopK(X), **QUICK).to_json() == expected


FLAT_CONTAINERS = {
    "npz": lambda folder: np.savez(folder / "acts.npz", FLAT) or "acts.npz",
    "safetensors": lambda folder: save_file({"x": FLAT}, folder / "acts.safetensors") or "acts.safetensors",
    "shards": lambda folder: [np.save(folder / f"{n}.npy", FLAT[n * 100 : n * 100 + 100]) for n in range(8)] and ".",
    "arrow": lambda folder: arrow(folder, {"x": pa.array(FLAT.tolist(), pa.list_(pa.float32(), D_MODEL))}),
}


@pytest.mark.parametrize("form", FLAT_CONTAINERS)
def test_flat_rows_of_every_container(tmp_path, monkeypatch, expected, form):
    monkeypatch.chdir(tmp_path)
    path = FLAT_CONTAINERS[form](tmp_path)
    assert decompose(path, TopK(X), context_length=POSITIONS, **QUICK).to_json() == expected
    with pytest.raises(ArtifactError, match="which rows belong to one context"):
        decompose(path, TopK(X), **QUICK)


TENSORS = {
    "tensor": (lambda: torch.from_numpy(X), ""),
    "list of contexts": (lambda: list(torch.from_numpy(X)), ""),
    "list of batches": (lambda: list(torch.from_numpy(X).split(5)), ""),
    "dict of one": (lambda: {"acts": torch.from_numpy(X)}, ""),
    "list of batches of two sizes": (lambda: [torch.from_numpy(X[:1]), torch.from_numpy(X[1:])], ""),
    "dict of two": (lambda: {"acts": torch.from_numpy(X), "ids": torch.zeros(3)}, ":acts"),
}


@pytest.mark.parametrize("form", TENSORS)
def test_tensors_that_torch_saved(tmp_path, expected, form):
    pytest.importorskip("darkmatter.torch_files.read")
    content, name = TENSORS[form]
    torch.save(content(), tmp_path / "acts.pt")
    assert decompose(f"{tmp_path}/acts.pt{name}", TopK(X), **QUICK).to_json() == expected


def test_contexts_of_any_length_in_containers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contexts = [x[: 40 + number] for number, x in enumerate(X)]
    expected = decompose(contexts, TopK(X), **QUICK).to_json()
    ragged = pa.array([x.tolist() for x in contexts], pa.list_(pa.list_(pa.float32())))
    assert decompose(arrow(tmp_path, {"x": ragged}), TopK(X), **QUICK).to_json() == expected
    (tmp_path / "shards").mkdir()
    for number, x in enumerate(contexts):
        np.save(tmp_path / "shards" / f"{number}.npy", x[None])
    assert decompose("shards", TopK(X), **QUICK).to_json() == expected


def test_the_command_reads_them_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    TopK(X).save(tmp_path / "sae")
    npz_of_two(tmp_path)
    main(["decompose", "--activations", "acts.npz:layer_1", "--sae", "sae", "--json", "--threads", "1"])
    result = json.loads(capsys.readouterr().out)
    np.save("acts.npy", X)
    main(["decompose", "--activations", "acts.npy", "--sae", "sae", "--json", "--threads", "1"])
    of_array = json.loads(capsys.readouterr().out)
    assert result["estimates"] == of_array["estimates"]
    assert result["source"]["rows"]["sha256"] != of_array["source"]["rows"]["sha256"]


BITS = narrowed(X)
SIXTEEN_BITS = {
    "of this repository": lambda: BITS,
    "of ml_dtypes": lambda: BITS.view("V2"),
    "torch": lambda: torch.from_numpy(X).bfloat16(),
}


@pytest.mark.parametrize("form", SIXTEEN_BITS)
def test_bfloat16_is_read_as_the_numbers_it_stands_for(tmp_path, form):
    given = SIXTEEN_BITS[form]()
    assert np.array_equal(np.stack(list(store(given, tmp_path / "x.npy"))), widened(BITS))
    if isinstance(given, np.ndarray):
        np.save(tmp_path / "saved.npy", given)
        assert np.array_equal(np.stack(list(store(tmp_path / "saved.npy", tmp_path / "x.npy"))), widened(BITS))
    else:
        save_tensors({"x": given}, tmp_path / "saved.safetensors")
        torch.save(given, tmp_path / "saved.pt")
        for name in ("saved.safetensors", "saved.pt"):
            assert np.array_equal(np.stack(list(store(tmp_path / name, tmp_path / "x.npy"))), widened(BITS))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, torch.float16, torch.float64])
def test_other_floats_are_read(tmp_path, dtype):
    given = X.astype(dtype) if dtype in (np.float16, np.float64) else torch.from_numpy(X).to(dtype)
    np.testing.assert_allclose(np.stack(list(store(given, tmp_path / "x.npy"))), X, rtol=2**-10, atol=1e-3)


IDS = np.random.default_rng(0).zipf(1.3, X.shape) % 50257
WHOLE = {
    "int64": lambda: IDS,
    "int32 tensor": lambda: torch.from_numpy(IDS.astype(np.int32)),
    "bool": lambda: X > 0,
    "ids in uint16": lambda: IDS.astype(np.uint16),
    "even ids in uint16": lambda: np.random.default_rng(0).integers(0, 50257, X.shape).astype(np.uint16),
}


@pytest.mark.parametrize("form", WHOLE)
def test_whole_numbers_are_no_activations(form):
    with pytest.raises(ArtifactError, match=r"whole numbers, such as token ids.*x.astype\(.float32.\)"):
        decompose(WHOLE[form](), TopK(X), **QUICK)


def test_int16_is_refused_with_what_makes_bfloat16_of_it():
    with pytest.raises(ArtifactError, match=r'bits of bfloat16: x.view\("uint16"\)'):
        decompose(BITS.view(np.int16), TopK(X), **QUICK)
    assert np.array_equal(as_float32(BITS.view(np.int16).view("uint16"), 0, "x"), widened(BITS))


def test_zeros_are_bfloat16_too():
    assert not as_float32(np.zeros((3, 4), np.uint16), 0, "x").any()


def ragged_vectors(folder):
    return arrow(folder, {"x": pa.array([[[1.0, 2.0], [3.0]]] * 9)})


def two_suffixes(folder):
    np.save(folder / "a.npy", X)
    save_file({"x": X}, folder / "b.safetensors")
    return "."


def splits(folder):
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return "."


REFUSED = {
    "npz of two": (
        lambda folder: npz_of_two(folder).split(":")[0],
        "arrays layer_1, layer_2; choose one as acts.npz:NAME",
    ),
    "no such array": (lambda folder: npz(folder) + ":other", "arrays activations; choose one"),
    "safetensors of two": (lambda folder: safetensors_of_two(folder).split(":")[0], "arrays blocks.1, tokens; choose"),
    "npy has no names": (lambda folder: np.save(folder / "x.npy", X) or "x.npy:x", "leave out :x"),
    "no file": (lambda folder: "nowhere.npz:x", "nowhere.npz does not exist"),
    "no npz": (lambda folder: (folder / "x.npz").write_bytes(b"no") and "x.npz", "x.npz is no .npz"),
    "no safetensors": (lambda folder: (folder / "x.safetensors").write_bytes(b"no") and "x.safetensors", "is no .saf"),
    "objects": (
        lambda folder: np.savez(folder / "x.npz", x=np.array([{}])) or "x.npz",
        "x of x.npz is no .npy .*Python objects.*concatenate",
    ),
    "code in a pt": (lambda folder: torch.save({"x": print}, folder / "x.pt") or "x.pt", "x.pt"),
    "pt of two": (
        lambda folder: torch.save({"a": torch.ones(2), "b": torch.ones(2)}, folder / "x.pt") or "x.pt",
        "a, b",
    ),
    "two columns": (
        lambda folder: arrow(folder, {"x": lists(X), "y": lists(X)}),
        "vectors x, y; choose one as acts:NAME",
    ),
    "only ids": (lambda folder: arrow(folder, {"ids": [[1, 2]] * 9}), "columns of vectors none"),
    "heads": (lambda folder: arrow(folder, {"x": [[[[1.0]]]] * 9}), "has 3 axes, not .position, d_model"),
    "ragged vectors": (ragged_vectors, "vectors of different length"),
    "nulls": (lambda folder: arrow(folder, {"x": pa.array([[[1.0]], None])}), "has empty entries"),
    "an index": (lambda folder: arrow(folder, {"x": lists(X)}, {"_indices_data_files": [{}]}), "flatten_indices"),
    "splits": (splits, "several splits; choose one of ./train, ./test"),
    "damaged": (lambda folder: arrow(folder, {"x": lists(X)}, {"_data_files": [{"filename": "x"}]}), "is damaged"),
    "no shards": (lambda folder: ".", "but holds none of .npy"),
    "two kinds of shards": (two_suffixes, "but holds .npy, .safetensors"),
    "npz called npy": (lambda folder: (npz(folder), (folder / "acts.npz").rename("x.npy")) and "x.npy", "is no .npy"),
    "compressed": (lambda folder: (folder / "x.npy.gz").write_bytes(b"\x1f\x8b") and "x.npy.gz", "gunzip x.npy.gz"),
    "h5": (lambda folder: (folder / "x.h5").write_bytes(b"x") and "x.h5", r"h5py.File\(.x.h5.\)"),
    "parquet": (lambda folder: (folder / "x.parquet").write_bytes(b"x") and "x.parquet", "pandas.read_parquet"),
    "pickle": (lambda folder: (folder / "x.pkl").write_bytes(b"x") and "x.pkl", "pickle.load"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_read_is_refused_with_what_to_do(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("darkmatter.api.split_error.write_moments", lambda *a, **k: pytest.fail("the work had begun"))
    make, message = REFUSED[case]
    with pytest.raises(ArtifactError, match=message):
        decompose(make(tmp_path), TopK(X), **QUICK)


def test_a_suffix_may_be_in_capitals(tmp_path, expected):
    np.savez(tmp_path / "a.npz", x=X)
    (tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    assert decompose(tmp_path / "A.NPZ", TopK(X), **QUICK).to_json() == expected


@pytest.mark.parametrize("name", ["mask", "context_ids"])
def test_a_mask_and_ids_are_npy_and_nothing_of_another_file_is_taken_for_them(tmp_path, name):
    np.savez(tmp_path / "m.npz", x=np.ones(X.shape[:2]))
    np.save(tmp_path / "o.npy", np.array([{}]))
    for file in ("m.npz", "o.npy"):
        with pytest.raises(ArtifactError, match=rf"{name}: .*{file} is no \.npy .*numpy\.save"):
            decompose(X, TopK(X), **{name: tmp_path / file}, **QUICK)


def test_what_can_be_mapped_is_not_read_into_memory(tmp_path):
    npz(tmp_path)
    assert isinstance(open_container(tmp_path / "acts.npz", tmp_path / "scratch.npy", "x"), np.memmap)
    grid = store(tmp_path / "acts.npz", tmp_path / "x.npy")
    assert isinstance(grid.rows, np.memmap) and not (tmp_path / "x.npy").exists()
