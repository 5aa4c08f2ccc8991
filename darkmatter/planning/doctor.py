"""All checks before any compute, each with the command that fixes what it finds."""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict

from darkmatter.costs.workload import from_params
from darkmatter.params.schema import Params
from darkmatter.params.types import ParamsError
from darkmatter.planning import doctor_data, doctor_environment, doctor_hub, doctor_saes
from darkmatter.planning.devices import GPUS, REFERENCE
from darkmatter.planning.finding import Finding
from darkmatter.planning.inputs import wanted
from darkmatter.planning.plan import Plan, make_plan
from darkmatter.storage.artifacts import ArtifactError


def examine(given: argparse.Namespace) -> Iterator[Finding]:
    """Findings, cheapest first. Parameters or a plan that cannot be had are findings of their own."""
    yield doctor_environment.python()
    yield doctor_environment.packages()
    yield from doctor_environment.programs()
    yield from doctor_environment.variables()
    yield doctor_data.store()
    params, plan, problem = planned(given)
    if problem:
        yield problem
    if plan:
        yield doctor_data.disk(plan)
        yield doctor_data.memory(plan)
    if params and plan:
        yield doctor_data.cache(params, plan)
    if params:
        yield from doctor_environment.key(params.interpretability)
        yield from doctor_saes.saes(params)
        yield from doctor_hub.hub(doctor_hub.of_params(params))
    yield from doctor_environment.cluster()
    gpus = os.environ.get("DARKMATTER_GPUS", "0") not in ("", "0")
    configured = params is not None and params.device.startswith("cuda")
    needed = plan.device_memory if plan else 0.0
    yield from doctor_environment.gpu(gpus or configured or given.device not in (None, "cpu"), needed)


def planned(given: argparse.Namespace) -> tuple[Params | None, Plan | None, Finding | None]:
    """Parameters, and their plan: of bytes alone, so that any accelerator stands for the one that they name."""
    try:
        params = wanted(given)
        device = REFERENCE if params.device == "cpu" else next(iter(GPUS.values()))
        return params, make_plan(from_params(params), device), None
    except (ArtifactError, ParamsError) as error:
        return None, None, Finding("parameters", False, str(error), "git status conf claims.yaml dvc.yaml")


def run_doctor(given: argparse.Namespace, show: Callable[[str], None] = print) -> int:
    """1 where something stops the run. Findings are shown as they come, for some take seconds."""
    results = []
    for finding in examine(given):
        results.append(finding)
        if not given.json:
            show(str(finding))
    blocking = [finding.check for finding in results if not finding.ok]
    if given.json:
        show(json.dumps({"ok": not blocking, "findings": [asdict(finding) for finding in results]}, indent=2))
    else:
        show(
            f"\n{len(blocking)} of {len(results)} checks stop a run: {', '.join(blocking)}"
            if blocking
            else "\nall fine"
        )
    return 1 if blocking else 0
