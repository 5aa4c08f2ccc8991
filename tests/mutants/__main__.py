"""Every planted bug in turn: the section `mutants` of reports/reliability.json, and docs/faults.md.

    make mutants                              # or: python -m tests.mutants [--every N] [WORD ...]

With words only bugs in modules whose names hold one of them, with `--every N` one bug of N. A run that was stopped goes
on where it was: a bug is planted again only where its module or the tests that judged it have changed, and one that
survived where words name its module.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "fakes")]  # as pytest finds them

import stages  # noqa: E402, F401, I001 - before the libraries, which read its variables when they are imported
import argparse  # noqa: E402
import tempfile  # noqa: E402
from typing import Any  # noqa: E402

from darkmatter.storage.artifacts import read_json  # noqa: E402
from darkmatter.runner.stage import machine  # noqa: E402
from tests.faults.page import RESULT, write  # noqa: E402
from tests.mutants.mutant import CAUGHT, Mutant  # noqa: E402
from tests.mutants.page import sum_of  # noqa: E402
from tests.mutants.planted import MUTANTS  # noqa: E402
from tests.mutants.trial import Copy, key  # noqa: E402

TOGETHER = 6  # bugs after which it is made sure that the tests which caught them pass without


def main(words: list[str], every: int = 1) -> int:
    """Exit code 1 where a bug survived."""
    content = read_json(RESULT) if RESULT.is_file() else {}
    earlier = content.get("mutants", {}).get("results", [])
    results: dict[Mutant, dict[str, Any]] = {
        mutant: mutant.facts() | {name: one[name] for name in ("outcome", "by", "files", "seconds", "key")}
        for mutant in MUTANTS
        for one in earlier
        if mutant.is_of(one) and key(mutant, one["by"]) == one["key"]
    }
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.module for word in words)][::every]
    again = {mutant for mutant in chosen if words and mutant in results and results[mutant]["outcome"] != CAUGHT}
    waiting = [mutant for mutant in chosen if mutant not in results or mutant in again]
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder) / "copy") if waiting else None
        while copy and waiting:
            tried = {mutant: tried_out(copy, mutant) for mutant in waiting[:TOGETHER]}
            copy.settle(one["by"] for one in tried.values() if one["by"])
            # A test that fails without the bug, too, judges nothing: the bug is planted again, without that test.
            results |= {mutant: one for mutant, one in tried.items() if one["by"] not in copy.broken}
            waiting = [mutant for mutant in waiting if mutant not in tried or tried[mutant]["by"] in copy.broken]
            write(mutants=section(results))
    write(mutants=section(results))
    print(sum_of(section(results)))
    return int(any(results[mutant]["outcome"] != CAUGHT for mutant in chosen))


def tried_out(copy: Copy, mutant: Mutant) -> dict[str, Any]:
    """The result of one bug, which is said at once."""
    result = copy.trial(mutant)
    by = result["by"] or f"{result['files']} files of tests: {mutant.seen}"
    print(f"{result['seconds']:4.0f} s  {mutant.module}: {result['outcome']} {by}", flush=True)
    return result


def section(results: dict[Mutant, dict[str, Any]]) -> dict[str, Any]:
    """What the results file says of all bugs, in the order of the list."""
    ordered = [results[mutant] for mutant in MUTANTS if mutant in results]
    return {"machine": machine(), "planned": len(MUTANTS), "results": ordered}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="of names of modules, such as bootstrap")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one bug of so many (default 1: all)")
    given = parser.parse_args()
    sys.exit(main(given.words, given.every))
