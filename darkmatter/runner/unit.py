"""One piece of a stage's work, and how any executor computes it."""

import importlib.metadata
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.runner.arithmetic import FLOAT32, products
from darkmatter.storage.artifacts import ArtifactError, plain
from darkmatter.storage.replacing import replacing_folder

LIBRARIES = ("numpy", "scipy", "torch", "transformers", "sae-lens", "safetensors")


class UnitError(RuntimeError):
    """A unit failed; the units that were finished before it are kept."""


@dataclass(frozen=True)
class Unit:
    """One piece of a stage's work.

    Attributes:
        name: where its folder stands below the stage's output, such as `resid_post.14/widths-512-k32-s0`.
        arguments: keyword arguments of the function; all of them enter the key. JSON types, and paths of files and
            folders that the function reads: their content enters the key too, and the function gets their names.
        inputs: what the function reads and no argument names; as a path among the arguments.
        cost: expected work, in any unit common to the stage; longest first, and weights the progress bar.
        arithmetic: of the function's matrix products, in whatever process it runs.
    """

    name: str
    arguments: dict[str, Any]
    inputs: tuple[Path, ...] = ()
    cost: float = 1.0
    arithmetic: str = FLOAT32

    @property
    def reads(self) -> set[Path]:
        """Every file and folder that the function reads."""
        return {*self.inputs, *paths_in(self.arguments)}


def paths_in(content: Any) -> Iterator[Path]:
    """The paths among values in dicts and lists, however deep."""
    match content:
        case Path():
            yield content
        case Mapping():
            yield from paths_in(list(content.values()))
        case list() | tuple():
            for value in content:
                yield from paths_in(value)


@dataclass(frozen=True)
class ResourceUse:
    """What one unit used in its own process. Zero for units computed in the stage's process, which counts itself."""

    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


def library_versions() -> dict[str, str]:
    """Of the libraries that decide the bytes of a result."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def measured(function: Callable[..., None], unit: Unit, place: Path) -> ResourceUse:
    before = time.process_time()
    compute(function, unit, place)
    return ResourceUse(time.process_time() - before, peak_memory(resource.RUSAGE_SELF))


def peak_memory(who: int) -> int:
    """Largest resident set so far, bytes."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compute(function: Callable[..., None], unit: Unit, place: Path) -> None:
    try:
        with replacing_folder(place) as folder, products(unit.arithmetic):
            function(out=folder, **plain(unit.arguments))
    except ArtifactError:
        raise
    except Exception as error:
        raise UnitError(f"unit {unit.name}: {type(error).__name__}: {error}") from error
