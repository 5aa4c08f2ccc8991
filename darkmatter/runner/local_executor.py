"""Units of a stage on this machine: in the stage's process, or in a pool of single-threaded ones."""

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from darkmatter.runner.processes import single_thread, worker_count
from darkmatter.runner.unit import ResourceUse, Unit, UnitError, compute, measured


def execute_here(
    function: Callable[..., None], units: list[Unit], places: dict[str, Path]
) -> Iterable[tuple[Unit, ResourceUse]]:
    """Compute the units, in this process or in a pool of single-threaded ones; yield each when it is stored."""
    device = units[0].arguments.get("device", "cpu") if units else "cpu"  # the same for all units of a stage
    workers = min(worker_count(device), len(units))
    if workers <= 1:
        single_thread()
        for unit in units:
            compute(function, unit, places[unit.name])
            yield unit, ResourceUse()
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
    stage = multiprocessing.parent_process()
    if stage is not None:  # only workers come here, and each has one
        stage.join()
        os._exit(1)
