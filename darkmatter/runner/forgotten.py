"""Units that are too large to keep twice: their files are forgotten, the hashes of their files are not.

What was computed from a unit is stored under a key that holds the hashes of what it read. So a later run finds that
without these files; they are made again where something that reads them is not stored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from darkmatter.runner.unit import UnitError
from darkmatter.storage.artifacts import read_json, sha256_file, write_json
from darkmatter.storage.listings import listed_sha256
from darkmatter.storage.replacing import remove_folder, walk_files


@dataclass(frozen=True)
class Promise:
    """A stage's output that is known and not there.

    Attributes:
        files: path → SHA-256 of every file that it would hold.
        make: lays it out.
    """

    files: Mapping[str, str]
    make: Callable[[], None]


PROMISES: dict[Path, Promise] = {}  # output → what is known of it


def listing(place: Path) -> Path:
    """Where the hashes of a unit's files stand."""
    return place.with_suffix(".json")


def forget_files(place: Path) -> None:
    """Drop a stored unit but for the hashes of its files."""
    write_json(listing(place), {file.relative_to(place).as_posix(): sha256_file(file) for file in walk_files(place)})
    remove_folder(place)


def known_files(places: Mapping[str, Path], out: Path) -> dict[str, str] | None:
    """Path → SHA-256 of every file below `out` of units that have been forgotten; None where not all of them have.

    Args:
        places: name of a unit → its place in the store.
    """
    if not places or not all(listing(place).is_file() and not place.is_dir() for place in places.values()):
        return None
    return {
        (out / name / file).as_posix(): sha256
        for name, place in places.items()
        for file, sha256 in read_json(listing(place)).items()
    }


def promised(path: Path) -> Path | None:
    """The promised output that a path is, or is in."""
    return next((out for out in PROMISES if out == path or out in path.parents), None)


def promised_hash(path: Path) -> str | None:
    """SHA-256 of a promised file or folder; None of any other."""
    out = promised(path)
    return listed_sha256(path.as_posix(), PROMISES[out].files) if out else None


def keep(out: Path) -> None:
    """Make a promised output, where it has not been made for another one.

    Raises:
        UnitError: it holds other bytes than were promised, and what was laid out before may rest on those.
    """
    if (promise := PROMISES.pop(out, None)) is None:
        return
    promise.make()
    if not all(Path(file).is_file() and sha256_file(Path(file)) == sha256 for file, sha256 in promise.files.items()):
        raise UnitError(
            f"{out} was made again and is not what it was, as on another class of CPU. Run the same command again: it "
            "computes anew what was made of it."
        )
