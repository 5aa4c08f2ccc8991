"""Sums of several things in one file: the key `NAME/SUM` for each. No torch."""

from collections.abc import Mapping

import numpy as np

from darkmatter.storage.artifacts import ArtifactError

Arrays = Mapping[str, np.ndarray]


def gather(parts: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """name → its sums, as the arrays of one file."""
    return {f"{name}/{key}": array for name, sums in parts.items() for key, array in sums.items()}


def select(arrays: Arrays, name: str) -> dict[str, np.ndarray]:
    """The sums of one of them.

    Raises:
        ArtifactError: there are none.
    """
    prefix = f"{name}/"
    result = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    if not result:
        raise ArtifactError(f"the stored sums hold nothing of {name}: results and sums differ. Run `dvc repro`.")
    return result
