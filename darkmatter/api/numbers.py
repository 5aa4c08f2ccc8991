"""Numbers that may be activations, of any library and type, as float32; what cannot be is refused with the way out."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.models.activation_files import BFLOAT16, widened
from darkmatter.storage.artifacts import ArtifactError

# Nearly all activations lie between 2⁻⁶⁰ and 2⁶⁰ in size; whole numbers read as the bits of bfloat16 lie anywhere.
EXPONENTS = (127 - 60, 127 + 60)
PLAUSIBLE = 0.9


def as_float32(values: object, number: int, what: str) -> np.ndarray:
    """The rows of one context.

    NumPy has no bfloat16. Written by a library that has (ml_dtypes, JAX) it comes back as 2-byte voids; this
    repository writes it as uint16. int16 is refused: it may be the bits of bfloat16, and it may be whole numbers.

    Raises:
        ArtifactError: whole numbers, no numbers, or some that their container hides.
    """
    check_whole(values, what)
    if isinstance(values, Tensor):
        if not values.dtype.is_floating_point:
            raise whole_numbers(values.dtype, number, what)
        return values.detach().cpu().float().numpy()
    values = np.asarray(values)
    if values.dtype.kind == "V" and values.dtype.itemsize == 2 and values.dtype.names is None:
        return widened(values.view(BFLOAT16))
    if values.dtype == BFLOAT16:
        check_bfloat16(values, number, what)
        return widened(values)
    if values.dtype.kind in "iub":
        raise whole_numbers(values.dtype, number, what)
    if values.dtype.kind != "f":
        raise ArtifactError(f"{what}: context {number} holds {values.dtype}, not numbers")
    with np.errstate(over="ignore"):  # an infinity is refused by name
        return values.astype(np.float32, copy=False)


def check_whole(values: object, what: str) -> None:
    """Refuse arrays that do not hold all their numbers: sparse tensors, and masks within the array."""
    if isinstance(values, Tensor) and values.layout != torch.strided:
        raise ArtifactError(f"{what}: a sparse tensor ({values.layout}) is not read; give x.to_dense()")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ArtifactError(
            f"{what}: a masked array of NumPy, whose mask would be lost; give x.data, and the rows that count as "
            "mask=~numpy.ma.getmaskarray(x).any(-1)"
        )


def whole_numbers(dtype: object, number: int, what: str) -> ArtifactError:
    bits = ' Where they are the bits of bfloat16: x.view("uint16").' if str(dtype).rpartition(".")[2] == "int16" else ""
    return ArtifactError(
        f"{what}: context {number} holds {dtype}: whole numbers, such as token ids, are no activations.{bits} Where "
        'they are meant: x.astype("float32")'
    )


def check_bfloat16(bits: np.ndarray, number: int, what: str) -> None:
    """Refuse uint16 that cannot be the bits of bfloat16 activations, such as token ids."""
    exponents = bits[bits & 0x7FFF != 0] >> 7 & 0xFF  # of −0 and 0 none
    exponents = exponents[exponents != 0xFF]  # an infinity is refused by name
    if exponents.size and np.mean((exponents >= EXPONENTS[0]) & (exponents <= EXPONENTS[1])) < PLAUSIBLE:
        raise whole_numbers(bits.dtype, number, what)


def check_finite(rows: Float[np.ndarray, "position d_model"], number: int, what: str) -> None:
    if not np.isfinite(rows).all():
        raise ArtifactError(
            f"{what}: context {number} holds a NaN or an infinity (float16 overflows at 65,504: extract in bfloat16 "
            "or float32). Rows that a mask leaves out may hold anything"
        )
