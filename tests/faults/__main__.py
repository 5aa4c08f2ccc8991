"""Every fault in turn: reports/reliability.json and docs/faults.md.

    make faults                               # or: python -m tests.faults [--every N] [GROUP ...]

With names of groups (`files hub`) only these are tried; a group takes the place of what is in the file of it as soon
as it has ended. With `--every N` one kill of N; the page counts those that were tried.
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
from tests.faults.page import GROUPS, sentence, summary, write_group  # noqa: E402
from tests.faults.trial import REFUSED, SURVIVED, Trial  # noqa: E402


def main(groups: list[str], every: int = 1) -> int:
    """Exit code 1 where a fault was neither survived nor refused with one clear line."""
    warnings.simplefilter("ignore")  # of libraries, about the files that are damaged on purpose
    bad, content = 0, {}
    for group in groups or GROUPS:
        start, own = time.perf_counter(), list[Trial]()
        for trial in importlib.import_module(f"tests.faults.{group}").trials(every if "kills" in group else 1):
            own.append(trial)
            if trial.outcome not in (SURVIVED, REFUSED):
                print(f"  {trial.outcome}: {trial.fault}, {trial.target}: {trial.says}", flush=True)
                bad += 1
        facts, seconds = [trial.facts() for trial in own], round(time.perf_counter() - start, 1)
        content = write_group(group, {"machine": machine(), "seconds": seconds}, facts)
        print(f"{seconds:4.0f} s  {summary(group, facts)}", flush=True)
    print(sentence(content))
    return int(bad > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one kill of so many (default 1: all)")
    given = parser.parse_args()
    sys.exit(main(given.groups, given.every))
