"""The JSON schemas of the results files and of claims.json, written from the types that say what each holds.

    python -m darkmatter.audit.schemas      # writes docs/schemas/NAME.json; a test compares

A schema names every key: one that it does not know is an error, and so is one that is missing.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from darkmatter.storage.artifacts import write_text

PACKAGE = Path(__file__).parents[1]
FOLDER = Path("docs/schemas")
DRAFT = "https://json-schema.org/draft/2020-12/schema"
END = "Content"  # of the name of the type that a whole file is

Schema = dict[str, Any]


def schema_modules() -> dict[str, str]:
    """Kind of file → the module that has its type: `schema` of an experiment, of the decomposition, and of claims."""
    files = {file.parent.name: file for file in PACKAGE.glob("experiments/*/schema.py")}
    files |= {"decomposition": PACKAGE / "decomposition/schema.py", "claims": PACKAGE / "ledger/schema.py"}
    modules = {name: file.relative_to(PACKAGE.parent).with_suffix("") for name, file in sorted(files.items())}
    return {name: ".".join(path.parts) for name, path in modules.items()}


def schema_of(module: str) -> Schema:
    """The schema of the file whose type this module has, without room for other keys."""
    (name,) = (name for name, kind in vars(import_module(module)).items() if whole(name, kind, module))
    return {"$schema": DRAFT, **closed(TypeAdapter(vars(import_module(module))[name]).json_schema())}


def whole(name: str, kind: Any, module: str) -> bool:
    """Whether this is the type of a whole file."""
    return name.endswith(END) and getattr(kind, "__module__", None) == module


def closed(schema: Any) -> Any:
    """The same schema, in which an object with named keys has no others."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    result = {key: closed(part) for key, part in schema.items()}
    return {**result, "additionalProperties": False} if "properties" in result else result


def documents() -> dict[Path, str]:
    """Each schema's file with its text."""
    return {
        FOLDER / f"{name}.json": json.dumps(schema_of(module), indent=1, ensure_ascii=False) + "\n"
        for name, module in schema_modules().items()
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
        print(path)
