"""Revision and SHA-256s of a manifest's SAEs: null until a file is first downloaded, filled in then, enforced after."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from darkmatter.saes.published.file_names import FILES
from darkmatter.saes.published.registry import Listed
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_bytes, write_json


def entry_of(manifest: Path, release: str, id: str) -> dict[str, Any]:
    """The SAE in the manifest.

    Raises:
        ArtifactError: it is not listed.
    """
    return pick(read_json(manifest), manifest, release, id)


def entry_named(manifest: Path, reference: str) -> dict[str, Any]:
    """The SAE in the manifest that a reference names, as `release/id` or as `org/repo:folder`.

    Raises:
        ArtifactError: it is not listed.
    """
    for entry in read_json(manifest)["saes"]:
        if reference in references(entry):
            return entry
    raise unlisted(manifest, reference)


def listed_entry(
    sae: Listed,
    architecture: str,
    hookpoint: str,
    d_model: int,
    width: int,
    roles: list[str],
    kept: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """A manifest's entry of one SAE.

    Args:
        kept: its entry in an earlier list, whose revision and SHA-256s stay; None: both are open.
    """
    return {
        "release": sae.release,
        "id": sae.id,
        "repo": sae.repo,
        "folder": sae.folder,
        "format": sae.format,
        "architecture": architecture,
        "hookpoint": hookpoint,
        "layer": int(hookpoint.rpartition(".")[2]),
        "d_model": d_model,
        "width": width,
        "nominal_l0": sae.nominal_l0,
        "roles": roles,
        "revision": kept["revision"] if kept else None,
        "sha256": kept["sha256"] if kept else dict.fromkeys(FILES[sae.format]),
    }


def references(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The two names of a manifest's SAE: `release/id` and `org/repo:folder`."""
    return f"{entry['release']}/{entry['id']}", f"{entry['repo']}:{entry['folder']}"


def unlisted(manifest: Path, reference: str) -> ArtifactError:
    return ArtifactError(f"{manifest} does not list {reference}: nothing outside the list is loaded under its name")


def pick(content: dict[str, Any], manifest: Path, release: str, id: str) -> dict[str, Any]:
    for entry in content["saes"]:
        if (entry["release"], entry["id"]) == (release, id):
            return entry
    raise unlisted(manifest, f"{release}/{id}")


def pins_of(source: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Revision and SHA-256s that a manifest keeps of an SAE that was loaded: of the files that its format must have."""
    return source["revision"], {file: source["sha256"][file] for file in FILES[source["format"]]}


def check(entry: Mapping[str, Any], revision: str | None, sha256: Mapping[str, str], manifest: str | Path) -> None:
    """Refuse what contradicts a pin; nulls contradict nothing.

    Raises:
        ArtifactError: another revision, file or hash; says which.
    """
    name = f"{entry['release']}/{entry['id']}"
    if entry["revision"] not in (None, revision):
        raise ArtifactError(f"{name}: fetched at revision {revision}, but {manifest} pins {entry['revision']}")
    if entry["sha256"].keys() != sha256.keys():
        raise ArtifactError(f"{name}: its files are {sorted(sha256)}, but {manifest} lists {sorted(entry['sha256'])}")
    for file, result in sha256.items():
        if entry["sha256"][file] not in (None, result):
            raise ArtifactError(
                f"{name}: {file} has SHA-256 {result}, but {manifest} pins {entry['sha256'][file]}. Remove the file "
                "from the cache and fetch it again; if it comes out the same, the source has changed: do not use it."
            )


def record(manifest: Path, release: str, id: str, revision: str | None, sha256: Mapping[str, str]) -> None:
    """Fill in what is null, under a lock: several processes may fetch SAEs of one manifest.

    Raises:
        ArtifactError: the manifest already pins something else.
    """
    name = sha256_bytes(str(manifest.resolve()).encode())
    with FileLock(Path(tempfile.gettempdir()) / f"darkmatter-{name[:16]}.lock"):
        content = read_json(manifest)
        entry = pick(content, manifest, release, id)
        check(entry, revision, sha256, manifest)
        if entry["revision"] != revision or entry["sha256"] != dict(sha256):
            entry["revision"], entry["sha256"] = revision, dict(sha256)
            write_json(manifest, content)
