"""A resumable map: each unit of a stage (an SAE, a shard of contexts, a pair) is computed once and kept.

A unit is stored in data/.units/STAGE/KEY, where KEY hashes what determines its result: its arguments, its
input files, the code it runs and the versions of the numerical libraries. So a killed stage resumes where
it was, a stage with one more SAE computes one SAE, and the result does not depend on the executor.
`DARKMATTER_FRESH=1` ignores what is stored.
"""

import concurrent.futures
import functools
import importlib.metadata
import json
import multiprocessing
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from darkmatter.artifacts import ArtifactError, plain, replacing_folder, sha256_bytes, sha256_path, walk_files
from darkmatter.imports import code_hash
from darkmatter.processes import single_thread, worker_count

STORE = Path("data/.units")
LIBRARIES = ("numpy", "scipy", "torch", "transformers", "sae-lens", "safetensors")


class UnitError(RuntimeError):
    """A unit failed; the units that were finished before it are kept."""


@dataclass(frozen=True)
class Unit:
    """One piece of a stage's work.

    Attributes:
        name: where its folder stands below the stage's output, such as `resid_post.14/widths-512-k32-s0`.
        arguments: keyword arguments of the function; JSON types only, all of them enter the key.
        inputs: files and folders the function reads; their content enters the key.
        cost: expected work, in any unit common to the stage; longest first, and weights the progress bar.
    """

    name: str
    arguments: dict[str, Any]
    inputs: tuple[Path, ...] = ()
    cost: float = 1.0


@dataclass
class Ledger:
    """What a map did: names of the units it computed and of those it found stored, and what they cost.

    Workers are not children of the stage's process, so the operating system counts their use apart from its own.
    """

    computed: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0

    def __add__(self, other: "Ledger") -> "Ledger":
        """Of one map after the other."""
        return Ledger(
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
        "code": code_hash(Path(sys.modules[function.__module__].__file__).resolve()),
        "arguments": plain(unit.arguments),
        "inputs": {path.as_posix(): input_hash(path) for path in unit.inputs},
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())[:32]


def run_units(function: Callable[..., None], units: Sequence[Unit], out: Path, stage: str) -> Ledger:
    """Call `function(out=folder, **unit.arguments)` for each unit and lay the folders out below `out`.

    Args:
        function: a module-level function that writes its result into the folder `out`, and returns nothing.
        units: the configured items; `out` will hold exactly these.
        out: the stage's output folder, made anew.
        stage: names the part of the store.

    Raises:
        UnitError: a unit raised or its process died. Finished units are kept, so the next run resumes.
    """
    names = [unit.name for unit in units]
    if len(set(names)) != len(names):
        raise UnitError(f"{stage}: two units share a name: {sorted(n for n in names if names.count(n) > 1)[0]}")
    store = STORE / stage
    places = {unit.name: store / key(function, unit) for unit in units}
    fresh = os.environ.get("DARKMATTER_FRESH") == "1"
    waiting = [unit for unit in units if fresh or not places[unit.name].is_dir()]
    ledger = Ledger([unit.name for unit in waiting], [n for n in names if n not in {u.name for u in waiting}])
    waiting.sort(key=lambda unit: -unit.cost)
    with tqdm(
        total=round(sum(unit.cost for unit in units), 3),
        initial=round(sum(unit.cost for unit in units) - sum(unit.cost for unit in waiting), 3),
        desc=f"{stage} ({len(ledger.reused)} of {len(units)} units stored)",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed} < {remaining}{postfix}]",
        file=sys.stderr,
        mininterval=1.0,
    ) as bar:
        for unit, cost in execute(function, waiting, places):
            ledger.cpu_seconds += cost.cpu_seconds
            ledger.peak_memory_bytes = max(ledger.peak_memory_bytes, cost.peak_memory_bytes)
            bar.update(unit.cost)
            bar.set_postfix_str(unit.name)
    assemble(units, places, out)
    return ledger


def forget_units(stage: str) -> None:
    """Drop a stage's stored units: for results so large that a second copy costs more than a rerun."""
    shutil.rmtree(STORE / stage, ignore_errors=True)


@dataclass(frozen=True)
class Cost:
    """What one unit used in its own process. Zero for units computed in the stage's process, which counts itself."""

    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


def execute(function: Callable[..., None], units: list[Unit], places: dict[str, Path]) -> Iterable[tuple[Unit, Cost]]:
    """Compute the units, in this process or in a pool of single-threaded ones; yield each when it is stored."""
    workers = min(worker_count(), len(units))
    if workers <= 1:
        single_thread()
        for unit in units:
            compute(function, unit, places[unit.name])
            yield unit, Cost()
        return
    single_thread()  # inherited by the workers through the environment
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
        futures = {pool.submit(measured, function, unit, places[unit.name]): unit for unit in units}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise UnitError(
                "a worker process died, most often for want of memory. Finished units are kept: run the same "
                "command again, with DARKMATTER_WORKERS=1 if it was the memory."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def start_worker() -> None:
    threading.Thread(target=end_with_stage, daemon=True).start()
    single_thread()


def end_with_stage() -> None:
    """End this worker when the stage ends, killed or not: its parent process, the fork server, outlives the stage."""
    multiprocessing.parent_process().join()
    os._exit(1)


def measured(function: Callable[..., None], unit: Unit, place: Path) -> Cost:
    before = time.process_time()
    compute(function, unit, place)
    return Cost(time.process_time() - before, peak_memory(resource.RUSAGE_SELF))


def peak_memory(who: int) -> int:
    """Largest resident set so far, bytes."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compute(function: Callable[..., None], unit: Unit, place: Path) -> None:
    try:
        with replacing_folder(place) as folder:
            function(out=folder, **unit.arguments)
    except ArtifactError:
        raise
    except Exception as error:
        raise UnitError(f"unit {unit.name}: {type(error).__name__}: {error}") from error


def assemble(units: Sequence[Unit], places: dict[str, Path], out: Path) -> None:
    """Lay stored units out as `out/UNIT/...`: hard links where the file system has them."""
    with replacing_folder(out) as folder:
        for unit in units:
            target = folder / unit.name
            shutil.copytree(places[unit.name], target, copy_function=link_or_copy)
            if not walk_files(target):
                raise UnitError(f"unit {unit.name} left no files")


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
