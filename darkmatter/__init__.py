"""Decompose the error of sparse autoencoders into a linear and a nonlinear part of the activation.

from darkmatter import decompose   # docs/extending.md
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """`decompose`, imported at first use: nothing else needs torch to `import darkmatter`.

    By name, since a stage that says `from darkmatter import …` would depend on whatever this file imports.
    """
    if name == "decompose":
        return importlib.import_module("darkmatter.api.decompose").decompose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
