"""The tensors of an SAE's file, each used by name; one that nothing uses is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkmatter.saes.published.matrices import FLOATS, Matrix, map_npz, map_safetensors
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.torch_files.read import map_tensors


@dataclass(frozen=True)
class Tensors:
    """The tensors of one file by name, and what is wrong when one is not as it should be."""

    path: Path
    arrays: Mapping[str, tuple[np.ndarray, bool]]

    @classmethod
    def of_npz(cls, path: Path) -> "Tensors":
        return cls(path, {name: (array, False) for name, array in map_npz(path).items()})

    @classmethod
    def of_safetensors(cls, path: Path) -> "Tensors":
        return cls(path, map_safetensors(path))

    @classmethod
    def of_pickle(cls, path: Path) -> "Tensors":
        """A state dict of `torch.save`, read without running anything of it."""
        result = map_tensors(path)
        if not isinstance(result, dict):
            raise ArtifactError(f"{path} holds no dict of tensors by name, so it is not an SAE's state dict")
        return cls(path, result)

    def get(self, name: str, dimensions: int) -> tuple[np.ndarray, bool]:
        if name not in self.arrays:
            raise ArtifactError(f"{self.path} has no {name} (it has {', '.join(sorted(self.arrays))}): another format?")
        array, bfloat16 = self.arrays[name]
        if array.ndim != dimensions:
            raise ArtifactError(f"{self.path}: {name} has shape {list(array.shape)}, expected {dimensions} dimensions")
        return array, bfloat16

    def floats(self, name: str, dimensions: int) -> tuple[np.ndarray, bool]:
        array, bfloat16 = self.get(name, dimensions)
        if not bfloat16 and array.dtype.str not in FLOATS:
            raise ArtifactError(f"{self.path}: {name} holds {array.dtype}, expected floating-point numbers")
        return array, bfloat16

    def matrix(self, name: str, latents_first: bool) -> Matrix:
        array, bfloat16 = self.floats(name, 2)
        return Matrix(array, latents_first, bfloat16)

    def vector(self, name: str) -> np.ndarray:
        array, bfloat16 = self.floats(name, 1)
        return Matrix(array[None], True, bfloat16).block(0, 1)[0]

    def number(self, name: str) -> float:
        array, bfloat16 = self.get(name, 0)
        return (Matrix(array[None, None], True, bfloat16).block(0, 1) if bfloat16 else array).item()

    def integers(self, name: str) -> np.ndarray:
        array, bfloat16 = self.get(name, 1)
        if bfloat16 or array.dtype.kind not in "iu":
            raise ArtifactError(f"{self.path}: {name} holds {array.dtype}, expected integers")
        return array

    def refuse_others(self, known: set[str]) -> None:
        if others := sorted(self.arrays.keys() - known):
            raise ArtifactError(
                f"{self.path}: nothing here uses {', '.join(others)}. A part of the SAE would be left out in silence."
            )
