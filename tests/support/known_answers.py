"""The known answers of docs/known_answers.json, and their numbers by exact arithmetic."""

import json
from fractions import Fraction
from typing import Any

import numpy as np

from darkmatter.runner.code_identity import ROOT

FILE = ROOT / "docs" / "known_answers.json"
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in json.loads(FILE.read_text(encoding="utf-8"))}
ROWS = ("x", "x_hat")
KEYS = ("fvu_pooled", "fvu_per_dimension")


def rows(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """x and x_hat, float32 [row, dim]."""
    return tuple(np.array(case[name], dtype=np.float32) for name in ROWS)


def answer(case: dict[str, Any], key: str) -> float | None:
    return None if case[key] is None else float(Fraction(case[key]))


def exact(case: dict[str, Any]) -> dict[str, Fraction | None]:
    """Both numbers as fractions, from the definitions in docs/known-answers.md."""
    x, x_hat = ([[Fraction(row[dim]) for row in case[name]] for dim in range(len(case[name][0]))] for name in ROWS)
    means = [sum(column) / len(column) for column in x]
    spread = [sum((value - mean) ** 2 for value in column) for column, mean in zip(x, means, strict=True)]
    left = [sum((a - b) ** 2 for a, b in zip(*both, strict=True)) for both in zip(x, x_hat, strict=True)]
    by_dimension = [error / whole for error, whole in zip(left, spread, strict=True) if whole]
    pooled = sum(left) / sum(spread) if sum(spread) else None
    return dict(zip(KEYS, (pooled, sum(by_dimension) / len(by_dimension) if by_dimension else None), strict=True))
