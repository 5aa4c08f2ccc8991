"""The entities of a provenance crate: files by path or by hash, and what else a crate names, each once."""

import base64
import functools
import mimetypes
import urllib.parse
from pathlib import Path

from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from darkmatter.audit.export.sources import Sources
from darkmatter.storage.artifacts import sha256_file, sha256_path
from darkmatter.storage.replacing import walk_files

TERMS = "https://w3id.org/ro/terms/workflow-run/context"
FOLDER_HASH = "SHA-256 of the sorted lines `relative path, blank, SHA-256` of the files in the folder."
MEDIA = {".yaml": "application/yaml", ".npy": "application/x-npy", ".npz": "application/zip"}
quote = functools.partial(urllib.parse.quote, errors="surrogatepass")


class Draft:
    """A crate in the making: entities are added once and found again by their id."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_contexts.append(TERMS)

    def context(self, identifier: str, kind: str, **properties: object) -> Entity:
        result = self.crate.dereference(identifier)
        return result or self.crate.add(ContextEntity(self.crate, identifier, {"@type": kind, **properties}))

    def data(self, identifier: str, kind: str | list[str], **properties: object) -> Entity:
        result = self.crate.dereference(identifier)
        return result or self.crate.add(DataEntity(self.crate, identifier, {"@type": kind, **properties}))

    def file(self, path: str, kind: str | list[str] = "File", **properties: object) -> Entity:
        """A file of the repository as it is now."""
        file = self.sources.root / path
        known = {"name": path, "sha256": sha256_file(file), "contentSize": str(file.stat().st_size), **media(path)}
        return self.data(quote(path), kind, **known, **properties)

    def folder(self, path: str) -> Entity:
        files = [file.relative_to(self.sources.root).as_posix() for file in walk_files(self.sources.root / path)]
        parts = [self.file(name) for name in files]
        return self.data(quote(path) + "/", "Dataset", name=path, description="folder of results", hasPart=parts)

    def artifact(self, path: str, sha256: str) -> Entity:
        """What a receipt read or wrote: in the repository with the same bytes, or else by its hash alone."""
        here = self.sources.root / path
        if not path.startswith("data/") and here.exists() and sha256_path(here) == sha256:
            return self.file(path) if here.is_file() else self.folder(path)
        locked = self.sources.locked.get(path, {})
        size = {"contentSize": str(locked["size"])} if "size" in locked else {}
        is_folder = locked.get("md5", "").endswith(".dir") or (not locked and not Path(path).suffix)
        why = "kept by DVC (`dvc pull`)" if path.startswith("data/") else "its bytes are no longer in the repository"
        return self.data(
            named(path, sha256, is_folder),
            "Dataset" if is_folder else "File",
            name=path,
            sha256=sha256,
            description=f"Not part of this crate: {why}." + (f" {FOLDER_HASH}" if is_folder else ""),
            **size,
            **({} if is_folder else media(path)),
        )


def media(path: str) -> dict[str, str]:
    kind = MEDIA.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    return {"encodingFormat": kind}


def single(values: list[Entity]) -> list[Entity] | Entity:
    """RO-Crate wants one value bare, several in a list."""
    return values[0] if len(values) == 1 else values


def named(path: str, sha256: str, is_folder: bool) -> str:
    """A `ni:` URI; the path in its query keeps two files of the same bytes apart."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()
    return f"ni:///sha-256;{digest}?path={quote(path, safe='')}" + ("/" if is_folder else "")
