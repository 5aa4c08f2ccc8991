"""A class name means one thing in the whole package: whoever reads it in an annotation knows where to look. And every
docstring begins with what the thing is.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"\s*(Args|Attributes|Raises|Returns|Yields):")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def definitions(kind: type[ast.AST], folder: Path = ROOT / "darkmatter") -> dict[str, set[str]]:
    """Name → files that define it at their top level or inside a class."""
    result = defaultdict(set)
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for holder in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
            for node in holder.body:
                if isinstance(node, kind):
                    result[node.name].add(path.relative_to(folder).as_posix())
    return result


def twice(result: dict[str, set[str]]) -> dict[str, set[str]]:
    return {name: files for name, files in result.items() if len(files) > 1}


def test_no_two_classes_have_the_same_name():
    assert twice(definitions(ast.ClassDef)) == {}


@pytest.mark.parametrize("name", ["over_contexts_and_seeds", "seed_estimate", "scalar_sums", "layer_of"])
def test_functions_that_were_easily_confused_are_defined_once(name):
    assert len(definitions(ast.FunctionDef)[name]) == 1


def test_a_name_with_two_meanings_is_found(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").write_text(f"class Same:\n    class {folder.title()}: ...\n\ndef f(): ...\n")
    assert twice(definitions(ast.ClassDef, tmp_path)) == {"Same": {"one/module.py", "two/module.py"}}
    assert set(twice(definitions(ast.FunctionDef, tmp_path))) == {"f"}


def headless(folder: Path) -> list[str]:
    """Where a docstring begins with the list of its parts, and no sentence says what the whole is."""
    result = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, DOCUMENTED) and SECTION.match(ast.get_docstring(node) or ""):
                result.append(f"{path.relative_to(folder).as_posix()}: {getattr(node, 'name', 'the module')}")
    return result


@pytest.mark.parametrize("folder", ["darkmatter", "stages", "tests"])
def test_every_docstring_begins_with_a_sentence(folder):
    assert headless(ROOT / folder) == []


def test_a_docstring_without_a_sentence_is_found(tmp_path):
    without = 'class Whole:\n    """Attributes:\n    part: of it.\n    """\n'
    with_one = 'def f(x):\n    """Does it.\n\n    Args:\n        x: a part.\n    """\n'
    (tmp_path / "module.py").write_text(without + with_one)
    assert headless(tmp_path) == ["module.py: Whole"]
