"""A map of slow units in two processes, for a test that kills it:  python -m tests.support.slow_units FOLDER."""

import sys
import time
from pathlib import Path

from darkmatter.runner import units


def sleep_long(out: Path, number: int) -> None:
    time.sleep(60)
    (out / "done").write_text(str(number))


if __name__ == "__main__":
    from tests.support.slow_units import sleep_long as function  # by its importable name, for the workers

    folder = Path(sys.argv[1])
    units.STORE = folder / "store"
    units.run_units(function, [units.Unit(str(n), {"number": n}) for n in range(2)], folder / "out", "slow")
