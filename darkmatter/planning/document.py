"""The tables of docs/paper-scale.md: what the paper's three suites cost on three accelerators.

python -m darkmatter.planning.document      # writes them again, between the two marks; a test compares
"""

from collections.abc import Sequence
from pathlib import Path

from darkmatter.artifacts import ArtifactError, write_text
from darkmatter.composing import composed
from darkmatter.planning.devices import GPUS
from darkmatter.planning.plan import Plan, make_plan
from darkmatter.planning.suites import from_suite
from darkmatter.planning.text import duration, size, teraflops

DOCUMENT = Path("docs/paper-scale.md")
MARKS = ("<!-- plan: python -m darkmatter.planning.document -->", "<!-- end of plan -->")
SUITES = ("gemma-2-2b", "gemma-2-9b", "llama-3.1-8b")
DEVICES = ("h100", "a100-80gb", "rtx-4090")
SHOWN_FLOPS, SHOWN_BYTES = 1e14, 1e9


def plans() -> list[list[Plan]]:
    """For each suite its plans, one per device."""
    defaults = composed("smollm2")
    return [[make_plan(from_suite(name, defaults), GPUS[device]) for device in DEVICES] for name in SUITES]


def tables(suites: Sequence[Sequence[Plan]]) -> str:
    first = [plans[0] for plans in suites]
    return "\n\n".join((totals(suites), stages(suites), disk(first)))


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)])


def totals(suites: Sequence[Sequence[Plan]]) -> str:
    """One row per suite."""
    rows = [
        [
            one.name,
            f"{one.saes}",
            teraflops(one.flops),
            *(duration(plan.seconds) + unfit(plan) for plan in plans),
            size(one.memory),
            size(one.disk),
            size(one.download),
        ]
        for plans in suites
        for one in plans[:1]
    ]
    head = ["suite", "SAEs", "TFLOP", *DEVICES, "memory", "disk, leanest", "download"]
    return lines(head, rows)


def unfit(plan: Plan) -> str:
    """A star where some stage needs more than the device has."""
    return "*" if plan.memory > plan.device_memory else ""


def stages(suites: Sequence[Sequence[Plan]]) -> str:
    """The stages of each suite that compute or download much."""
    rows = []
    for plans in suites:
        for found in zip(*(plan.stages for plan in plans), strict=True):
            one = found[0]
            if one.flops < SHOWN_FLOPS and one.download < SHOWN_BYTES:
                continue
            times = [
                duration(stage.seconds) + ("*" if stage.memory > plan.device_memory else "")
                for stage, plan in zip(found, plans, strict=True)
            ]
            download = size(one.download) if one.download else ""
            rows.append(
                [plans[0].name, one.stage, teraflops(one.flops), *times, size(one.memory), size(one.disk), download]
            )
    return lines(["suite", "stage", "TFLOP", *DEVICES, "memory", "leaves on disk", "download"], rows)


def disk(plans: Sequence[Plan]) -> str:
    """The peak of each suite, from everything kept to the leanest way."""
    names = [layout.name for layout in plans[0].layouts]
    rows = []
    for plan in plans:
        over = plan.disk - plan.budget
        kept = "kept" if over <= 0 else f"exceeded by {size(over)}"
        rows.append([plan.name, *(size(layout.peak) for layout in plan.layouts), kept, size(plan.layouts[-1].copied)])
    return lines(["suite", *names, f"budget of {size(plans[0].budget)}", "the leanest without reflinks"], rows)


def renewed(text: str, found: str) -> str:
    """The document with these tables between its marks.

    Raises:
        ArtifactError: it has no such marks.
    """
    before, mark, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        raise ArtifactError(f"{DOCUMENT} has no marks {' and '.join(MARKS)}. Run `git checkout {DOCUMENT}`.")
    return f"{before}{mark}\n\n{found}\n\n{end}{after}"


if __name__ == "__main__":
    write_text(DOCUMENT, renewed(DOCUMENT.read_text(encoding="utf-8"), tables(plans())))
    print(DOCUMENT)
