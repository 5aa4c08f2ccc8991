"""Which arithmetic this machine takes: measured by 0.3 s of products, in one thread, at the size of a forward pass.

Where the CPU does not round by itself torch takes another second, once, to load what its operators are caught with.
"""

import importlib
import statistics
import time
from dataclasses import dataclass

from darkmatter.params.types import ParamsError
from darkmatter.runner.arithmetic import BFLOAT16, FLOAT32, products

AUTO = "auto"
ROWS, D_MODEL, D_MLP = 1024, 576, 1536  # a context through the widest product of a block of SmolLM2
TIMES = 5
# bfloat16 must multiply so many times faster. Passes gain from it in little more than half of their time: at this ratio
# they save a fifth of it, and less is not worth numbers that another CPU does not repeat as closely.
MARGIN = 1.5


@dataclass(frozen=True)
class ProductRates:
    """FLOP/s of one thread in each arithmetic."""

    float32: float
    bfloat16: float

    @property
    def faster(self) -> str:
        """bfloat16 where it pays by the margin, else float32."""
        return BFLOAT16 if self.bfloat16 >= MARGIN * self.float32 else FLOAT32


def measure_rates() -> ProductRates:
    """Medians of interleaved products, by the thread's own time: what other processes take is not counted."""
    import torch

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(*shape, generator=generator) for shape in ((ROWS, D_MODEL), (D_MODEL, D_MLP)))
    seconds: dict[str, list[float]] = {FLOAT32: [], BFLOAT16: []}
    for _ in range(TIMES + 1):
        for arithmetic, times in seconds.items():
            with products(arithmetic):
                start = time.thread_time()
                a @ b
                times.append(time.thread_time() - start)
    flop = 2.0 * ROWS * D_MODEL * D_MLP
    return ProductRates(**{name: flop / statistics.median(times[1:]) for name, times in seconds.items()})


def settle(wanted: str, device: str) -> tuple[str, ProductRates | None]:
    """The arithmetic of a run, and the rates where they were measured to choose it.

    Args:
        wanted: auto, float32 or bfloat16, as the parameters have it.
        device: where models run. `auto` is float32 but on the CPU; an accelerator has its own number types.

    Raises:
        ParamsError: `wanted` is none of these.
    """
    if wanted in (FLOAT32, BFLOAT16):
        return wanted, None
    if wanted != AUTO:
        raise ParamsError(f"arithmetic {wanted!r}; there are {AUTO}, {FLOAT32} and {BFLOAT16}")
    # By name: it imports torch. A CPU that does not round by itself does the float32 product and more: never faster.
    rounding = importlib.import_module("darkmatter.runner.rounded_products")
    if device != "cpu" or not rounding.rounds_by_itself():
        return FLOAT32, None
    rates = measure_rates()
    return rates.faster, rates
