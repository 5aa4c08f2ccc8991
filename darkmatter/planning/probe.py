"""How fast this machine is: measured in some 20 seconds, in fresh processes, as many at once as a stage would have.

    python -m darkmatter.planning.probe      # one of these processes: prints its measurements as JSON

Nothing is kept. Rates are those of the machine when it is left alone; `busy` says whether it is now.
"""

import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from darkmatter.planning.devices import REFERENCE, Device
from darkmatter.runner.arithmetic import FLOAT32
from darkmatter.runner.arithmetic_probe import AUTO, ProductRates, measure_rates
from darkmatter.runner.processes import worker_count
from darkmatter.storage.artifacts import ArtifactError

SECONDS = 1.5  # of each measurement
WRITTEN = 256 << 20
AT_ONCE = 16  # processes measured at most; the rates of more are taken to be the same
TIMEOUT = 180
# Share of a pass's time in float32 that products in bfloat16 shorten. One Intel CPU with AMX made passes at 1,870
# tokens a second instead of 925, where it multiplied at 1,300 GFLOP/s instead of 150. Its encoder products give 0.72.
SHORTENED = 0.57
# What the stages reach of what a bare product or copy reaches, as receipts and probe of one machine have it: passes and
# products also start kernels and touch memory; sums over few rows miss a copy's regular access and gain from the cache.
REACHED = {"forward": 0.74, "training": 0.63, "single": 0.8, "double": 1.0, "traffic": 1.75}
LINES = 20_000  # of `count_words`, which takes COUNTED seconds on the CPU of REFERENCE
COUNTED = 0.0126


def calibrated(arithmetic: str, workers: int | None = None) -> Device:
    """The device `cpu` with the rates of this machine.

    Args:
        arithmetic: as the parameters have it; auto is settled by the rates.

    Raises:
        ArtifactError: a process failed.
    """
    workers = workers or worker_count()
    result = measure_together(min(workers, AT_ONCE))
    median = {name: statistics.median(one[name] for one in result) for name in result[0]}
    rates = ProductRates(median["float32"], median["bfloat16"])
    taken = rates.faster if arithmetic == AUTO else arithmetic
    passes = rates.float32 if taken == FLOAT32 else mixed(rates)
    peak = {"forward": passes, "training": passes, "single": median["single"], "double": median["float64"]}
    return dataclasses.replace(
        REFERENCE,
        peak=peak | {"traffic": median["copy"], "python": median["python"]},
        used=REACHED,
        memory=psutil.virtual_memory().total,
        workers=workers,
        arithmetic=taken,
        disk=disk_rate(),
        imports={"torch": median["import_torch"], "sae_lens": median["import_torch"] + median["import_sae_lens"]},
    )


def mixed(rates: ProductRates) -> float:
    """FLOP/s of what gains from bfloat16 in part."""
    return 1 / (SHORTENED / rates.bfloat16 + (1 - SHORTENED) / rates.float32)


def busy() -> str | None:
    """What to say where other work runs now."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < cores / 2:
        return None
    return f"load {load:.1f} on {cores} cores: other work runs here now, and times are those of a machine left alone"


def measure_together(count: int) -> list[dict[str, float]]:
    """The measurements of `count` processes that run at once."""
    command = [sys.executable, "-m", "darkmatter.planning.probe"]
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(count)
    ]
    results = []
    try:
        for process in running:
            out, error = process.communicate(timeout=TIMEOUT)
            if process.returncode:
                reason = (error.strip().splitlines() or ["no reason given"])[-1]
                raise ArtifactError(f"the probe failed: {reason}. `darkmatter plan --no-probe` plans without it.")
            results.append(json.loads(out.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        raise ArtifactError(
            f"the probe took over {TIMEOUT} s. `darkmatter plan --no-probe` plans without it."
        ) from None
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    return results


def disk_rate(folder: Path | None = None) -> float:
    """Bytes per second of writing a file where data/ lies, to the disk and not to its cache."""
    block = os.urandom(1 << 20)
    place = folder or (Path("data") if Path("data").is_dir() else Path())
    start = time.perf_counter()
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(WRITTEN // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return WRITTEN / (time.perf_counter() - start)


def measure() -> dict[str, float]:
    """Imports in seconds, products in FLOP/s of one thread, a copy in bytes/s read and written, the interpreter's pace.

    `single` is a product outside of passes and training (`runner.rounded_products` says where these differ).
    """
    result = {}
    for name in ("torch", "sae_lens"):
        start = time.thread_time()
        __import__(name)
        result[f"import_{name}"] = time.thread_time() - start
    import torch

    torch.set_num_threads(1)
    result |= dataclasses.asdict(measure_rates())
    rows, d_model = 823, 576
    for name, dtype in (("single", torch.float32), ("float64", torch.float64)):
        a, b = (torch.ones(shape, dtype=dtype) for shape in ((rows, d_model), (d_model, d_model)))
        result[name] = 2 * rows * d_model**2 / median_seconds(functools.partial(torch.matmul, a, b))
    result["python"] = REFERENCE.peak["python"] * COUNTED / median_seconds(count_words)
    source = torch.ones(WRITTEN // 4)
    target = torch.empty_like(source)
    result["copy"] = 2 * WRITTEN / median_seconds(lambda: target.copy_(source))
    return result


def count_words() -> Counter[str]:
    """Work of the interpreter alone."""
    return Counter(word for line in range(LINES) for word in f"{line} words in a line {line % 97}".split())


def median_seconds(work: Callable[[], object]) -> float:
    """Of the thread's own time: what other processes take from it is not this machine's slowness."""
    work()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return statistics.median(times)


if __name__ == "__main__":
    print(json.dumps(measure()))
