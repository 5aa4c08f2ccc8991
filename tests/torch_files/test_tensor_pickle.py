"""Files of `torch.save` come as torch itself reads them; whatever else is in one is refused, and never runs."""

import copyreg
import io
import os
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darkmatter.models.activation_files import widened
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.torch_files.read import map_tensors

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32]
DTYPES += [torch.int16, torch.int8, torch.uint8, torch.bool]


def saved(path: Path, content: object, **options: object) -> Path:
    torch.save(content, path, **options)
    return path


def read_tensors(path: Path) -> dict[str, np.ndarray] | list[np.ndarray] | np.ndarray:
    """What is mapped, as numbers that torch's can be compared with."""

    def numbers(array: np.ndarray, bfloat16: bool) -> np.ndarray:
        return widened(array) if bfloat16 else array

    result = map_tensors(path)
    if isinstance(result, dict):
        return {name: numbers(*tensor) for name, tensor in result.items()}
    return [numbers(*tensor) for tensor in result] if isinstance(result, list) else numbers(*result)


def assert_equal(values: np.ndarray, tensor: torch.Tensor) -> None:
    expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
    assert values.dtype == expected.dtype and values.shape == expected.shape
    np.testing.assert_array_equal(values, expected)


def numbered(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return (torch.arange(int(np.prod(shape, dtype=int))).reshape(shape) % 100).to(dtype)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_and_shape(tmp_path, dtype, protocol):
    whole = numbered((6, 8), dtype)
    content = {
        "plain": whole,
        "shares": whole[2:4],
        "transposed": numbered((3, 5), dtype).T,
        "steps": numbered((4, 9), dtype)[::2, 1::3],
        "scalar": numbered((1,), dtype)[0],
        "empty": torch.empty((0, 4), dtype=dtype),
        "none": torch.empty((0,), dtype=dtype),
        "deep": numbered((2, 1, 3, 1, 2), dtype),
    }
    result = read_tensors(saved(tmp_path / "a.pt", content, pickle_protocol=protocol))
    assert list(result) == list(content)
    for name, tensor in content.items():
        assert_equal(result[name], tensor)
    assert np.shares_memory(result["plain"], result["shares"]) == (dtype != torch.bfloat16)  # maps of one storage


@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    order=st.randoms(use_true_random=False),
    step=st.integers(1, 3),
    dtype=st.sampled_from(DTYPES),
    start=st.integers(0, 3),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_views_are_what_torch_reads(tmp_path, shape, order, step, dtype, start):
    view = numbered(tuple(shape), dtype)
    view = view.permute(order.sample(range(view.ndim), view.ndim))
    view = view[start::step] if view.ndim else view
    path = saved(tmp_path / "a.pt", [view, torch.nn.Parameter(view, False)])
    expected = torch.load(path, weights_only=True)
    for result, tensor in zip(read_tensors(path), expected, strict=True):
        assert_equal(result, tensor)


def test_structures(tmp_path, monkeypatch):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = module.state_dict()
    assert state._metadata
    for content in (state, dict(module.named_parameters()), OrderedDict(state)):
        result = read_tensors(saved(tmp_path / "a.pt", content))
        assert list(result) == list(content)
        for name, tensor in content.items():
            assert_equal(result[name], tensor)
    x = torch.randn(2, 3)
    assert_equal(read_tensors(saved(tmp_path / "a.pt", x)), x)
    listed = read_tensors(saved(tmp_path / "a.pt", (x, x[0])))
    assert isinstance(listed, list) and [array.shape for array in listed] == [(2, 3), (3,)]
    nested = read_tensors(saved(tmp_path / "a.pt", {"a": {"b": [x, x], 3: x}, "c": x}))
    assert list(nested) == ["a.b.0", "a.b.1", "a.3", "c"]
    assert read_tensors(saved(tmp_path / "a.pt", {})) == {}
    assert read_tensors(saved(tmp_path / "a.pt", [])) == []


def test_maps_and_bfloat16(tmp_path):
    x = torch.randn(4, 3)
    path = saved(tmp_path / "a.pt", {"x": x, "half": x.bfloat16()})
    result = map_tensors(path)
    array, bfloat16 = result["x"]
    assert not bfloat16 and not array.flags.writeable and not array.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    array, bfloat16 = result["half"]
    assert bfloat16 and array.dtype == np.uint16
    assert_equal(read_tensors(path)["half"], x.bfloat16())


# Files by hand.

TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
FLOATS = b"ctorch\nFloatStorage\n"


def text(string: str) -> bytes:
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def number(value: int) -> bytes:
    encoded = value.to_bytes(12, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(offset=0, size=(2,), stride=(1,), count=4, key="0", storage=FLOATS, hooks=b"N", more=b"", call=TENSOR):
    stored = b"(" + text("storage") + storage + text(key) + text("cpu") + number(count) + b"tQ"
    return call + b"(" + stored + number(offset) + numbers(*size) + numbers(*stride) + b"\x89" + hooks + more + b"tR"


def write(
    path: Path, program: bytes, names=("data.pkl", "data/0"), byteorder=b"little", compression=zipfile.ZIP_STORED
):
    """A file as torch.save writes it, around a program of ours; data/0 holds four float32."""
    contents = {"data.pkl": b"\x80\x02" + program + b".", "data/0": np.arange(4, dtype="<f4").tobytes()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.writestr(f"archive/{name}", contents.get(name, b""))
        archive.writestr("archive/byteorder", byteorder)
        archive.writestr("archive/version", b"3\n")
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(ArtifactError, match=match) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)


def test_a_file_by_hand_is_read(tmp_path):
    path = write(tmp_path / "a.pt", tensor())
    np.testing.assert_array_equal(read_tensors(path), [0, 1])
    assert torch.equal(torch.load(path, weights_only=False), torch.tensor([0.0, 1.0]))


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "code of the file has run"


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def shell(canary: Path) -> bytes:
    return text(f"touch {canary}")


SYSTEM = b"cos\nsystem\n"
RUN = {  # each leaves the canary behind when Python's own unpickler reads it
    "REDUCE": lambda canary: SYSTEM + shell(canary) + b"\x85R",
    "STACK_GLOBAL": lambda canary: text("os") + text("system") + b"\x93" + shell(canary) + b"\x85R",
    "strings out of the memo": lambda canary: (
        b"]" + text("os") + b"q\0" + text("system") + b"q\1" + b"\x86a" + b"h\0h\1\x93" + shell(canary) + b"\x85R\x86"
    ),
    "INST": lambda canary: b"(" + shell(canary) + b"ios\nsystem\n",
    "OBJ": lambda canary: b"(" + SYSTEM + shell(canary) + b"o",
    "EXT": lambda canary: b"\x82\xf0" + shell(canary) + b"\x85R",
    "getattr": lambda canary: (
        (b"cbuiltins\ngetattr\n" + b"cbuiltins\n__import__\n" + text("os") + b"\x85R" + text("system") + b"\x86R")
        + shell(canary)
        + b"\x85R"
    ),
    "eval": lambda canary: b"cbuiltins\neval\n" + text(f"open({str(canary)!r}, 'w')") + b"\x85R",
    "nested": lambda canary: (
        b"c_pickle\nloads\nB"
        + struct.pack("<I", len(inner := b"\x80\x02" + SYSTEM + shell(canary) + b"\x85R."))
        + inner
        + b"\x85R"
    ),
    "after a tensor": lambda canary: tensor() + SYSTEM + shell(canary) + b"\x85R\x86",
    "as a key": lambda canary: b"}" + SYSTEM + shell(canary) + b"\x85R" + text("v") + b"s",
}


class Loose(pickle.Unpickler):
    """Python's own, which runs what it reads."""

    def persistent_load(self, pid):
        return torch.zeros(4)._typed_storage()


@pytest.mark.parametrize("way", RUN)
def test_code_never_runs(tmp_path, canary, monkeypatch, way):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # torch.load would run the file now
    copyreg.add_extension("os", "system", 0xF0)
    try:
        program = RUN[way](tmp_path / "proof")
        Loose(io.BytesIO(b"\x80\x02" + program + b".")).load()
        assert (tmp_path / "proof").exists(), "the program does not run at all, so this test shows nothing"
        refused(write(tmp_path / "a.pt", RUN[way](canary)), "would run as code, so the file is refused")
    finally:
        copyreg.remove_extension("os", "system", 0xF0)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "system"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch", "hub.load"),
        ("torch", "FloatStorage.from_file"),
        ("torch", "UntypedStorage"),
        ("torch", "ComplexFloatStorage"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch._utils", "_rebuild_parameter_with_state"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch._tensor", "_rebuild_from_type_v2"),
        ("torch.serialization", "load"),
        ("torch.jit", "load"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "load"),
        ("_codecs", "encode"),
        ("builtins", "getattr"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("collections", "defaultdict"),
        ("collections", "OrderedDict.update"),
    ],
)
def test_nothing_but_tensors_may_be_named(tmp_path, module, name):
    for program in (f"c{module}\n{name}\n".encode(), text(module) + text(name) + b"\x93"):
        refused(write(tmp_path / "a.pt", program + b")R"), f"holds `{module}.{name}`, which no tensor needs")


PROGRAMS = {
    "NEWOBJ": (b"ccollections\nOrderedDict\n)\x81", "the opcode NEWOBJ"),
    "NEWOBJ_EX": (b"ccollections\nOrderedDict\n)}\x92", "the opcode NEWOBJ_EX"),
    "bytes": (b"C\1a", "the opcode SHORT_BINBYTES"),
    "text persistent id": (b"P0\n", "the opcode PERSID"),
    "DUP": (b"N2\x86", "the opcode DUP"),
    "state of a tensor": (tensor() + b"}" + text("_metadata") + b"}sb", "the state of an object"),
    "state of a dict": (b"}}" + text("_metadata") + b"}sb", "the state of an object"),
    "other state": (b"ccollections\nOrderedDict\n)R}" + text("__class__") + b"}sb", "the state of an object"),
    "arguments of OrderedDict": (b"ccollections\nOrderedDict\n]\x85R", "a call of"),
    "a call of a storage type": (FLOATS + b")R", "a call of"),
    "a call of a string": (text("os.system") + b")R", "a call of"),
    "a call of a pair that looks like a name": (
        tensor(call=text("torch._utils") + text("_rebuild_tensor_v2") + b"\x86"),
        "a call of",
    ),
    "hooks": (tensor(hooks=b"}" + text("hook") + b"Ns"), "hooks or metadata"),
    "negated": (tensor(more=b"}" + text("neg") + b"\x88s"), "hooks or metadata"),
    "a parameter's hooks": (
        b"ctorch._utils\n_rebuild_parameter\n" + tensor() + b"\x88}" + text("a") + b"Ns\x87R",
        "a parameter with hooks",
    ),
    "the memo twice": (tensor() + b"q\0q\0", "memo 0 is written twice"),
    "an empty memo": (b"h\7", "KeyError"),
    "an empty stack": (b"R", "IndexError"),
    "two values": (b"NN", "not written by torch.save"),
    "below the mark": (tensor() + b"(R", "below the last mark"),
    "a key twice": (b"}(" + (text("a") + tensor()) * 2 + b"u", "'a' appears twice"),
    "a key that is a tensor": (b"}" + tensor() + tensor() + b"s", "a key of type View"),
    "a long key": (b"}" + text("a" * 300) + tensor() + b"s", "longer than 200"),
    "append to a dict": (b"}" + tensor() + b"a", "no list"),
    "set in a list": (b"]" + text("a") + tensor() + b"s", "no dict"),
    "a name in place of a storage": (tensor(storage=TENSOR), "a storage that is none"),
    "a string in place of a storage": (TENSOR + b"(" + text("0") + number(0) + b"))\x89NtR", "no storage"),
    "a plain number": (
        b"}" + text("epoch") + number(3) + b"s",
        "epoch is 3, not a tensor. Only files that hold tensors",
    ),
    "nothing": (b"N", "its content is None, not a tensor"),
    "a list of dicts": (b"]}" + text("a") + tensor() + b"sa", "a list of something else than tensors"),
    "two of one name": (
        b"}(" + text("a.b") + tensor() + text("a") + b"}" + text("b") + tensor() + b"su",
        "two tensors named a.b",
    ),
    "a dict in itself": (b"}q\0" + text("a") + b"h\0s", "levels of dicts"),
    "negative size": (tensor(size=(-1,)), "a negative size"),
    "negative stride": (tensor(offset=3, stride=(-1,)), "a negative size, offset or stride"),
    "negative offset": (tensor(offset=-1), "a negative size, offset or stride"),
    "negative count": (tensor(count=-4), "a storage that is none"),
    "other ranks": (tensor(size=(2, 1)), "a negative size, offset or stride"),
    "33 dimensions": (tensor(size=(1,) * 33, stride=(1,) * 33), "a negative size, offset or stride"),
    "offset beyond": (tensor(offset=3), "reaches beyond its storage"),
    "stride beyond": (tensor(stride=(4,)), "reaches beyond its storage"),
    "size beyond": (tensor(size=(5,)), "reaches beyond its storage"),
    "huge": (tensor(size=(2**40, 2**40), stride=(0, 0)), "more than 8 times its own size"),
    "huge and empty": (tensor(size=(0, 2**80), stride=(1, 1)), "truncated or damaged"),
    "expanded": (tensor(size=(5,), stride=(0,)), r"an expanded view, 5 numbers of a storage of 4.*contiguous"),
    "more numbers than bytes": (tensor(count=5), "has 16 bytes, not 5 numbers of a FloatStorage"),
    "no such storage": (tensor(key="1"), "lacks data/1"),
    "another member": (tensor(key="../byteorder"), "lacks data/../byteorder"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_describe_no_tensors(tmp_path, name):
    program, message = PROGRAMS[name]
    refused(write(tmp_path / "a.pt", program), message)


def test_one_storage_under_two_types(tmp_path):
    ints = tensor(storage=b"ctorch\nIntStorage\n")
    assert read_tensors(write(tmp_path / "a.pt", ints)).dtype == np.int32
    refused(write(tmp_path / "a.pt", tensor() + ints + b"\x86"), "is described in two ways")


def test_true_and_false(tmp_path):
    bools = tensor(storage=b"ctorch\nBoolStorage\n", count=16)
    refused(write(tmp_path / "a.pt", bools), "something else than true and false")


def test_lists_in_lists_without_end(tmp_path):
    """Each holds the one before 30 times; pairs keep all of them in the program."""
    program = b"]q\0"
    for place in range(1, 9):
        program += b"](" + bytes([ord("h"), place - 1]) * 30 + b"e" + bytes([ord("q"), place]) + b"\x86"
    program = b"}" + text("a") + program + b"s"
    assert len(program) < 1000
    refused(write(tmp_path / "a.pt", program), "more than 1000000 entries")


def test_many_views_of_one_storage(tmp_path):
    views = b"](" + tensor(size=(4,)) * 20 + b"e"
    path = write(tmp_path / "a.pt", views)
    assert len(read_tensors(path)) == 20  # 320 bytes of a file of some thousand
    x = torch.zeros(3000)
    assert len(read_tensors(saved(tmp_path / "b.pt", [x[i:] for i in range(7)]))) == 7
    refused(saved(tmp_path / "b.pt", [x[i:] for i in range(20)]), "more than 8 times")


# The zip around it.


def test_zips_that_torch_does_not_write(tmp_path):
    path = tmp_path / "a.pt"
    refused(write(path, tensor(), compression=zipfile.ZIP_DEFLATED), "is compressed, which torch.save never does")
    with pytest.warns(UserWarning, match="Duplicate name"):
        write(path, tensor(), ("data.pkl", "data/0", "data/0"))
    refused(path, "holds a member twice")
    refused(write(path, tensor(), byteorder=b"big"), "big-endian")
    refused(write(path, tensor(), ("data.pkl",)), "lacks data/0")
    refused(write(path, tensor(), ("data/0",)), "not of torch.save: it has no data.pkl")
    refused(write(path, tensor(), ("data.pkl", "code/__torch__.py")), r"is TorchScript.*torch\.jit\.load\('a\.pt'")
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * (64 << 20))
    refused(bomb, "compressed")


def test_a_large_data_pkl(tmp_path, monkeypatch):
    path = write(tmp_path / "a.pt", tensor())
    monkeypatch.setattr("darkmatter.torch_files.archive.PICKLE_LIMIT", 10)
    refused(path, "data.pkl has .* bytes, more than 10")


def test_torchscript(tmp_path):
    path = tmp_path / "a.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    refused(path, r"is TorchScript: it holds code")


def test_damaged_files(tmp_path):
    path = saved(tmp_path / "a.pt", {"x": torch.randn(50), "y": torch.randn(50)})
    whole = path.read_bytes()
    for stop in (0, 3, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:stop])
        refused(path, "a.pt")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        starts = {member.filename.split("/", 1)[1]: member.header_offset + 70 for member in archive.infolist()}
        place = whole.index(archive.read("a/data/1")) + 7
    flipped = bytearray(whole)
    flipped[place] ^= 1
    path.write_bytes(flipped)
    refused(path, "data/1 has another checksum")
    flipped = bytearray(whole)
    flipped[starts["data.pkl"] + 60] ^= 1
    path.write_bytes(flipped)
    refused(path, "data.pkl has another checksum")
    flipped = bytearray(whole)
    flipped[0] ^= 1
    path.write_bytes(flipped)
    refused(path, "no file of torch.save")
    path.write_bytes(whole + whole)
    refused(path, "behind foreign bytes")
    path.write_bytes(whole)
    assert read_tensors(path)["x"].shape == (50,)
    with pytest.raises(ArtifactError, match="does not exist"):
        read_tensors(tmp_path / "none.pt")


@pytest.mark.parametrize("seed", range(3))
def test_any_flipped_bytes_are_refused_or_change_nothing(tmp_path, seed):
    x = torch.randn(20)
    whole = saved(tmp_path / "a.pt", {"x": x}).read_bytes()
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        (tmp_path / "b.pt").write_bytes(changed)
        try:
            result = read_tensors(tmp_path / "b.pt")
        except ArtifactError:
            continue
        assert_equal(result["x"], x)


def test_members_that_share_bytes(tmp_path):
    path = write(tmp_path / "a.pt", tensor(), ("data.pkl", "data/0", "data/1"))
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"archive/data/{key}").header_offset for key in "01")
    entry = whole.rindex(b"archive/data/1") - 46
    assert whole[entry : entry + 4] == b"PK\1\2" and second > first
    whole[entry + 42 : entry + 46] = struct.pack("<I", first)
    path.write_bytes(whole)
    refused(path, "begins within another member")


def test_bytes_behind_the_program(tmp_path, canary):
    refused(write(tmp_path / "a.pt", tensor() + b"." + SYSTEM + shell(canary) + b"\x85R"), "bytes after its end")


def test_formats_of_before(tmp_path, canary):
    path = saved(tmp_path / "a.pt", {"x": torch.zeros(2)}, _use_new_zipfile_serialization=False)
    refused(path, r"as torch wrote before 1\.6.*torch\.save\(torch\.load\('a\.pt', 'cpu'\), 'new\.pt'\)")
    path.write_bytes(pickle.dumps(Call(os.system, f"touch {canary}")))
    refused(path, r"a bare pickle")
    path.write_bytes(b"a tar of before" + b"\0" * 1000)
    refused(path, r"is no file of torch\.save: it is no zip, but begins with b'a tar of before")


def test_what_torch_writes_of_other_things_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    refused(saved(path, torch.nn.Linear(2, 2)), r"holds `torch\.nn\.modules\.linear\.Linear`")
    refused(saved(path, {"x": np.zeros(2)}), r"holds `numpy")
    refused(saved(path, {"x": torch.zeros(2), "name": "mine"}), "name is 'mine', not a tensor")
    refused(saved(path, torch.zeros(2, dtype=torch.complex64)), "ComplexFloatStorage")
    refused(saved(path, torch.zeros(3).expand(4, 3)), "expanded view")
    refused(saved(path, torch.zeros(2, 2).to_sparse()), "_rebuild_sparse_tensor")


def test_the_programs_here_are_valid(tmp_path):
    """A program that Python cannot even parse would be refused for that alone."""
    for program, _ in PROGRAMS.values():
        list(pickletools.genops(b"\x80\x02" + program + b"."))
