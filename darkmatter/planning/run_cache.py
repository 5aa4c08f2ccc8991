"""Where another machine's `dvc.lock` hides results that this one has in DVC's run-cache.

DVC restores a stage from the lock's entry where command, dependencies and parameters are those of the entry, and looks
no further when the outputs that it names are in no cache here: the stage runs, although the run-cache has what this
machine made of the same. Without the entry DVC asks the run-cache.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkmatter.audit.lock import open_repository
from darkmatter.runner.lock_keeper import LOCK

if TYPE_CHECKING:
    from dvc.stage import PipelineStage


def forget_what_nobody_has() -> list[str]:
    """Take entries out of `dvc.lock`, which `dvc repro` writes again, and return the names of their stages.

    An entry goes where its outputs are neither in the workspace nor in the cache, and the run-cache has a run of the
    same command whose outputs are there.
    """
    from dvc.utils.serialize import modify_yaml

    if not LOCK.is_file():
        return []
    with open_repository(Path()) as repo:
        runs = Path(repo.stage_cache.cache_dir)
        stages = [stage for stage in repo.index.stages if runs.is_dir() and is_gone(stage)]
        known = runs_here(repo, runs) if stages else set()
        names = [stage.addressing for stage in stages if (stage.cmd, paths(stage.outs)) in known]
    if names:
        with modify_yaml(str(LOCK)) as lock:
            for name in names:
                del lock["stages"][name]
    return names


def is_gone(stage: "PipelineStage") -> bool:
    """Whether the lock names outputs that are neither in the workspace nor in the cache."""
    from dvc.stage.serialize import to_single_stage_lockfile

    if not stage.outs or not all(out.hash_info for out in stage.outs):
        return False
    caches = stage.repo.stage_cache
    locked = caches._create_stage(to_single_stage_lockfile(stage), wdir=stage.wdir)  # as DVC's own `restore` does
    return not locked.outs_cached() and any(out.changed() for out in stage.outs)


def runs_here(repo: Any, runs: Path) -> set[tuple[str, tuple[str, ...]]]:
    """Command and outputs of every run whose outputs are in the cache."""
    caches = repo.stage_cache
    entries = [caches._load_cache(path.parent.name, path.name) for path in sorted(runs.glob("*/*/*"))]
    kept = [entry for entry in entries if entry and caches._create_stage(entry).outs_cached()]
    return {(entry["cmd"], tuple(sorted(out["path"] for out in entry["outs"]))) for entry in kept}


def paths(outs: list[Any]) -> tuple[str, ...]:
    return tuple(sorted(out.def_path for out in outs))
