"""What was run where, and what came out: the file that makes a check worth something to others."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from darkmatter.api.gpu_check.expected import Judged
from darkmatter.api.gpu_check.protocol import Protocol
from darkmatter.api.gpu_check.steps import Ran
from darkmatter.runner.code_identity import ROOT, closure
from darkmatter.runner.stage import git_revision, machine
from darkmatter.runner.unit import library_versions, peak_memory
from darkmatter.runner.units import input_hash

DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def receipt(protocol: Protocol, ran: Ran, judged: list[Judged], device: torch.device) -> dict[str, Any]:
    code = closure(Path(__file__).with_name("commands.py"))
    return {
        "command": " ".join(["darkmatter", *sys.argv[1:]]),
        "revision": git_revision(),
        "code": {path.relative_to(ROOT).as_posix(): input_hash(path) for path in code},
        "machine": machine(),
        "libraries": library_versions(),
        "device": {"name": str(device), **accelerator(device)},
        "peak_memory_bytes": peak_memory(resource.RUSAGE_SELF),
        "protocol": {
            "profile": protocol.profile,
            "hookpoint": protocol.sae.hookpoint,
            "sae": protocol.sae.reference,
            "contexts": protocol.contexts,
            "context_length": protocol.context_length,
            "first_position": protocol.first_position,
            "dataset": protocol.dataset.model_dump(),
        },
        "sources": ran.sources,
        "seconds": ran.seconds | {"all": round(sum(ran.seconds.values()), 2)},
        "checks": [
            {"name": one.name, "measured": one.measured, "low": one.low, "high": one.high, "why": one.why,
             "inside": one.inside}
            for one in judged
        ],
        "result": json.loads(ran.result.to_json()),
    }  # fmt: skip


def accelerator(device: torch.device) -> dict[str, Any]:
    """Name, driver and peak memory of a GPU; nothing of a CPU."""
    if device.type != "cuda":
        return {}
    facts = torch.cuda.get_device_properties(device)
    return {
        "gpu": facts.name,
        "memory_bytes": facts.total_memory,
        "capability": f"{facts.major}.{facts.minor}",
        "cuda": torch.version.cuda,
        "driver": driver(),
        "peak_allocated_bytes": torch.cuda.max_memory_allocated(device),
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(device),
    }


def driver() -> str | None:
    """Version of NVIDIA's driver, as its own program says."""
    if shutil.which(DRIVER[0]) is None:
        return None
    result = subprocess.run(DRIVER, capture_output=True, text=True, check=False)
    return result.stdout.strip().partition("\n")[0] or None
