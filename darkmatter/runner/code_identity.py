"""What a piece of this repository's code depends on, read from its import statements.

Three readers share it: the unit store (a unit is stale when the code behind it changed), the receipts (they
name code by content) and the test that holds every stage's `deps` in dvc.yaml against what it imports.
"""

import ast
import functools
import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("darkmatter", "stages")


def module_file(name: str, root: Path = ROOT) -> Path | None:
    """The file of a module of ours, or None when `name` is a library's or no module."""
    if name.split(".")[0] not in PACKAGES:
        return None
    base = root.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def source_of(module: str) -> Path:
    """The file of a module that is loaded."""
    file = sys.modules[module].__file__
    if file is None:
        raise ValueError(f"{module} comes from no file")
    return Path(file).resolve()


def direct_imports(path: Path, root: Path = ROOT) -> set[Path]:
    """Files of ours that `path` imports when it runs, at the top or inside a function."""
    result = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue  # for people and type checkers alone
        waiting.extend(ast.iter_child_nodes(node))
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                modules = [module, *(f"{module}.{alias.name}" for alias in names)]
            case _:
                continue
        result |= {file for name in modules if (file := module_file(name, root))}
    return result


def closure(path: Path, root: Path = ROOT) -> list[Path]:
    """`path` and every file of ours it imports, directly or not, sorted; without empty package files."""
    seen: set[Path] = set()
    waiting = [path.resolve()]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        waiting.extend(direct_imports(current, root) - seen)
    return sorted(file for file in seen if file.name != "__init__.py" or len(direct_imports(file, root)))


@functools.cache
def code_hash(path: Path) -> str:
    """SHA-256 of the code that `path` runs, blind to comments, formatting and docstrings."""
    digest = hashlib.sha256()
    for file in closure(path):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and is_docstring(body[0]):
                body[:] = body[1:] or [ast.Pass()]
        digest.update(f"{file.relative_to(ROOT).as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
