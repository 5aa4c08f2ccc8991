"""`darkmatter plan`, `doctor` and `repro`: what a run costs, what would stop it, and how far it is."""

import argparse
import json
import sys
from dataclasses import asdict

from darkmatter.audit.command_line import add_command
from darkmatter.audit.commands import failed
from darkmatter.costs.workload import Workload, from_params
from darkmatter.params.types import ParamsError
from darkmatter.planning.devices import GPUS, REFERENCE, Device, named
from darkmatter.planning.inputs import add_what, wanted
from darkmatter.planning.plan import make_plan
from darkmatter.storage.artifacts import ArtifactError


def add_plan(commands: argparse._SubParsersAction) -> None:
    """Add `plan` to the parser of `darkmatter`."""
    parser = add_command(
        commands,
        "plan",
        "what a run costs, per stage and per claim, before anything runs",
        "--profile smoke --no-probe",
    )
    add_what(parser)
    parser.add_argument(
        "--device", default="cpu", metavar="DEVICE", help=f"cpu, {', '.join(GPUS)} (default: cpu, this machine)"
    )
    parser.add_argument(
        "--probe",
        action=argparse.BooleanOptionalAction,
        help="measure this machine first, 20 seconds (default: for cpu, but not with --check)",
    )
    parser.add_argument("--check", action="store_true", help="predicted seconds against the receipts, by stage")
    parser.add_argument("--json", action="store_true", help="print JSON: bytes, seconds, FLOP")
    parser.set_defaults(run=run_plan)


def add_doctor(commands: argparse._SubParsersAction) -> None:
    """Add `doctor` to the parser of `darkmatter`."""
    parser = add_command(
        commands, "doctor", "what would stop a run here, before it begins, and what fixes it", "--profile gemma-2-2b"
    )
    add_what(parser)
    parser.add_argument("--device", metavar="DEVICE", help="cpu (default), or gpu: look for one and its driver")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_doctor)


def add_repro(commands: argparse._SubParsersAction) -> None:
    """Add `repro` to the parser of `darkmatter`."""
    parser = add_command(
        commands, "repro", "run `dvc repro`, and say which stage of how many runs and how long is left", "report"
    )
    parser.add_argument(
        "targets", nargs="*", metavar="STAGE", help="stages, with all that they need (default: the whole graph)"
    )
    parser.set_defaults(run=run_repro)


def run_repro(given: argparse.Namespace) -> int:
    from darkmatter.planning import repro

    try:
        return repro.run_repro(given.targets)
    except (ArtifactError, ParamsError) as error:
        return failed(str(error), as_json=False)


def run_doctor(given: argparse.Namespace) -> int:
    from darkmatter.planning import doctor

    return doctor.run_doctor(given)


def device_of(given: argparse.Namespace, arithmetic: str) -> Device:
    """The device that the command line names; this machine is probed where it asks for that.

    Args:
        arithmetic: as the parameters have it.

    Raises:
        ParamsError: the table has no such device.
    """
    device = named(given.device)
    if device is None:
        raise ParamsError(f"no device {given.device!r}; there are cpu, {', '.join(GPUS)}")
    probe = not (device.is_gpu or given.check) if given.probe is None else given.probe
    if device.is_gpu:
        return device
    if not probe:
        return REFERENCE
    from darkmatter.planning.probe import busy, calibrated

    if not given.json:
        if note := busy():
            print(f"note: {note}", file=sys.stderr)
        print("measuring this machine (20 s; --no-probe does without) …", file=sys.stderr)
    return calibrated(arithmetic)


def run_plan(given: argparse.Namespace) -> int:
    try:
        w = from_params(wanted(given))
        device = device_of(given, w.params.arithmetic)
        if given.check:
            return run_check(w, device, given.json)
        plan = make_plan(w, device)
    except (ArtifactError, ParamsError) as error:
        return failed(str(error), given.json)
    if given.json:
        print(json.dumps(plan.to_dict(), indent=2))
    else:
        from darkmatter.planning.text import render

        print(render(plan))
    return 0


def run_check(w: Workload, device: Device, as_json: bool) -> int:
    """1 where a stage is outside the factor."""
    from darkmatter.planning.check import compare, render

    compared = compare(w, device)
    if as_json:
        print(json.dumps([asdict(one) | {"ratio": one.ratio, "within": one.within} for one in compared], indent=2))
    else:
        print(render(compared))
    return 0 if all(one.within for one in compared) else 1
