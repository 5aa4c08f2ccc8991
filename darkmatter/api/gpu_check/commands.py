"""`darkmatter gpu-check`: one published SAE on Gemma 2 2B, measured against what is expected, and a receipt."""

import argparse
import sys
import tempfile
from pathlib import Path

from darkmatter.audit.command_line import add_command
from darkmatter.params.compose import composed
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError, write_json

DESCRIPTION = """Run one SAE of Gemma Scope on Gemma 2 2B with 20 contexts of the paper's text; say of L0, FVU and
both R² whether they lie where they should; write a receipt. Exit code 0: all
inside; 1: it could not be run; 2: wrong arguments; 3: some outside.
"""


def add_gpu_check(commands: argparse._SubParsersAction) -> None:
    """Add `gpu-check` to the parser of `darkmatter`."""
    parser = add_command(commands, "gpu-check", "one published SAE on the real model", "--device cuda:0", DESCRIPTION)
    parser.add_argument(
        "--device", metavar="DEVICE", default="cuda", help="cuda (default), cuda:N; cpu does the same, slowly"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=Path("gpu-check.json"), help="the receipt (gpu-check.json)"
    )
    parser.add_argument(
        "--work", metavar="FOLDER", type=Path, default=Path("data"), help="where 5 GB lie meanwhile (data)"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    try:
        return check(given)
    except (ArtifactError, ParamsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def check(given: argparse.Namespace) -> int:
    from darkmatter.api.commands import check_written
    from darkmatter.api.gpu_check.checks import check_before  # torch: seconds that `darkmatter --help` does not pay
    from darkmatter.api.gpu_check.expected import judge
    from darkmatter.api.gpu_check.protocol import PROFILE, protocol_of
    from darkmatter.api.gpu_check.receipt import receipt
    from darkmatter.api.gpu_check.steps import run_steps

    check_written("--out", given.out)
    chosen = protocol_of(composed(PROFILE))
    device = check_before(chosen, given.device, given.work)
    given.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gpu-check-", dir=given.work) as work:
        ran = run_steps(chosen, given.device, Path(work))
    judged = judge(ran.result, ran.nominal_l0)
    write_json(given.out, receipt(chosen, ran, judged, device))
    print("\n".join(["", *map(str, judged), "", f"{sum(ran.seconds.values()):.0f} seconds; receipt: {given.out}"]))
    return 0 if all(one.inside for one in judged) else 3
