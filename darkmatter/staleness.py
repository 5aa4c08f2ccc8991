"""Which stages' receipts tell of a run with other code, parameters or inputs than those that are here now.

A receipt has the parameters of a stage, and names by SHA-256 the code that it ran, what it read and what it wrote. An
input below `data/` is held against what the receipt of its maker says was written there, if that is one and the same
path; its bytes are not read (`darkmatter audit verify` does that). Any other input, such as `claims.yaml`, is held
against the file.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from darkmatter.artifacts import sha256_path
from darkmatter.declared import current_params
from darkmatter.paths import DATA

Receipts = Mapping[str, Mapping[str, Any]]  # stage → its receipt


def stale_stages(receipts: Receipts, root: Path) -> dict[str, str]:
    """Stage → why its results are not those of what is here now; stages that are up to date are left out.

    A stage behind a stale one is no reason here: `stages_behind` names them.
    """
    hash_now = cache(lambda path: sha256_path(root / path) if (root / path).exists() else None)
    found = {}
    for stage, receipt in receipts.items():
        code = [path for path, sha256 in receipt["code"].items() if hash_now(path) != sha256]
        if code:
            found[stage] = f"{stage} ran with another {brief(code)} than is here"
            continue
        params = receipt.get("params", {})
        now = current_params(params, root) if params else {}
        if changed := [key for key, value in params.items() if now[key] != value]:
            found[stage] = f"{stage} ran with another {brief(changed)} in params.yaml"
            continue
        for path, sha256 in receipt["inputs"].items():
            made = {name: other["outputs"][path] for name, other in receipts.items() if path in other["outputs"]}
            if made and sha256 not in made.values():
                found[stage] = f"{stage} read another {path} than {next(iter(made))} has written"
            elif not made and not within(path, DATA.as_posix()) and hash_now(path) != sha256:
                found[stage] = f"{stage} read another {path} than is here"
            if stage in found:
                break
    return found


def brief(paths: list[str]) -> str:
    return f"{paths[0]} (and {len(paths) - 1} more)" if len(paths) > 1 else paths[0]


def stages_behind(stage: str, receipts: Receipts) -> set[str]:
    """The stage and every stage that wrote what it read, directly or not, as far as receipts are known."""
    found: set[str] = set()
    waiting = {stage} & receipts.keys()
    while waiting:
        current = waiting.pop()
        found.add(current)
        waiting |= makers(receipts[current]["inputs"], receipts) - found
    return found


def makers(paths: Iterable[str], receipts: Receipts) -> set[str]:
    """Stages with an output that is one of these paths, holds it, or lies in it."""
    wanted = list(paths)
    return {
        stage
        for stage, receipt in receipts.items()
        for output in receipt["outputs"]
        if any(within(path, output) or within(output, path) for path in wanted)
    }


def within(path: str, folder: str) -> bool:
    """Whether the path is the folder or below it."""
    return path == folder or path.startswith(f"{folder}/")
