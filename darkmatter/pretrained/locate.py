"""The files of an SAE on this machine, with their hashes: from a local folder, or fetched at one revision."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.artifacts import ArtifactError, read_json, sha256_file
from darkmatter.hub import checked_sha256
from darkmatter.pretrained import hub
from darkmatter.pretrained.file_names import FILES
from darkmatter.pretrained.reference import Reference


@dataclass(frozen=True)
class Found:
    """The files of an SAE on this machine: `paths` by their names below its folder, with their hashes."""

    format: str
    paths: Mapping[str, Path]
    sha256: Mapping[str, str]
    revision: str | None = None


def local_files(folder: Path, format: str | None) -> Found:
    kind = format or next((name for name, files in FILES.items() if (folder / files[-1]).is_file()), None)
    if kind is None:
        pickles = sorted(path.name for path in folder.glob("*.pt")) + sorted(path.name for path in folder.glob("*.bin"))
        reason = f"; {pickles[0]} may be a pickle, which runs code when loaded, and is not opened" if pickles else ""
        raise ArtifactError(f"{folder} holds no SAE in a known format ({', '.join(FILES)}){reason}")
    paths = {file: folder / file for file in FILES[kind]}
    for path in paths.values():
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist, but an SAE in the format {kind} has it")
    return Found(kind, paths, {file: sha256_file(path) for file, path in paths.items()})


def remote_files(wanted: Reference, entry: Mapping[str, Any] | None, format: str | None) -> Found:
    """Fetch the files of an SAE at one revision: the pinned one, or that of the first file.

    Args:
        entry: of a manifest, whose revision and hashes hold.
    """
    revision = wanted.revision or (entry["revision"] if entry else None)
    kind = format or (wanted.listed.format if wanted.listed else probe(wanted, revision))
    paths, sha256 = {}, {}
    for file in FILES[kind]:
        fetched = hub.fetch(wanted.repo, inside(wanted, file), revision)
        revision = fetched.revision
        paths[file] = fetched.path
        sha256[file] = checked_sha256(fetched.path, entry["sha256"].get(file) if entry else None)
    return Found(kind, paths, sha256, revision)


def probe(wanted: Reference, revision: str | None) -> str:
    """The format of a folder that the registry does not list, by its repository's name or its small files."""
    if wanted.repo.startswith("google/gemma-scope-"):
        return "gemma-scope-2" if wanted.repo.startswith("google/gemma-scope-2-") else "gemma-scope"
    for file in ("cfg.json", "hyperparams.json", "config.json"):
        try:
            fetched = hub.fetch(wanted.repo, inside(wanted, file), revision)
        except hub.MISSING:
            continue
        config = read_json(fetched.path)
        if file == "hyperparams.json":
            return "llama-scope"
        if file == "config.json":
            if "dict_class" in (config.get("trainer") or {}):
                return "dictionary-learning"
            continue
        return "sparsify" if "expansion_factor" in config and "d_sae" not in config else "sae-lens"
    raise ArtifactError(
        f"{wanted.repo}:{wanted.folder} has neither cfg.json nor hyperparams.json nor a config.json of "
        f"dictionary_learning, so its format is unknown. If it is one of {', '.join(FILES)}, name it with "
        "`format=`; other pickles (.pt, .bin) are not opened."
    )


def inside(wanted: Reference, file: str) -> str:
    return f"{wanted.folder}/{file}" if wanted.folder else file
