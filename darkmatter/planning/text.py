"""A plan in words and tables for the terminal, and numbers as they are written in every table of it."""

import textwrap
from collections.abc import Sequence
from itertools import groupby

from darkmatter.planning.plan import ClaimPlan, Plan

WIDTH = 112
Row = Sequence[str]


def render(plan: Plan) -> str:
    lines = [
        f"{plan.name}: {plan.model}, {plan.saes} SAEs, {plan.rows:,} rows, on {plan.device}",
        "",
        *table(("stage", "TFLOP", "time", "memory", "on the GPU", "disk", "download"), stage_rows(plan)),
        "",
        *disk_lines(plan),
        "",
        "Claims, by the experiment that makes their numbers:",
        *table(("claims of", "number", "TFLOP", "alone", "shared", "memory", "download"), claim_rows(plan)),
        *wrapped(
            "alone: with every stage behind them. A stage that several experiments need runs once (`shared`), so these "
            "do not add up. Stages are counted whole, though a claim may need some of their SAEs only."
        ),
        *covered_lines(plan),
        "",
        "Assumed:",
        *(line for note in plan.notes for line in wrapped(note, "- ")),
    ]
    return "\n".join(lines)


def stage_rows(plan: Plan) -> list[Row]:
    rows = [
        (
            stage.stage,
            teraflops(stage.flops),
            duration(stage.seconds),
            size(stage.memory) + ("!" if stage.memory > plan.host_memory else ""),
            size(stage.device_memory) + ("!" if stage.device_memory > plan.capacity else ""),
            size(stage.disk),
            size(stage.download) if stage.download else "",
        )
        for stage in plan.stages
        if stage.seconds or stage.download
    ]
    most = (size(plan.memory), size(plan.device_memory))
    return [*rows, ("all", teraflops(plan.flops), duration(plan.seconds), *most, "", size(plan.download))]


def disk_lines(plan: Plan) -> list[str]:
    lines = ["Disk at the fullest moment, with what stages need while they run:"]
    rows = []
    for layout in plan.layouts:
        against = ""
        if plan.budget:
            against = f"{'over' if layout.peak > plan.budget else 'within'} the aim of {size(plan.budget)}"
        rows.append((layout.name, size(layout.peak), size(layout.copied), size(layout.again), against))
    lines += table(("", "with reflinks", "without (ext4)", "fetched again", ""), rows)
    if any(layout.again for layout in plan.layouts):
        lines += wrapped(f"fetched again, at most: {', '.join(again(plan))}")
    if tight := [stage.stage for stage in plan.stages if stage.device_memory > plan.capacity]:
        lines.append(f"! more than the {size(plan.capacity)} of {plan.device}: {', '.join(tight)}")
    if tight := [stage.stage for stage in plan.stages if stage.memory > plan.host_memory]:
        lines.append(f"! more than the {size(plan.host_memory)} of memory: {', '.join(tight)}")
    return lines


def again(plan: Plan) -> list[str]:
    """What each stage downloads again where the SAEs that it reads were evicted."""
    return [f"{stage.stage} {size(stage.read)}" for stage in plan.stages if stage.read]


def by_experiment(claims: Sequence[ClaimPlan]) -> list[list[ClaimPlan]]:
    ordered = sorted(claims, key=lambda claim: claim.experiment)
    return [list(group) for _, group in groupby(ordered, key=lambda claim: claim.experiment)]


def claim_rows(plan: Plan) -> list[Row]:
    rows = []
    for group in by_experiment(plan.claims):
        one = group[0]
        name = "counts" if one.experiment == "claims" else one.experiment
        times = (teraflops(one.flops), duration(one.alone), duration(one.shared))
        rows.append((name, str(len(group)), *times, size(one.memory), size(one.download)))
    return rows


def covered_lines(plan: Plan) -> list[str]:
    inside = sum(claim.covered for claim in plan.claims)
    return wrapped(
        f"{inside} of {len(plan.claims)} claims are about this model, or about none; of the others the outcome is that "
        "of an analogue."
    )


def table(head: Row, rows: Sequence[Row]) -> list[str]:
    """Columns of text, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in parts).rstrip()
        for parts in (list(enumerate(zip(row, widths, strict=True))) for row in (head, *rows))
    ]


def wrapped(text: str, bullet: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=bullet, subsequent_indent=" " * len(bullet), break_on_hyphens=False
    )


def teraflops(flops: float) -> str:
    tera = flops / 1e12
    return f"{tera:,.0f}" if tera >= 10 else f"{tera:.1f}" if tera >= 0.05 else ""


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def size(count: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            number = count / unit
            return f"{number:,.0f} {name}" if number >= 9.95 else f"{number:.1f} {name}"
    return "0"
