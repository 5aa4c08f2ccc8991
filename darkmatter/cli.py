"""The `darkmatter` command."""

import argparse
import contextlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported: sums come out as the stages made them

from darkmatter.api.commands import add_decompose
from darkmatter.api.demo import add_demo
from darkmatter.api.gpu_check.commands import add_gpu_check
from darkmatter.audit.command_line import add_command, drop_output
from darkmatter.audit.commands import add_audit
from darkmatter.audit.compare_command import add_compare
from darkmatter.audit.findings import MALFORMED
from darkmatter.params.compose import compose_to
from darkmatter.params.schema import PARAMS
from darkmatter.params.types import ParamsError
from darkmatter.planning.commands import add_doctor, add_plan, add_repro
from darkmatter.planning.inputs import near_profiles
from darkmatter.planning.profile_lock import change_lock
from darkmatter.runner.pipeline_file import profile_here
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.paths import REPORT, reports_of

# package → what brings it
EXTRAS = {"transformers": "models", "tokenizers": "models", "sae_lens": "saes", "matplotlib": "tables"}
EXTRAS |= {"pandas": "tables", "seaborn": "tables"}


def compose(profile: str) -> None:
    """Write params.yaml from conf/, the way `dvc exp run -S profile=...` does, and put the profile's dvc.lock in place.

    Raises:
        ParamsError: there is no such profile, or what it composes to is not valid; params.yaml is left alone.
    """
    draft = PARAMS.with_name(".params.draft.yaml")
    try:
        compose_to(draft, profile)
        with contextlib.suppress(ParamsError):  # nothing to leave where params.yaml is absent, or none of ours
            change_lock(profile_here(Path()), profile)
        draft.replace(PARAMS)
    finally:
        draft.unlink(missing_ok=True)


def parser() -> argparse.ArgumentParser:
    """The command line: each subcommand sets the function that runs it."""
    result = argparse.ArgumentParser(
        prog="darkmatter",
        description="Make the numbers of the paper again, and audit them. More of each: `darkmatter COMMAND --help`.",
        epilog="example: darkmatter audit explain pursuit-fvu",
    )
    result.add_argument("--version", action="store_true", help="print the version")
    result.set_defaults(run=lambda given: run_alone(given, result))
    commands = result.add_subparsers(metavar="COMMAND", title="commands")
    params = add_command(commands, "params", "compose params.yaml from conf/ and check it", "--profile smoke")
    params.add_argument(
        "--profile", default="smollm2", metavar="NAME", help="a file of conf/profile (default: smollm2)"
    )
    params.set_defaults(run=run_params)
    summary = add_command(commands, "summary", "what the last run came to, in five lines, and where its report is", "")
    summary.set_defaults(run=run_summary)
    add_compare(commands)
    add_audit(commands)
    add_decompose(commands)
    add_demo(commands)
    add_plan(commands)
    add_doctor(commands)
    add_repro(commands)
    add_gpu_check(commands)
    return result


def run_alone(given: argparse.Namespace, parser: argparse.ArgumentParser) -> int | str:
    """`darkmatter` without a subcommand: the version where it is asked for, else the help."""
    if not given.version:
        parser.print_help()
        return 0
    try:
        print(f"darkmatter {version('darkmatter')}")
    except PackageNotFoundError:
        return "error: darkmatter is not installed here. Run `make .venv/installed`."
    return 0


def main(arguments: list[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    try:
        code = given.run(given)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        code = not_installed(error)
    except BrokenPipeError:
        drop_output()
        code = 1
    except OSError as error:  # the disk is full, a folder may not be written
        code = f"error: {error}"
    if code:
        sys.exit(code)


def not_installed(error: ModuleNotFoundError) -> str:
    """What installs the package that a command wants and that `pip install darkmatter` does not bring."""
    package = (error.name or "").split(".")[0]
    if package in ("", "darkmatter"):
        raise error
    extra = EXTRAS.get(package, "pipeline")
    return f"error: {package} is not installed, which this command needs. Run `pip install 'darkmatter[{extra}]'`."


def run_params(given: argparse.Namespace) -> int | str:
    try:
        compose(given.profile)
    except ParamsError as error:
        return f"error: {error}{near_profiles(given.profile)}"
    print(f"{PARAMS}: {given.profile}")
    return 0


def run_summary(given: argparse.Namespace) -> int | str:
    from darkmatter.ledger.other_profiles import read_receipts
    from darkmatter.report.summary import five_lines

    try:
        reports = reports_of(profile_here(Path()))
        claims = read_json(reports.claims)
        receipts = read_receipts(reports.receipts)
        if not REPORT.is_file():
            raise ArtifactError(f"{REPORT} does not exist. Run `make repro` to make it.")
        lines = five_lines(claims, receipts)
    except (ArtifactError, ParamsError) as error:
        return f"error: {error}"
    except MALFORMED as error:
        return f"error: {reports.path} has not the form that its stages give it ({type(error).__name__}: {error})"
    for line in [*lines, f"report: {REPORT.resolve().as_uri()}"]:
        print(line)
    return 0


if __name__ == "__main__":
    main()
