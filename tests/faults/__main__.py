"""Every fault in turn: reports/reliability.json and docs/faults.md.

    make faults                               # or: python -m tests.faults [--every N] [GROUP ...]

With names of groups (`files hub`) only these are tried, and nothing is written. With `--every N` one kill of N; the
page counts those that were tried.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "fakes")]  # as pytest finds them

import stages  # noqa: E402, F401, I001 - before the libraries, which read its variables when they are imported
import argparse  # noqa: E402
import importlib  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402

from darkmatter.runner.stage import machine  # noqa: E402
from tests.faults.page import GROUPS, sentence, summary, write  # noqa: E402
from tests.faults.trial import REFUSED, SURVIVED, Trial  # noqa: E402


def main(groups: list[str], every: int = 1) -> int:
    """Exit code 1 where a fault was neither survived nor refused with one clear line."""
    warnings.simplefilter("ignore")  # of libraries, about the files that are damaged on purpose
    start, trials = time.perf_counter(), list[Trial]()
    for group in groups or GROUPS:
        before = time.perf_counter()
        own = []
        for trial in importlib.import_module(f"tests.faults.{group}").trials(every if "kills" in group else 1):
            own.append(trial)
            if trial.outcome not in (SURVIVED, REFUSED):
                print(f"  {trial.outcome}: {trial.fault}, {trial.target}: {trial.says}", flush=True)
        trials += own
        print(f"{time.perf_counter() - before:4.0f} s  {summary(group, [trial.facts() for trial in own])}", flush=True)
    if not groups:
        seconds = round(time.perf_counter() - start, 1)
        print(sentence(write(machine=machine(), seconds=seconds, trials=[trial.facts() for trial in trials])))
    return int(any(trial.outcome not in (SURVIVED, REFUSED) for trial in trials))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one kill of so many (default 1: all)")
    given = parser.parse_args()
    sys.exit(main(given.groups, given.every))
