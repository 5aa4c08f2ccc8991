"""The planner's tables in the documents: what the paper's three profiles and two of other SAEs cost on accelerators.

python -m darkmatter.planning.document      # writes them again, between the two marks; a test compares
"""

from collections.abc import Sequence
from pathlib import Path

from darkmatter.costs.workload import from_params
from darkmatter.params.compose import composed
from darkmatter.planning.devices import GPUS
from darkmatter.planning.plan import Plan, make_plan
from darkmatter.planning.text import duration, size, teraflops
from darkmatter.storage.artifacts import write_text
from darkmatter.storage.document_tables import lines, renewed

DOCUMENT = Path("docs/paper-scale.md")
MARKS = ("<!-- plan: python -m darkmatter.planning.document -->", "<!-- end of plan -->")
PROFILES = ("gemma-2-2b", "gemma-2-9b", "llama-3.1-8b")
OTHER_SAES = ("gemma-2-2b-sae-lens", "gemma-2-2b-saebench")  # in the first table alone: their stages are gemma-2-2b's
DEVICES = ("h100", "a100-80gb", "rtx-4090")
SHOWN_FLOPS, SHOWN_BYTES = 1e14, 1e9


def plans() -> list[list[Plan]]:
    """For each profile its plans, one per device."""
    workloads = [from_params(composed(name)) for name in (*PROFILES, *OTHER_SAES)]
    return [[make_plan(w, GPUS[device]) for device in DEVICES] for w in workloads]


def documents(profiles: Sequence[Sequence[Plan]]) -> dict[Path, str]:
    """Each document with the tables that belong between its marks."""
    papers = profiles[: len(PROFILES)]
    tables = {DOCUMENT: (totals(profiles), stages(papers), disk([plans[0] for plans in papers]))}
    return {path: renewed(path, "\n\n".join(result), MARKS) for path, result in tables.items()}


def totals(profiles: Sequence[Sequence[Plan]]) -> str:
    """One row per profile."""
    rows = [
        [
            one.name,
            f"{one.saes}",
            teraflops(one.flops),
            *(duration(plan.seconds) + unfit(plan) for plan in plans),
            size(one.memory),
            size(one.device_memory),
            size(one.disk),
            size(one.download),
        ]
        for plans in profiles
        for one in plans[:1]
    ]
    head = ["profile", "SAEs", "TFLOP", *DEVICES, "host memory", "GPU memory", "disk", "download"]
    return lines(head, rows)


def unfit(plan: Plan) -> str:
    """A star where some stage needs more than the device has."""
    return "*" if plan.device_memory > plan.capacity else ""


def stages(profiles: Sequence[Sequence[Plan]]) -> str:
    """The stages of each profile that compute or download much."""
    rows = []
    for plans in profiles:
        for result in zip(*(plan.stages for plan in plans), strict=True):
            one = result[0]
            if one.flops < SHOWN_FLOPS and one.download < SHOWN_BYTES:
                continue
            times = [
                duration(stage.seconds) + ("*" if stage.device_memory > plan.capacity else "")
                for stage, plan in zip(result, plans, strict=True)
            ]
            place = "GPU" if one.on_device else "CPU"
            amounts = (one.memory, one.device_memory, one.disk, one.download, one.read)
            shown = [size(amount) if amount else "" for amount in amounts]
            rows.append([plans[0].name, one.stage, place, teraflops(one.flops), *times, *shown])
    head = ["profile", "stage", "on", "TFLOP", *DEVICES, "host memory", "GPU memory", "leaves on disk", "download"]
    return lines([*head, "SAEs read"], rows)


def disk(plans: Sequence[Plan]) -> str:
    """The peak of each profile, from everything kept to the leanest way."""
    rows = []
    for plan in plans:
        everything, bounded, leanest = plan.layouts
        over = plan.disk - plan.budget
        kept = "kept" if over <= 0 else f"exceeded by {size(over)}"
        peaks = (bounded.peak, bounded.again, leanest.peak, leanest.copied)
        rows.append([plan.name, size(everything.peak), bounded.name.partition("=")[2], *map(size, peaks), kept])
    head = ["profile", "every file kept", "DARKMATTER_SAE_CACHE_GB", "then", "fetched again", "the model removed, too"]
    return lines([*head, "the same without reflinks", f"aim of {size(plans[0].budget)}"], rows)


if __name__ == "__main__":
    for path, text in documents(plans()).items():
        write_text(path, text)
        print(path)
