"""`dvc ARGUMENTS`, with every stage a call in this process; units on several workers are forks of one kept server.

A process that has to import torch and sae-lens costs more than a tiny stage computes. What DVC decides, records and
stores is as with a process per stage.

run, in a workspace: python tests/support/one_process.py repro
"""

import os  # noqa: I001 - `stages` before the libraries: one thread of arithmetic
import runpy
import shlex
import sys
from multiprocessing import forkserver, set_forkserver_preload
from typing import Any

import stages  # noqa: F401
import dvc.stage.run
from dvc.cli import main
from dvc.stage.exceptions import StageCmdFailedError


def call(executable: str, command: str, **options: Any) -> None:
    """Run `python -m stages.NAME ARGUMENTS` here; `executable` and `options` are for a process of its own."""
    _, _, module, *arguments = shlex.split(command)
    given, sys.argv = sys.argv, [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as left:
        print(left, file=sys.stderr)
        raise StageCmdFailedError(command, 1) from left
    finally:
        sys.argv = given  # DVC knows the holder of a lock by it


if __name__ == "__main__":
    if os.environ["DARKMATTER_WORKERS"] != "1":
        set_forkserver_preload(["sae_lens"])
        forkserver.ensure_running()
    dvc.stage.run._run = call
    sys.exit(main(sys.argv[1:]))
