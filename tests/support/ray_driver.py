"""Units on a Ray cluster, for tests that kill things:  python -m tests.support.ray_driver FOLDER COUNT [SECONDS]."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from darkmatter.runner import units


def walk(out: Path, number: int, seconds: float, log: str, kill_once: str) -> None:
    """A random walk, a line in the log when it starts, and one that dies the first time where it is told to."""
    with Path(log).open("a") as file:
        file.write(f"{number}\n")
    time.sleep(seconds)
    if kill_once and number == 1 and not Path(kill_once).exists():
        Path(kill_once).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    steps = np.random.default_rng(number).normal(size=(200, 50)).astype(np.float32)
    np.save(out / "walk.npy", steps @ steps.T)


def fail(out: Path, number: int) -> None:
    raise ValueError(f"number {number}")


def gpus(out: Path, wanted: str) -> None:
    (out / "visible").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))


def make(folder: Path, count: int, seconds: float = 0.0, kill_once: str = "") -> list[units.Unit]:
    log = (folder / "log.txt").as_posix()
    shared = {"seconds": seconds, "log": log, "kill_once": kill_once}
    return [units.Unit(f"{number:02}", {"number": number, **shared}) for number in range(count)]


if __name__ == "__main__":
    from tests.support.ray_driver import walk as function  # by its importable name, for the workers

    folder = Path(sys.argv[1])
    units.STORE = folder / "store"
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    units.run_units(function, make(folder, int(sys.argv[2]), seconds), folder / "out", "walks")
