"""Units of a stage on a Ray cluster: DARKMATTER_EXECUTOR=ray, with every node in the repository on shared storage.

A task gets paths and parameters, never arrays: it reads memory-mapped files and leaves its folder in the store, as a
local process does, so that results are the same bytes whatever the executor and its failures. A worker or node that
dies costs what was in flight there; a driver that dies costs what was in flight everywhere.
"""

import importlib
import logging
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from darkmatter.runner.processes import single_thread
from darkmatter.runner.ray_address import check_address, unreachable
from darkmatter.runner.unit import ResourceUse, Unit, UnitError, library_versions, measured, peak_memory
from darkmatter.storage.artifacts import ArtifactError

RETRIES = 3  # of a unit whose worker or node died; an error that a unit raises is not tried again


def execute_on_ray(
    function: Callable[..., None], units: list[Unit], places: dict[str, Path], fresh: bool
) -> Iterator[tuple[Unit, ResourceUse]]:
    """Compute the units on the cluster at RAY_ADDRESS (default: the one of this machine); yield each when it is stored.

    DARKMATTER_GPUS is the number of GPUs of one unit (default 0; fractions share one).

    Raises:
        UnitError: a unit raised, or its workers died more than RETRIES times.
        ArtifactError: Ray is not installed or no cluster answers, or a node sees another folder or other libraries.
    """
    ray = connect()
    task = ray.remote(num_cpus=1, num_gpus=gpus_per_unit(), max_retries=RETRIES)(compute_on_node)
    name = f"{function.__module__}:{function.__qualname__}"
    folder, versions = Path.cwd(), library_versions()
    pending = {task.remote(name, unit, places[unit.name], folder, versions, fresh): unit for unit in units}
    try:
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            unit = pending.pop(done)
            try:
                yield unit, ray.get(done)
            except ray.exceptions.RayTaskError as error:
                cause = error.cause
                known = isinstance(cause, ArtifactError | UnitError)
                raise cause if known else UnitError(f"unit {unit.name}: {cause}") from None
            except ray.exceptions.RayError as error:
                raise UnitError(
                    f"unit {unit.name}: its workers died {RETRIES + 1} times, most often for want of memory ({error}). "
                    "Finished units are kept: run the same command again, with more memory for each unit."
                ) from None
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def connect() -> Any:
    """The module, connected to the cluster."""
    try:
        import ray
    except ModuleNotFoundError:
        raise ArtifactError("DARKMATTER_EXECUTOR=ray needs Ray: pip install 'darkmatter[ray]'") from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS") or "auto"
        environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", str(Path.cwd()))}
        check_address(last_started() if address == "auto" else address)
        try:
            ray.init(
                address=address, runtime_env={"env_vars": environment}, log_to_driver=False, logging_level=logging.ERROR
            )
        except (ConnectionError, ImportError, OSError, RuntimeError, ValueError) as error:
            raise unreachable(address, error) from None
    return ray


def last_started() -> str:
    """The address of this machine's cluster: that of a process, or the one that Ray wrote down, which may be gone.

    Raises:
        ArtifactError: there is none.
    """
    from ray._private.services import canonicalize_bootstrap_address

    try:
        result = canonicalize_bootstrap_address("auto")
    except ConnectionError as error:
        raise unreachable("auto", error) from None
    if result is None:
        raise unreachable("auto", "Ray knows none")
    return result


def gpus_per_unit() -> float:
    wanted = os.environ.get("DARKMATTER_GPUS", "0")
    try:
        number = float(wanted)
    except ValueError:
        number = -1.0
    if not 0 <= number < 64:
        raise ArtifactError(f"the environment says DARKMATTER_GPUS={wanted!r}, which is no number of GPUs")
    return number


def compute_on_node(
    name: str, unit: Unit, place: Path, folder: Path, versions: dict[str, str], fresh: bool
) -> ResourceUse:
    """One unit, on whatever node this runs; nothing where it is stored since the stage was planned."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise ArtifactError(
            f"node {socket.gethostname()} does not see {folder} ({error}). The repository must be on storage that all "
            "nodes share, under the same path."
        ) from None
    if (own := library_versions()) != versions:
        raise ArtifactError(f"node {socket.gethostname()} has {own}, the driver {versions}: the results would differ")
    if place.is_dir() and not fresh:
        return ResourceUse()
    single_thread()
    module, _, function = name.partition(":")
    measured(getattr(importlib.import_module(module), function), unit, place)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return ResourceUse(usage.ru_utime + usage.ru_stime, peak_memory(resource.RUSAGE_SELF))
