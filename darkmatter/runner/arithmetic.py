"""The arithmetic of matrix products: float32, or bfloat16 with float32 sums where `arithmetic` of params.yaml says so.

It concerns passes through the language model and the training of SAEs. Whatever is judged stays in float32 or float64:
codes, reconstructions, SAEs of errors, moments, regressions, scores. It is settled once, by the stage `model`, and
stands in the model's manifest; stages that come after read it there, so that all of them agree whatever CPU they meet,
and DVC runs them when it changes. What is float32 says nothing of it, neither manifest nor unit key: it is the same as
before there was a choice, and stays stored.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from darkmatter.storage.artifacts import ArtifactError, read_json, write_json

FLOAT32, BFLOAT16 = "float32", "bfloat16"
KEY = "arithmetic"
MARK = "arithmetic.json"  # beside what was made in another arithmetic than float32


@contextlib.contextmanager
def products(arithmetic: str) -> Iterator[None]:
    """Matrix products of this process inside the block are computed so.

    Raises:
        ArtifactError: there is no such arithmetic.
        RuntimeError: torch was imported inside of the block, where it is too late to choose its kernels.
    """
    rounds = check(arithmetic, "a unit") == BFLOAT16
    if not rounds and "torch" not in sys.modules:
        yield
        if "torch" in sys.modules:
            raise RuntimeError("torch was imported too late for its products: import it at the top of the module")
        return
    # By name: it imports torch, and no import may lead a stage that only draws there.
    kernels = importlib.import_module("darkmatter.runner.rounded_products")
    with kernels.rounded() if rounds else kernels.unrounded():
        yield


def check(arithmetic: object, where: str) -> str:
    """The arithmetic, if there is one of this name.

    Raises:
        ArtifactError: there is not.
    """
    if arithmetic not in (FLOAT32, BFLOAT16):
        raise ArtifactError(f"{where} names arithmetic {arithmetic!r}; there are {FLOAT32} and {BFLOAT16}")
    return str(arithmetic)


def arithmetic_of(manifest: Path) -> str:
    """What the manifest of a model says of its products.

    Raises:
        ArtifactError: there is no manifest, or it names an arithmetic that there is not.
    """
    return check(read_json(manifest).get(KEY, FLOAT32), str(manifest))


def said(arithmetic: str) -> dict[str, str]:
    """What a manifest says of it: nothing of float32."""
    return {} if arithmetic == FLOAT32 else {KEY: arithmetic}


def mark(folder: Path, arithmetic: str) -> None:
    """Say in a folder how what is in it was made."""
    if content := said(arithmetic):
        write_json(folder / MARK, content)


def check_mark(folder: Path, arithmetic: str, remedy: str) -> None:
    """Refuse a folder that was made in another arithmetic.

    Raises:
        ArtifactError: it was.
    """
    path = folder / MARK
    made = arithmetic_of(path) if path.is_file() else FLOAT32
    if made != arithmetic:
        raise ArtifactError(
            f"{folder} was made with {made} products, and the model's manifest says {arithmetic}: the two do not mix. "
            f"Run `{remedy}`."
        )
