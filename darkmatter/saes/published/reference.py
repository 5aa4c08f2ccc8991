"""What a reference to an SAE names: a local folder, `release/id` of sae-lens's registry, or `org/repo:folder`."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from darkmatter.saes.published import registry
from darkmatter.saes.published.registry import Listed
from darkmatter.storage.artifacts import ArtifactError

REPOSITORY = re.compile(r"([\w.-]+/[\w.-]+)(?:@([0-9a-f]{40}))?:(.*)")
ALIKE = 4  # letters
FILE_SUFFIXES = (".safetensors", ".json", ".npz", ".pt")
FORMS = "a folder, `release/id` of sae-lens's registry, or `org/repo:folder` (pinned: `org/repo@<40 hex>:folder`)"


@dataclass(frozen=True)
class Reference:
    """Either `local`, or `repo` and `folder` (and `revision` when pinned); `listed` is what the registry knows.

    `repo` is empty for a local one.
    """

    local: Path | None = None
    repo: str = ""
    folder: str = ""
    revision: str | None = None
    listed: Listed | None = None


def parse(reference: str | Path) -> Reference:
    """A folder that exists is taken as such, then a repository, then a release.

    Raises:
        ArtifactError: none of the three; says what comes near.
    """
    text = str(reference)
    if Path(text).is_dir():
        return Reference(local=Path(text))
    if Path(text).is_file():
        raise ArtifactError(f"{text} is a file: name the folder of the SAE, {Path(text).parent}")
    if match := REPOSITORY.fullmatch(text):
        repo, revision, folder = match[1], match[2], check_folder(match[3], text)
        listed = registry.at(repo, folder)
        if listed is None and PurePosixPath(folder).suffix in FILE_SUFFIXES:
            raise ArtifactError(f"{text!r} names a file: name its folder, {text.rpartition(Path(folder).name)[0]}")
        return Reference(repo=repo, folder=folder, revision=revision, listed=listed)
    release = max((name for name in registry.releases() if text.startswith(f"{name}/")), key=len, default=None)
    if release is None:
        raise ArtifactError(f"{text!r} is none of: {FORMS}.{as_repository(text)}{suggest(text)}")
    listed = registry.find(release, text.removeprefix(f"{release}/"))
    return Reference(repo=listed.repo, folder=check_folder(listed.folder, text), listed=listed)


def check_folder(folder: str, reference: str) -> str:
    parts = PurePosixPath(folder).parts
    if folder.startswith("/") or ".." in parts or "\\" in folder:
        raise ArtifactError(f"{reference!r}: the folder in a repository is relative and has no `..`")
    return folder.strip("/")


def as_repository(text: str) -> str:
    """How to write a repository whose folder is set off by a slash, as on the hub's pages, or is not named."""
    match = re.fullmatch(r"(?:https://huggingface\.co/)?([\w-][\w.-]*/[\w.-]+)(@[0-9a-f]{40})?(?:/(.*))?", text)
    if not match:
        return ""
    pin, folder = match[2] or "", match[3]
    tree = re.fullmatch(r"(?:tree|blob|resolve)/([^/]+)(?:/(.*))?", folder or "")
    if tree:
        pin, folder = f"@{tree[1]}" if re.fullmatch(r"[0-9a-f]{40}", tree[1]) else pin, tree[2]
    top = "" if folder else f", or `{match[1]}{pin}:` where the SAE lies at its top"
    return f" If it is a repository of the hub, write `{match[1]}{pin}:{(folder or 'FOLDER').strip('/')}`{top}."


def suggest(text: str) -> str:
    shared = {name: registry.common_prefix(name, text) for name in registry.releases()}
    near = sorted((name for name in shared if shared[name] >= ALIKE), key=lambda name: -shared[name])[:3]
    return f" Releases that begin alike: {', '.join(near)}." if near else ""
