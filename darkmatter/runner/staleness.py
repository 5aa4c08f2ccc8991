"""Which stages' receipts tell of a run with other code, parameters or inputs than those that are here now.

A receipt has the parameters of a stage, and names by SHA-256 the code that it ran, what it read and what it wrote. An
input below `data/` is held against what the receipts of its makers say was written there: the same path, a file or
folder inside an output, or a folder that holds outputs. Its bytes are not read (`darkmatter audit verify` does that).
Any other input, such as `claims.yaml`, is held against the file.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from darkmatter.runner.pipeline_file import current_params
from darkmatter.storage.artifacts import sha256_path
from darkmatter.storage.listings import listed_sha256
from darkmatter.storage.paths import DATA

Receipts = Mapping[str, Mapping[str, Any]]  # stage → its receipt


def stale_stages(receipts: Receipts, root: Path) -> dict[str, str]:
    """Stage → why its results are not those of what is here now; stages that are up to date are left out.

    A stage behind a stale one is no reason here: `stages_behind` names them.
    """
    hash_now = cache(lambda path: sha256_path(root / path) if (root / path).exists() else None)
    result = {}
    for stage, receipt in receipts.items():
        code = [path for path, sha256 in receipt["code"].items() if hash_now(path) != sha256]
        if code:
            result[stage] = f"{stage} ran with another {brief(code)} than is here"
            continue
        params = receipt.get("params", {})
        now = current_params(params, root) if params else {}
        if changed := [key for key, value in params.items() if now[key] != value]:
            result[stage] = f"{stage} ran with another {brief(changed)} in params.yaml"
            continue
        for path, sha256 in receipt["inputs"].items():
            if other := differs_from(path, sha256, receipts, hash_now):
                result[stage] = f"{stage} read another {path} than {other}"
                break
    return result


def differs_from(path: str, sha256: str, receipts: Receipts, hash_now: Callable[[str], str | None]) -> str | None:
    """`NAME has written`, or `is here`, where that is not what was read; None where it is, or where nothing says."""
    made = {name: receipt["outputs"][path] for name, receipt in receipts.items() if path in receipt["outputs"]}
    if made:
        return None if sha256 in made.values() else f"{next(iter(made))} has written"
    if not within(path, DATA.as_posix()):
        return None if hash_now(path) == sha256 else "is here"
    names = sorted(makers([path], receipts))
    if not names or unlisted(names, receipts):
        return None
    files = {file: sha for name in names for file, sha in receipts[name]["files"].items()}
    return None if listed_sha256(path, files) == sha256 else f"{brief(names)} has written"


def unlisted(names: Iterable[str], receipts: Receipts) -> list[str]:
    """Those of the stages whose receipts do not list the files that they wrote: an earlier revision wrote them."""
    return [name for name in names if "files" not in receipts[name]]


def unsaid(receipts: Receipts) -> dict[str, str]:
    """Stage whose receipt does not say whether another one read what it wrote → `READER read PATH`."""
    result: dict[str, str] = {}
    written = {path for receipt in receipts.values() for path in receipt["outputs"]}
    for reader, receipt in receipts.items():
        for path in receipt["inputs"]:
            if path not in written and within(path, DATA.as_posix()):
                for name in unlisted(makers([path], receipts), receipts):
                    result.setdefault(name, f"{reader} read {path}")
    return result


def brief(paths: list[str]) -> str:
    return f"{paths[0]} (and {len(paths) - 1} more)" if len(paths) > 1 else paths[0]


def stages_behind(stage: str, receipts: Receipts) -> set[str]:
    """The stage and every stage that wrote what it read, directly or not, as far as receipts are known."""
    result: set[str] = set()
    waiting = {stage} & receipts.keys()
    while waiting:
        current = waiting.pop()
        result.add(current)
        waiting |= makers(receipts[current]["inputs"], receipts) - result
    return result


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
