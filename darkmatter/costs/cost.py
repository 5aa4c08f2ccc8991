"""What a stage costs, before it is known on what device: amounts of work, memory, disk and download."""

import math
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Work:
    """Work of one step of a stage, which `units` processes can share.

    Attributes:
        forward: FLOP of passes through the language model, in the model's dtype.
        training: FLOP of the products that train SAEs; on a CPU in the arithmetic of the run, like `forward`.
        single, double: FLOP of other matrix products in float32 and float64.
        traffic: bytes through memory outside of products: sparse sums, sorting, optimiser, elementwise.
        python: seconds of interpreter and text that no accelerator shortens, on the CPU that they were measured on.
        loads: the library whose import the step begins with; each process pays for it, all at once.
        on_device: whether it runs where `device` of the parameters says, an accelerator with one process, or always on
            the CPU.
    """

    KINDS: ClassVar = ("forward", "training", "single", "double", "traffic", "python")

    forward: float = 0.0
    training: float = 0.0
    single: float = 0.0
    double: float = 0.0
    traffic: float = 0.0
    python: float = 0.0
    units: int = 1
    loads: str | None = None
    on_device: bool = False

    @property
    def flops(self) -> float:
        return self.forward + self.training + self.single + self.double

    def speedup(self, workers: int) -> float:
        """Of equal units on so many processes, of which the last round may leave some idle."""
        return self.units / math.ceil(self.units / workers) if self.units > 1 else 1.0


@dataclass(frozen=True)
class Cost:
    """What one stage needs; bytes.

    Attributes:
        steps: one after another.
        memory: at the peak of one process, on the host whatever the device; without mapped files, whose pages the
            system takes back when it needs them (a receipt's peak counts them).
        device: what the same process holds where the parameter `device` says: on an accelerator, or on the host, too.
        staged: on the host while its part goes to an accelerator or comes from there.
        disk: what it leaves; `scratch`: what it needs beside that while it runs.
        read: published weights that it maps from the hub's cache, and fetches again where they were evicted.
        note: what a reader of the plan should know of it.
    """

    steps: tuple[Work, ...] = ()
    memory: float = 0.0
    device: float = 0.0
    staged: float = 0.0
    disk: float = 0.0
    scratch: float = 0.0
    download: float = 0.0
    read: float = 0.0
    note: str = ""

    @property
    def flops(self) -> float:
        return sum(step.flops for step in self.steps)

    def total(self, kind: str) -> float:
        return sum(getattr(step, kind) for step in self.steps)

    def host_memory(self, accelerator: bool) -> float:
        return max(self.memory, self.staged) if accelerator else self.memory + self.device


def together(costs: list[Cost]) -> Cost:
    """One after another."""
    return Cost(
        tuple(step for cost in costs for step in cost.steps),
        *(max((getattr(cost, name) for cost in costs), default=0.0) for name in ("memory", "device", "staged")),
        disk=sum(cost.disk for cost in costs),
        scratch=max((cost.scratch for cost in costs), default=0.0),
        download=sum(cost.download for cost in costs),
        read=sum(cost.read for cost in costs),
    )


def many(works: list[Work], loads: str | None = None, on_device: bool = False) -> Work:
    """Units of one step."""
    total = {kind: sum(getattr(one, kind) for one in works) for kind in Work.KINDS}
    return Work(**total, units=max(1, len(works)), loads=loads, on_device=on_device)
