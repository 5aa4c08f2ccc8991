"""Every benchmark in turn: reports/bench.json and docs/benchmarks.md.

    make bench                                # or: python -m tests.benches [GROUP ...]

One thread on both sides, as in the stages. With names of modules (`pursuit training`) only these are measured, and
nothing is written.
"""

import stages  # noqa: F401, I001 - before the libraries, which read its variables when they are imported
import importlib
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

from darkmatter.runner.processes import single_thread
from darkmatter.storage.artifacts import ArtifactError, write_json, write_text
from tests.benches.graph import measure_graph
from tests.benches.growth import growth
from tests.benches.interleaved import measure_peaks
from tests.benches.page import PAGE, RESULT, page, summary
from tests.benches.whole_run import whole_run

DATA = Path("data")
GROUPS = ("products", "regression", "training", "pursuit", "extraction", "noise_grid", "bootstrap", "wide_sae")
NEEDED = {
    "model": DATA / "model" / "model.safetensors",
    "tokens": DATA / "tokens" / "eval.npy",
    "activations": DATA / "activations" / "train" / "resid_post.14",
    "saes": DATA / "saes" / "resid_post.14",
    "codes": DATA / "codes" / "resid_post.14",
}


def check_data() -> None:
    """Refuse to begin without what is measured on.

    Raises:
        ArtifactError: the model or what was made with it is not here.
    """
    missing = [stage for stage, path in NEEDED.items() if not path.exists()]
    if missing:
        raise ArtifactError(
            f"{DATA} lacks the outputs of {', '.join(missing)}: run `dvc repro codes`, then `make bench`"
        )


def machine() -> dict:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(models) or None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def main(groups: list[str]) -> None:
    check_data()
    single_thread()
    start, rows = time.perf_counter(), []
    graph = [] if groups else [rerun.facts() for rerun in measure_graph()]  # first: it refuses where a stage is stale
    peaks = measure_peaks()
    for group in groups or GROUPS:
        for row in importlib.import_module(f"tests.benches.bench_{group}").rows(DATA, peaks):
            rows.append(row.facts())
            print(f"{time.perf_counter() - start:4.0f} s  {summary(rows[-1])}", flush=True)
    if groups:
        return
    limits = {"float32": peaks.float32, "float64": peaks.float64, "bandwidth": peaks.bandwidth}
    content = {"machine": machine(), "peaks": limits, "rows": rows, "growth": growth(DATA, rows)}
    print(f"{time.perf_counter() - start:4.0f} s  how time grows", flush=True)
    content |= {"graph": graph, "whole": whole_run(), "seconds": time.perf_counter() - start}
    write_json(RESULT, json.loads(json.dumps(content)))
    write_text(PAGE, page(content))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ArtifactError as error:
        sys.exit(f"error: {error}")
