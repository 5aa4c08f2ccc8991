"""Which files of tests import a module, and over how many others: read from import statements.

`conftest.py` is left out: pytest imports it for every test, whether the test needs it or not.
"""

import ast
import functools
from pathlib import Path

from darkmatter.runner.code_identity import direct_imports
from tests.conftest import FIRST as SLOW
from tests.mutants.mutant import ROOT

HELPERS = ("tests/support", "tests/fakes")  # pytest finds modules there by their bare name
OWN = "test_mutants.py"  # it looks for the texts that mutants replace


def reaching(module: str, root: Path = ROOT) -> list[list[str]]:
    """The files of tests that reach a module, in the order in which they are run.

    First those of the module's room that import it themselves, the one that bears its name before the others; then
    those of other rooms, then those that import something that imports it, and so on; last of all the files that take
    longest.
    """
    wanted, room = root / module, Path(module).parts[1]
    steps: dict[tuple[bool, int, bool], list[str]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        if path.name != OWN and (distance := distances(path, root).get(wanted)):
            elsewhere = distance == 1 and path.parent.name != room
            step = steps.setdefault((path.stem in SLOW, distance, elsewhere), [])
            step.append(path.relative_to(root).as_posix())
    own = f"test_{wanted.stem}.py"
    return [sorted(steps[key], key=lambda name: Path(name).name != own) for key in sorted(steps)]


@functools.cache
def distances(path: Path, root: Path) -> dict[Path, int]:
    """Every file of ours that a file imports, directly or not, with the number of imports on the way there."""
    result, step, current = {path: 0}, 0, [path]
    while current:
        step += 1
        current = sorted({found for one in current for found in imports_of(one, root)} - result.keys())
        result |= dict.fromkeys(current, step)
    return result


@functools.cache
def imports_of(path: Path, root: Path) -> frozenset[Path]:
    """What a file imports itself: modules of ours, and helpers of tests."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = [root / folder / f"{name}.py" for name in names if "." not in name for folder in HELPERS]
    places += [root / f"{name.replace('.', '/')}.py" for name in names if name.startswith("tests.")]
    return frozenset(direct_imports(path, root)) | {place for place in places if place.is_file()}
