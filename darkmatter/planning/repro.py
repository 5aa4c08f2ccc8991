"""`darkmatter repro`: `dvc repro` with the place in the whole graph: which stage of how many, and the minutes left.

DVC's own lines and the bars of the stages pass through as they are. What is left is the plan's seconds of the stages
that DVC has not named yet, as if each had to run, times what this machine has needed so far of what was planned.
Stages that took less than half of their plan found units stored and say nothing about the machine.

Before it starts, a `dvc.lock` that a kill cut short is restored (`lock_keeper`), and what it has of another machine
gives way to what the run-cache has of this one (`run_cache`).
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from darkmatter.costs.workload import Workload, from_params
from darkmatter.params.schema import load_params
from darkmatter.planning.devices import REFERENCE, seconds
from darkmatter.planning.graph import parents
from darkmatter.planning.other_costs import decomposition_at
from darkmatter.planning.plan import stage_cost
from darkmatter.planning.run_cache import forget_what_nobody_has
from darkmatter.runner import lock_keeper

RUNS = re.compile(r"Running stage '(?P<stage>[^']+)'")
PASSES = re.compile(r"Stage '(?P<stage>[^']+)' (?:didn't change|is cached)")
PER_HOOKPOINT = "decomposition"


def planned_seconds(w: Workload) -> dict[str, float]:
    """Stage as DVC names it → seconds on the machine of the receipts, when everything has to be computed."""
    planned = {name: stage_cost(name)(w) for name in parents() if name != PER_HOOKPOINT}
    planned |= {f"{PER_HOOKPOINT}@{name}": decomposition_at(w, name) for name in w.hookpoints}
    return {name: seconds(cost, REFERENCE) for name, cost in planned.items()}


def with_places(
    lines: Iterable[str], planned: Mapping[str, float], clock: Callable[[], float] = time.monotonic
) -> Iterator[str]:
    """DVC's lines, each that starts a stage followed by its place in the graph.

    Args:
        planned: stage → seconds.
        clock: seconds since any moment.
    """
    left = dict(planned)
    spent = expected = started = 0.0
    running: str | None = None
    for line in lines:
        yield line
        if not (match := RUNS.match(line) or PASSES.match(line)):
            continue
        now = clock()
        if running is not None:
            if now - started > planned.get(running, 0.0) / 2:
                spent += now - started
                expected += planned.get(running, 0.0)
            running = None
        stage = match["stage"]
        if RUNS.match(line):
            running, started = stage, now
            pace = spent / expected if expected else 1.0
            minutes = pace * sum(left.values()) / 60
            yield f"stage {len(planned) - len(left) + 1} of {len(planned)}; at most {minutes:,.1f} min left\n"
        left.pop(stage, None)


def run_repro(arguments: list[str]) -> int:
    """Run `dvc repro` with `arguments`; its exit code.

    Raises:
        ParamsError: params.yaml is not valid.
        ArtifactError: there is no dvc.yaml here.
    """
    planned = planned_seconds(from_params(load_params()))
    if lock_keeper.restore_after_crash():
        print("dvc.lock was cut short when a run was killed; the copy that the last stage made took its place")
    if forgotten := forget_what_nobody_has():
        print(f"dvc.lock is another machine's; here the run-cache has these stages, too: {', '.join(forgotten)}")
    path = f"{os.environ.get('PATH', '')}{os.pathsep}{Path(sys.executable).parent}"  # DVC of a .venv that is not active
    live = os.environ | {"PYTHONUNBUFFERED": "1", "PATH": path}  # DVC would hold its lines back from a pipe
    with subprocess.Popen(["dvc", "repro", *arguments], stdout=subprocess.PIPE, text=True, env=live) as process:
        try:
            for line in with_places(process.stdout or (), planned):
                sys.stdout.write(line)
                sys.stdout.flush()
        except KeyboardInterrupt:  # DVC got it too, and says what it stopped
            pass
    return process.returncode
