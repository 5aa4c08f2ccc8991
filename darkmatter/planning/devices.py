"""Devices: how fast each kind of work goes on them.

Peaks of accelerators are the makers' published ones, without sparsity; `used` is the share of a peak that this plan
counts on, an assumption that nothing here has measured. The machine of the receipts is measured, not published.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from darkmatter.costs.cost import Cost, Work
from darkmatter.runner.arithmetic import FLOAT32

NETWORK = 100e6  # bytes/s, a connection of 1 Gbit/s four fifths full: an assumption
USED = {  # of an accelerator's published peak
    "forward": 0.40,  # what well-tuned passes of transformers reach (PaLM: 0.46 of the peak, arXiv 2204.02311, table 3)
    "training": 0.60,  # large products in one kernel; an assumption
    "single": 0.60,
    "double": 0.60,
    "traffic": 0.60,  # sums over gathered rows rather than plain copies; an assumption
}


@dataclass(frozen=True)
class Device:
    """How fast one machine does each kind of work, and how much memory it has for it.

    Attributes:
        peak: FLOP/s; bytes/s for `traffic`; for `python` how many times as fast as the CPU whose seconds the costs
            have. Of one process where `workers` is more than 1.
        used: share of each peak, all of one that is not named.
        memory: bytes of the device.
        workers: processes that compute side by side.
        disk: bytes/s of files written and read.
        imports: seconds that a library takes to import.
        arithmetic: of a CPU's products in passes and training; `peak` has the rates of these.
        host: of an accelerator, the machine that it is in; the stages compute there what they do not compute on it.
    """

    name: str
    peak: Mapping[str, float]
    used: Mapping[str, float]
    memory: float
    workers: int
    disk: float
    imports: Mapping[str, float]
    arithmetic: str = FLOAT32
    host: "Device | None" = None

    @property
    def is_gpu(self) -> bool:
        return self.host is not None

    def rate(self, kind: str) -> float:
        return self.peak[kind] * self.used.get(kind, 1.0)


IMPORTS = {"torch": 0.9, "sae_lens": 3.6}  # measured on the machine of the receipts; facts of a warm file cache

# Measured: 2 cores of an AMD EPYC, as the receipts name it, two processes of one thread at work. Rates are those that
# the stages reach, not a product's best: 101 TFLOP of passes took 291 s on two cores.
REFERENCE = Device(
    "cpu",
    {"forward": 175e9, "training": 150e9, "single": 88e9, "double": 60e9, "traffic": 40e9, "python": 1.8},
    {},
    24e9,
    2,
    0.5e9,
    IMPORTS,
)

HOST = dataclasses.replace(REFERENCE, workers=16, memory=200e9, disk=2e9)  # cores, memory, NVMe disk: assumptions


def gpu(name: str, bf16: float, float32: float, float64: float, bandwidth: float, memory: float) -> Device:
    """One accelerator in the machine HOST, whose cores are as fast as those of the receipts."""
    peak = {"forward": bf16, "training": float32, "single": float32, "double": float64, "traffic": bandwidth}
    peak["python"] = REFERENCE.peak["python"]
    return Device(name, peak, USED, memory, 1, HOST.disk, IMPORTS, host=HOST)


GPUS = {
    # NVIDIA H100 datasheet, SXM: BF16 tensor 1,979 TFLOP/s with sparsity, half without; FP32 67; FP64 tensor 67;
    # 3.35 TB/s; 80 GB. https://www.nvidia.com/en-us/data-center/h100/
    "h100": gpu("h100", 989e12, 67e12, 67e12, 3.35e12, 80e9),
    # NVIDIA A100 datasheet, 80 GB SXM: BF16 tensor 312; FP32 19.5; FP64 tensor 19.5; 2,039 GB/s.
    # https://www.nvidia.com/en-us/data-center/a100/
    "a100-80gb": gpu("a100-80gb", 312e12, 19.5e12, 19.5e12, 2.039e12, 80e9),
    # NVIDIA Ada GPU architecture whitepaper, appendix A, GeForce RTX 4090: BF16 tensor with FP32 accumulation 165.2;
    # FP32 82.6; FP64 at 1/64 of FP32; 1,008 GB/s; 24 GB.
    "rtx-4090": gpu("rtx-4090", 165.2e12, 82.6e12, 82.6e12 / 64, 1.008e12, 24e9),
    # NVIDIA L4 datasheet: BF16 tensor 242 with sparsity, half without; FP32 30.3; FP64 at 1/64 of FP32 (Ada); 300 GB/s;
    # 24 GB. https://www.nvidia.com/en-us/data-center/l4/
    "l4": gpu("l4", 121e12, 30.3e12, 30.3e12 / 64, 0.3e12, 24e9),
}
ALIASES = {"a100": "a100-80gb", "4090": "rtx-4090"}


def named(name: str) -> Device | None:
    """The device of this name; None for one that the table does not have."""
    key = name.lower()
    return REFERENCE if key == "cpu" else GPUS.get(ALIASES.get(key, key))


def work_seconds(work: Work, device: Device) -> float:
    """Of one step, on the device or on its host. Python is the host's in any case."""
    place = device if work.on_device or device.host is None else device.host
    computing = sum(getattr(work, kind) / place.rate(kind) for kind in Work.KINDS)
    starting = place.imports[work.loads] if work.loads else 0.0
    return starting + computing / work.speedup(place.workers)


def seconds(cost: Cost, device: Device) -> float:
    """Of a stage: its steps, and its files written and read. Download is counted apart."""
    return sum(work_seconds(step, device) for step in cost.steps) + (cost.disk + cost.scratch + cost.read) / device.disk
