"""`darkmatter compare`: did I reproduce it?

Exit codes:

    0  every outcome is the same
    1  an outcome changed, or there is nothing to compare with
    2  wrong arguments
"""

import argparse
import json
from pathlib import Path

from darkmatter.audit.command_line import add_command
from darkmatter.audit.commands import failed
from darkmatter.audit.findings import MALFORMED, printable
from darkmatter.audit.profiles import add_profile, chosen
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.paths import reports_of


def add_compare(commands: argparse._SubParsersAction) -> None:
    """Add `compare` to the parser of `darkmatter`."""
    description = "Compare the claims of the reports here with those of a git revision, or of a folder with reports/.\n"
    parser = add_command(
        commands,
        "compare",
        "did I reproduce it? the reports here against those of a revision or folder",
        "HEAD~1",
        f"{description}{__doc__.split(chr(10), 2)[2]}",
    )
    parser.add_argument("run_there", nargs="?", default="HEAD", metavar="REVISION|FOLDER", help="default: HEAD")
    add_profile(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, with every number")
    parser.add_argument(
        "--keep", metavar="NAME", help="also write reports/compared/NAME.json, a column of docs/compared.md"
    )
    parser.set_defaults(run=run, usage_error=parser.error)


def run(given: argparse.Namespace) -> int:
    """The exit code; what the comparison came to is printed."""
    # These import SciPy: not for every command.
    from darkmatter.audit.compared import BadNameError, keep
    from darkmatter.audit.reproduction import reproduction
    from darkmatter.audit.reproduction_text import as_content, as_text, nothing_there
    from darkmatter.audit.runs import NoRunError, run_of, run_of_folder

    try:
        profile = chosen(given.profile, Path())
        here = run_of_folder(Path(), "here", profile)
        if here is None:
            raise ArtifactError(f"{reports_of(profile).claims} is not here. `make repro` makes it.")
        there = run_of(given.run_there, Path(), profile)
        if there is None:
            print(nothing_there(given.run_there, profile, given.json))
            return 1
        result = reproduction(there, here)
        target = keep(result, given.keep) if given.keep is not None else None
    except (NoRunError, BadNameError) as error:
        given.usage_error(str(error))
    except (ArtifactError, ParamsError, OSError) as error:
        return failed(str(error), given.json)
    except MALFORMED as error:
        kind = f"{type(error).__name__}: {str(error)[:200]}"
        return failed(f"a report has not the form that its stage gives it today ({kind})", given.json)
    if given.json:
        print(json.dumps(as_content(result), indent=2))
    else:
        print("\n".join(map(printable, [*as_text(result), *([f"kept: {target}"] if target else [])])))
    return 1 if result.changed else 0
