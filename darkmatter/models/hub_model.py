"""A model of the hub, or in a folder of this machine, as a model folder: its weights in the configured dtype.

Only safetensors, the configuration and the tokenizer's files are ever downloaded; a model's own code and pickles are
not. Weights go from file to file, so no more of the model is in memory than one of its files.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from darkmatter.models.load import (
    write_manifest,  # first: it closes the hub for every library that is imported after it
)

# isort: split
import safetensors
import torch
from safetensors.torch import load_file, save_file

from darkmatter.params.data import Model
from darkmatter.params.given import given
from darkmatter.sources.hub import fetch, listing, pinned
from darkmatter.sources.hub_access import Repo
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_bytes, sha256_file, to_json

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
OTHERS = (INDEX, "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
# Blocks in `model.layers`, the residual stream between them: what hookpoints.py reads.
SUPPORTED = ("gemma2", "gemma3_text", "llama", "mistral", "qwen2")
DTYPES = {"float32": "F32", "bfloat16": "BF16"}


def fetch_model(spec: Model) -> dict[str, Path]:
    """The files of a model by name; the configuration comes first, and nothing more of an unsupported model.

    Raises:
        HubError: the hub or the cache does not have them, or not with the committed SHA-256.
        ArtifactError: the model is of a kind that the hookpoints do not know, or has no safetensors.
    """
    repo = repo_of(spec)
    known = [name for name in pinned(repo) if wanted(name)]
    names = known if complete(known) else [name for name in listing(repo) if wanted(name)]
    if not complete(names):
        raise ArtifactError(
            f"{repo} lacks {CONFIG}, {TOKENIZER} or model*.safetensors ({', '.join(names) or 'it has none of them'}); "
            "pickled weights are never loaded. Name another repository or revision in conf/profile/."
        )
    config = fetch(repo, [CONFIG])
    check_kind(config[CONFIG], str(repo))
    return {**config, **fetch(repo, [name for name in names if name != CONFIG])}


def repo_of(spec: Model) -> Repo:
    return Repo(given(spec.repo, "model.repo"), given(spec.revision, "model.revision"), gated=spec.gated)


def folder_model(spec: Model) -> dict[str, Path]:
    """The files by name of a model in a folder of this machine.

    Raises:
        ArtifactError: not a model that can be read, or other files than `spec.sha256` stands for; says what it is now.
    """
    folder = given(spec.folder, "model.folder")
    files = {path.name: path for path in sorted(Path(folder).glob("*")) if wanted(path.name)}
    if not complete(list(files)):
        raise ArtifactError(
            f"model.folder {folder} lacks {CONFIG}, {TOKENIZER} or model*.safetensors; pickled weights are never "
            "loaded. `model.save_pretrained(FOLDER)` and `tokenizer.save_pretrained(FOLDER)` write them."
        )
    check_kind(files[CONFIG], folder)
    digest = sha256_bytes("".join(f"{name} {sha256_file(path)}\n" for name, path in files.items()).encode())
    if spec.sha256 != digest:
        said = "no sha256" if spec.sha256 is None else f"sha256 {spec.sha256}"
        raise ArtifactError(f"model.folder {folder}: the parameters say {said}. Its files are model.sha256={digest}")
    return files


def check_kind(config: Path, where: str) -> None:
    kind = read_json(config).get("model_type")
    if kind not in SUPPORTED:
        raise ArtifactError(
            f"{where} is a model of kind {kind!r}, whose hookpoints are not known here. Supported: "
            f"{', '.join(SUPPORTED)}."
        )


def wanted(name: str) -> bool:
    return name in (CONFIG, TOKENIZER, *OTHERS) or WEIGHTS.fullmatch(name) is not None


def complete(names: list[str]) -> bool:
    return {CONFIG, TOKENIZER} <= {*names} and any(WEIGHTS.fullmatch(name) for name in names)


def write_hub_model(folder: Path, files: dict[str, Path], spec: Model, facts: dict[str, Any]) -> None:
    """Write the model folder that `load_model` reads, in `spec.dtype`.

    Raises:
        ArtifactError: a weights file is damaged or incomplete.
    """
    size, dtype = 0, given(spec.dtype, "model.dtype")
    for name, path in files.items():
        if WEIGHTS.fullmatch(name):
            size += recast(path, folder / name, dtype)
        elif name not in (CONFIG, INDEX):
            shutil.copyfile(path, folder / name)
    config = {key: value for key, value in read_json(files[CONFIG]).items() if key not in ("torch_dtype", "auto_map")}
    (folder / CONFIG).write_text(to_json({**config, "dtype": dtype}))
    if INDEX in files:
        index = json.loads(files[INDEX].read_text())
        (folder / INDEX).write_text(to_json({**index, "metadata": {"total_size": size}}))
    write_manifest(folder, {**facts, **origin(spec, files)}, dtype)


def origin(spec: Model, files: dict[str, Path]) -> dict[str, Any]:
    """Where the files come from, for the manifest."""
    if spec.source == "folder":
        return {"folder": spec.folder, "folder_sha256": spec.sha256}
    hub_files = {name: pinned(repo_of(spec))[name] for name in sorted(files)}
    return {"repo": spec.repo, "revision": spec.revision, "hub_files": hub_files}


def recast(source: Path, target: Path, dtype: str) -> int:
    """Copy a safetensors file, its floats in `dtype`; byte for byte where they are. Returns the size in bytes."""
    try:
        with safetensors.safe_open(source, framework="pt") as file:
            same = {file.get_slice(name).get_dtype() for name in file.keys()} == {DTYPES[dtype]}  # noqa: SIM118
        if same:
            shutil.copyfile(source, target)  # no link: DVC makes its files read-only, and the cache is others' too
            return source.stat().st_size
        tensors = load_file(source)
    except Exception as error:
        raise ArtifactError(f"{source} is no safetensors file that can be read ({error}). Delete it, rerun.") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensors[name] = tensor.to(getattr(torch, dtype))
    save_file(tensors, target, metadata={"format": "pt"})
    return sum(tensor.nbytes for tensor in tensors.values())
