"""The SAEs that `--sae` names: references one by one, and regular expressions over folders or sae-lens's registry."""

import re
from collections.abc import Iterator
from pathlib import Path

from darkmatter.api.ordering import by_number
from darkmatter.saes.published import registry
from darkmatter.saes.published.file_names import FILES
from darkmatter.saes.published.reference import REPOSITORY
from darkmatter.storage.artifacts import ArtifactError

DEPTH = 4  # folders below the one that a regular expression begins with
SPECIAL = re.compile(r"[][*+?(){}|^$\\]")


def choose(words: list[str]) -> tuple[list[str], bool]:
    """References in the order given, those of one expression by their numbers, and whether many were asked for.

    Raises:
        ArtifactError: an expression that is none, or that fits no SAE.
    """
    words = [word.rstrip("/") or word for word in words]
    if len(words) == 1 and not is_expression(words[0]):
        return words, False
    chosen = [reference for word in words for reference in (fitting(word) if is_expression(word) else [word])]
    return list(dict.fromkeys(chosen)), True


def is_expression(word: str) -> bool:
    """Whether it is no reference as it stands: names of folders and repositories have none of these characters."""
    return SPECIAL.search(word) is not None and not Path(word).exists() and not REPOSITORY.fullmatch(word)


def fitting(word: str) -> list[str]:
    """The SAEs whose whole reference the expression fits."""
    try:
        pattern = re.compile(word)
    except re.error as error:
        raise ArtifactError(f"--sae {word}: no regular expression ({error})") from None
    start = Path(word[: SPECIAL.search(word).start()].rpartition("/")[0] or ".")
    if start.is_dir():
        names = [path.as_posix() for path in sae_folders(start, DEPTH)]
        where = f"the folders below {start}"
    else:
        names = [f"{release}/{one.id}" for release in registry.releases() for one in registry.saes_of(release)]
        where = "sae-lens's registry"
    result = [name for name in names if pattern.fullmatch(name)]
    if not result:
        near = f"; there are {', '.join(sorted(names, key=by_number)[:3])} …" if names else ""
        raise ArtifactError(f"--sae {word}: a regular expression that fits no SAE of {where}{near}")
    return sorted(result, key=by_number)


def sae_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Folders that hold the files of an SAE in any format that is read."""
    if any(all((folder / file).is_file() for file in files) for files in FILES.values()):
        yield folder
    elif depth:
        for below in folder.iterdir():
            if below.is_dir() and not below.name.startswith("."):
                yield from sae_folders(below, depth - 1)


def short_names(references: list[str]) -> list[str]:
    """The references without the folders that all of them begin with, and without `..`."""
    parts = [[part for part in reference.split("/") if part not in ("", ".", "..")] for reference in references]
    shared = 0
    while all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    return ["/".join(part[shared:]) for part in parts]
