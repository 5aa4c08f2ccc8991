"""The files of an SAE on this machine, with their hashes: from a local folder, or fetched at one revision."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.saes.published import hub
from darkmatter.saes.published.file_names import FILES, optional_files
from darkmatter.saes.published.names import local_transcoder, names_transcoder
from darkmatter.saes.published.options import TRANSCODER
from darkmatter.saes.published.reference import Reference
from darkmatter.sources.hub import checked_sha256
from darkmatter.sources.hub_access import HubError, OfflineError
from darkmatter.storage.artifacts import ArtifactError, sha256_file
from darkmatter.storage.text_files import json_of

DEPTH, SHOWN = 3, 8  # folders below a local one that an error looks into, and how many of them it names


@dataclass(frozen=True)
class Found:
    """The files of an SAE on this machine: `paths` by their names below its folder, with their hashes.

    Those that may be missing are among them when they are there; manifests pin the others (`required`).
    """

    format: str
    paths: Mapping[str, Path]
    sha256: Mapping[str, str]
    revision: str | None = None

    @property
    def required(self) -> dict[str, str]:
        return {file: self.sha256[file] for file in FILES[self.format]}


def local_files(folder: Path, format: str | None) -> Found:
    if part := local_transcoder(folder):
        raise ArtifactError(
            f"{folder}: the name {part} says that {TRANSCODER}. If it is an SAE, move it under another name."
        )
    kind = format or next((name for name, files in FILES.items() if (folder / files[-1]).is_file()), None)
    if kind is None:
        raise ArtifactError(f"{folder} holds no SAE in a known format ({', '.join(FILES)}){instead(folder)}")
    paths = {file: folder / file for file in FILES[kind]}
    for path in paths.values():
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist, but an SAE in the format {kind} has it")
    beside = {file: folder / file for file in optional_files(kind, folder.absolute().as_posix())}
    paths |= {file: path for file, path in beside.items() if path.is_file()}
    return Found(kind, paths, {file: sha256_file(path) for file, path in paths.items()})


def instead(folder: Path) -> str:
    """What a folder without an SAE has: SAEs in the folders below it, or pickles."""
    files = (
        path for depth in range(1, DEPTH + 1) for names in FILES.values() for path in below(folder, depth, names[-1])
    )
    if result := sorted(dict.fromkeys(files)):
        more = f" and {len(result) - SHOWN} more" if len(result) > SHOWN else ""
        return f". The folders below it do: name one of them, {', '.join(result[:SHOWN])}{more}"
    pickles = sorted(path.name for path in folder.glob("*.pt")) + sorted(path.name for path in folder.glob("*.bin"))
    return f"; {pickles[0]} may be a pickle, which runs code when loaded, and is not opened" if pickles else ""


def below(folder: Path, depth: int, file: str) -> list[str]:
    """Folders so many levels below that have this file."""
    place = Path(file)
    result = (path.parents[len(place.parts) - 1] for path in folder.glob(f"{'*/' * depth}{file}"))
    return [path.as_posix() for path in result]


def remote_files(wanted: Reference, entry: Mapping[str, Any] | None, format: str | None) -> Found:
    """Fetch the files of an SAE at one revision: the pinned one, or that of the first file.

    Args:
        entry: of a manifest, whose revision and hashes hold.
    """
    if names_transcoder(name := f"{wanted.repo}:{wanted.folder}"):
        raise ArtifactError(f"{name}: {TRANSCODER}.")
    revision = wanted.revision or (entry["revision"] if entry else None)
    kind = format or (wanted.listed.format if wanted.listed else probe(wanted, revision))
    paths, sha256 = {}, {}
    for file in FILES[kind]:
        result = fetched(wanted, file, revision)
        revision = result.revision
        paths[file] = result.path
        sha256[file] = checked_sha256(result.path, entry["sha256"].get(file) if entry else None)
    for file in optional_files(kind, wanted.folder):
        if beside := hub.fetch_if_there(wanted.repo, hub.inside(wanted.folder, file), revision):
            paths[file], sha256[file] = beside.path, checked_sha256(beside.path, None)
    return Found(kind, paths, sha256, revision)


def probe(wanted: Reference, revision: str | None) -> str:
    """The format of a folder that the registry does not list, by its repository's name or its small files."""
    if wanted.repo.startswith("google/gemma-scope-"):
        return "gemma-scope-2" if wanted.repo.startswith("google/gemma-scope-2-") else "gemma-scope"
    offline = False
    for file in ("cfg.json", "hyperparams.json", "config.json"):
        try:
            result = fetched(wanted, file, revision)
        except hub.MISSING as error:
            offline = offline or isinstance(error, OfflineError)
            continue
        config = json_of(result.path)
        if file == "hyperparams.json":
            return "llama-scope"
        if file == "config.json":
            if "dict_class" in (config.get("trainer") or {}):
                return "dictionary-learning"
            continue
        return "sparsify" if "expansion_factor" in config and "d_sae" not in config else "sae-lens"
    if offline:
        pin = f" --revision {revision}" if revision else ""
        raise HubError(
            f"{wanted.repo}:{wanted.folder}: its configuration is not in the cache, and there is no network to ask for "
            f"it. Where there is one: `HF_HUB_OFFLINE=0 hf download {wanted.repo} --include "
            f"'{hub.inside(wanted.folder, '*')}'{pin}`."
        )
    raise ArtifactError(
        f"{wanted.repo}:{wanted.folder} has neither cfg.json nor hyperparams.json nor a config.json of "
        f"dictionary_learning, so its format is unknown. If it is one of {', '.join(FILES)}, name it: "
        "load_pretrained(…, format=…); other pickles (.pt, .bin) are not opened."
    )


def fetched(wanted: Reference, file: str, revision: str | None) -> hub.Fetched:
    """One file; where there is no network to say what `main` is, an error names the commits that the cache has."""
    path = hub.needed(wanted.folder, file)
    try:
        return hub.fetch(wanted.repo, path, revision)
    except hub.NO_NETWORK as error:
        commits = [] if revision else hub.commits_with(wanted.repo, path)
        if not commits:
            raise
        forms = ", ".join(f"`{wanted.repo}@{commit}:{wanted.folder}`" for commit in commits)
        raise HubError(
            f"{wanted.repo}: without a network nobody knows which commit `main` is, and the cache does not say. It has "
            f"this SAE at {len(commits)}: name it, as {forms}."
        ) from error
