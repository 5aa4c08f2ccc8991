"""A resumable map: each unit of a stage (an SAE, a shard of contexts, a pair) is computed once and kept.

A unit is stored in data/.units/STAGE/KEY, where KEY hashes what determines its result: its arguments, its
input files, the code it runs and the versions of the numerical libraries. So a killed stage resumes where
it was, a stage with one more SAE computes one SAE, and the result does not depend on the executor.
`DARKMATTER_FRESH=1` ignores what is stored.
"""

import functools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from darkmatter.runner.arithmetic import FLOAT32
from darkmatter.runner.code_identity import ROOT, code_hash, source_of
from darkmatter.runner.forgotten import (
    PROMISES,
    Promise,
    forget_files,
    keep,
    known_files,
    listing,
    promised,
    promised_hash,
)
from darkmatter.runner.local_executor import execute_here
from darkmatter.runner.unit import ResourceUse, Unit, UnitError, library_versions
from darkmatter.storage.artifacts import ArtifactError, plain, sha256_bytes, sha256_path
from darkmatter.storage.replacing import remove_folder, remove_left, replacing_folder, walk_files

STORE = Path("data/.units")
ROUNDING = ROOT / "darkmatter" / "runner" / "rounded_products.py"


@dataclass
class UnitRecord:
    """What a map did: names of the units it computed and of those it found stored, and what they cost.

    Workers are not children of the stage's process, so the operating system counts their use apart from its own.
    """

    computed: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0

    def __add__(self, other: "UnitRecord") -> "UnitRecord":
        """Of one map after the other."""
        return UnitRecord(
            self.computed + other.computed,
            self.reused + other.reused,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


@functools.cache
def input_hash(path: Path) -> str:
    """SHA-256 of an input. Read once per process: inputs do not change while a stage runs."""
    return sha256_path(path)


def key(function: Callable[..., None], unit: Unit) -> str:
    content = {
        "function": f"{function.__module__}.{function.__qualname__}",
        "code": code_hash(source_of(function.__module__)),
        "arguments": plain(unit.arguments),
        "inputs": {path.as_posix(): promised_hash(path) or input_hash(path) for path in unit.reads},
        "libraries": library_versions(),
    }
    if unit.arithmetic != FLOAT32:  # what is float32 keeps the key that it had before there was a choice
        content |= {"arithmetic": unit.arithmetic, "rounding": code_hash(ROUNDING)}
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())[:32]


def run_units(function: Callable[..., None], units: Sequence[Unit], out: Path, stage: str) -> UnitRecord:
    """Call `function(out=folder, …)` with the arguments of each unit and lay the folders out below `out`.

    Args:
        function: a module-level function that writes its result into the folder `out`, and returns nothing.
        units: the configured items; `out` will hold exactly these.
        out: the stage's output folder, made anew.
        stage: names the part of the store.

    Raises:
        UnitError: a unit raised or its process died. Finished units are kept, so the next run resumes.

    Where all units were forgotten with their hashes (`forget_units`), `out` is promised: it is made by the first map
    that computes a unit which reads it.
    """
    names = [unit.name for unit in units]
    if len(set(names)) != len(names):
        raise UnitError(f"{stage}: two units share a name: {sorted(n for n in names if names.count(n) > 1)[0]}")
    store = STORE / stage
    places = {unit.name: store / key(function, unit) for unit in units}
    fresh = os.environ.get("DARKMATTER_FRESH") == "1"
    PROMISES.pop(out, None)
    if not fresh and (files := known_files(places, out)):
        shutil.rmtree(out, ignore_errors=True)
        for place in places.values():
            remove_left(place)
        PROMISES[out] = Promise(files, functools.partial(make_again, function, units, out, stage))
        return UnitRecord([], names)
    waiting = [unit for unit in units if fresh or not places[unit.name].is_dir()]
    for path in {path for unit in waiting for read in unit.reads if (path := promised(read))}:
        keep(path)
    ledger = UnitRecord([unit.name for unit in waiting], [n for n in names if n not in {u.name for u in waiting}])
    waiting.sort(key=lambda unit: -unit.cost)
    with tqdm(
        total=round(sum(unit.cost for unit in units), 3),
        initial=round(sum(unit.cost for unit in units) - sum(unit.cost for unit in waiting), 3),
        desc=f"{stage} ({len(ledger.reused)} of {len(units)} units stored)",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed} < {remaining}{postfix}]",
        file=sys.stderr,
        mininterval=1.0,
    ) as bar:
        for unit, cost in executor(fresh)(function, waiting, places):
            ledger.cpu_seconds += cost.cpu_seconds
            ledger.peak_memory_bytes = max(ledger.peak_memory_bytes, cost.peak_memory_bytes)
            bar.update(unit.cost)
            bar.set_postfix_str(unit.name)
    assemble(units, places, out)
    return ledger


def rename_unit(function: Callable[..., None], unit: Unit, settled: Unit, stage: str) -> None:
    """Store what a unit left under the key of another: its run has settled what one of its arguments left open."""
    old, new = (STORE / stage / key(function, which) for which in (unit, settled))
    if old != new:
        remove_folder(new)
        old.rename(new)


def make_again(function: Callable[..., None], units: Sequence[Unit], out: Path, stage: str) -> None:
    """Compute units that were forgotten."""
    for unit in units:
        listing(STORE / stage / key(function, unit)).unlink(missing_ok=True)
    run_units(function, units, out, stage)


def forget_units(stage: str, keep_hashes: bool = False) -> None:
    """Drop a stage's stored units: for results so large that a second copy costs more than a rerun.

    Args:
        keep_hashes: of their files, so that the next run makes them again only where something reads them. For units
            that only other units read.
    """
    if keep_hashes:
        for place in (STORE / stage).glob("[!.]*/"):
            forget_files(place)
    else:
        remove_folder(STORE / stage)


# (function, units, unit → its place in the store) → each unit when it is stored, with what it cost
Executor = Callable[[Callable[..., None], list[Unit], dict[str, Path]], Iterable[tuple[Unit, ResourceUse]]]


def executor(fresh: bool) -> Executor:
    """Where units run: DARKMATTER_EXECUTOR, `local` or `ray`. The results do not depend on it.

    Raises:
        ArtifactError: it is something else.
    """
    match os.environ.get("DARKMATTER_EXECUTOR", "local"):
        case "local":
            return execute_here
        case "ray":
            from darkmatter.runner.ray_executor import execute_on_ray

            return functools.partial(execute_on_ray, fresh=fresh)
        case other:
            raise ArtifactError(f"the environment says DARKMATTER_EXECUTOR={other!r}; there are local and ray")


def assemble(units: Sequence[Unit], places: dict[str, Path], out: Path) -> None:
    """Lay stored units out as `out/UNIT/...`: hard links where the file system has them."""
    with replacing_folder(out) as folder:
        for unit in units:
            target = folder / unit.name
            shutil.copytree(places[unit.name], target, copy_function=link_or_copy)
            if not walk_files(target):
                raise UnitError(f"unit {unit.name} left no files")


def merge(folders: Sequence[Path], out: Path) -> None:
    """Make `out` of what maps of several functions laid out below `folders`, which are gone afterwards."""
    with replacing_folder(out) as whole:
        for folder in folders:
            shutil.copytree(folder, whole, copy_function=link_or_copy, dirs_exist_ok=True)
    for folder in folders:
        shutil.rmtree(folder)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
