"""Float32 matrix products of factors rounded to bfloat16, summed in float32: by the CPU's own unit where it has one.

oneDNN computes so on a CPU with AMX once it may, several times faster than float32. On any other CPU it stays in
float32 even then, so there the factors are rounded before the product: the same arithmetic, no faster.
So a run in bfloat16 can be repeated on any CPU, though not as closely as one in float32: where sums come in another
order, later factors round otherwise. At layer 14 of SmolLM2 that moves a row by 0.4 % of its norm.

torch leaves float32 products to oneDNN only where it may round, and else to MKL, which takes its AVX2 kernels on a CPU
that is not Intel's. So a CPU that does not round is told that it may, for float32 products too: on an AMD EPYC with
AVX-512 oneDNN multiplies 2.3 times as fast as MKL.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SEEN = 1e-4  # relative: float32 errs by 1e-6 at this size, rounded factors by 3e-3
aten = torch.ops.aten
# operator → places of its factors among its arguments; attention's weights are made inside it and stay float32
FACTORS = {
    aten.mm: (0, 1),
    aten.addmm: (1, 2),
    aten.bmm: (0, 1),
    aten.baddbmm: (1, 2),
    aten.mv: (0, 1),
    aten.addmv: (1, 2),
    aten._scaled_dot_product_flash_attention_for_cpu: (0, 1, 2),
}


class RoundedFactors(TorchDispatchMode):
    """Within it, the factors of every float32 product are the nearest bfloat16 numbers."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        places = FACTORS.get(func.overloadpacket, ())
        rounded = [nearest(value) if place in places else value for place, value in enumerate(args)]
        return func(*rounded, **(kwargs or {}))


def nearest(factor: torch.Tensor) -> torch.Tensor:
    """The bfloat16 numbers nearest to those of a float32 tensor, as float32; any other tensor as it is."""
    return factor.bfloat16().float() if factor.dtype == torch.float32 else factor


@contextlib.contextmanager
def switched() -> Iterator[None]:
    """Let oneDNN round the factors of this process's products, and take it back."""
    switch = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # torch makes the module when it runs
    before = switch.fp32_precision
    switch.fp32_precision = "bf16"
    try:
        yield
    finally:
        switch.fp32_precision = before


@functools.cache
def rounding_errors() -> tuple[float, ...]:
    """Relative errors of products where oneDNN may round: of a layer forward, and backward to its input and weights."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(576, 576, generator=generator) for _ in range(2))
    result = []
    for left, right in ((a, b), (a, b.T), (a.T, b)):
        exact = left.double() @ right.double()
        with switched():
            result.append(float((left @ right - exact).norm() / exact.norm()))
    return tuple(result)


def rounds_by_itself() -> bool:
    """Whether this CPU rounds where it may: products of numbers that bfloat16 does not have say it."""
    return min(rounding_errors()) > SEEN


@contextlib.contextmanager
def unrounded() -> Iterator[None]:
    """Products inside are of float32 factors, by oneDNN where it leaves them as they are."""
    with switched() if max(rounding_errors()) < SEEN else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def rounded() -> Iterator[None]:
    """Products inside are of rounded factors."""
    if rounds_by_itself():
        with switched():
            yield
    else:
        with unrounded(), RoundedFactors():
            yield
