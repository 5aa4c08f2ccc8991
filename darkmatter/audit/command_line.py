"""What every subcommand of `darkmatter` has: a sentence, an example; and names near one that does not exist."""

import argparse
import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches


def add_command(
    commands: argparse._SubParsersAction, name: str, brief: str, example: str, description: str | None = None
) -> argparse.ArgumentParser:
    """Add a subcommand.

    Args:
        brief: its line in the list of commands.
        example: arguments that work as they stand.
        description: what its help begins with; default: `brief`.
    """
    text = description or f"{brief[0].upper()}{brief[1:]}."  # not capitalize(), which lowers DVC and RO-Crate
    epilog = f"example: {commands._prog_prefix} {name} {example}".rstrip()
    layout = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=brief, description=text, epilog=epilog, formatter_class=layout)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` with the names near this one; nothing where none is near, or where it exists."""
    names = list(known)
    near = [] if name in names else get_close_matches(name, names)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def drop_output() -> None:
    """Send what is still to be printed nowhere: who reads has seen enough, as in `| head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
