"""What dvc.yaml says should have run, and what dvc.lock says did run.

DVC reads its own files here (templates, `foreach`, parameters); bytes are never compared through it, because its state
database trusts sizes and times.
"""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from darkmatter.audit.command_line import did_you_mean
from darkmatter.runner.lock_keeper import LOCK
from darkmatter.storage import safe_yaml
from darkmatter.storage.artifacts import ArtifactError

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True)
class LockedStage:
    """One stage.

    Attributes:
        deps, outs: path → MD5 as DVC records it (of a folder: with the suffix `.dir`).
        cached: the outputs that DVC keeps, the others are kept by git.
        command, params: as they were run.
        gap: why the lock is not of this pipeline: another command, other parameters, paths, or none at all.
    """

    name: str
    deps: dict[str, str] = field(default_factory=dict)
    outs: dict[str, str] = field(default_factory=dict)
    cached: frozenset[str] = frozenset()
    command: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    gap: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """What should have run and what did.

    Attributes:
        cache: folder of objects, XX/REST by MD5.
        remotes: of those that are folders here, such folders.
    """

    stages: list[LockedStage]
    cache: Path
    remotes: tuple[Path, ...] = ()

    def stage(self, name: str) -> LockedStage:
        """The stage of that name.

        Raises:
            ArtifactError: there is none of that name.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = [stage.name for stage in self.stages]
        hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
        raise ArtifactError(f"no stage {name!r}{hint}")

    def producer(self, path: str) -> tuple[LockedStage, str] | None:
        """The stage whose output `path` is or lies in, and that output."""
        for stage in self.stages:
            for out in stage.outs:
                if path == out or path.startswith(out + "/"):
                    return stage, out
        return None

    def outputs_within(self, path: str) -> list[tuple[LockedStage, str]]:
        """The outputs below a folder, each with its stage."""
        return [(stage, out) for stage in self.stages for out in stage.outs if out.startswith(path + "/")]


def read_pipeline(root: Path) -> Pipeline:
    """Every stage of dvc.yaml with what dvc.lock has of it, in the order of dvc.yaml.

    Raises:
        ArtifactError: there is no DVC repository here, or its files cannot be read.
    """
    from dvc.exceptions import DvcException

    try:
        locked = safe_yaml.read(root / LOCK)
        # A download has no .git, and DVC opens it only if told so.
        repository = open_repository(root, config=None if (root / ".git").exists() else {"core": {"no_scm": True}})
        stages = [stage for stage in repository.index.stages if stage.is_data_source is False]
        return Pipeline(
            [locked_stage(stage, locked.get("stages", {}).get(stage.name), root) for stage in stages],
            Path(repository.cache.local.path),
            tuple(Path(url) / "files" / "md5" for url in remote_urls(repository) if "://" not in url),
        )
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{error.filename} does not exist: run this in the root of the repository, where `git checkout -- "
            f"{LOCK}` or `make repro` brings it back"
        ) from None
    except (DvcException, yaml.YAMLError) as error:
        raise ArtifactError(f"dvc.yaml or dvc.lock cannot be read: {error}") from error


def open_repository(root: Path, **options: Any) -> "Repo":
    """DVC's own view of a repository.

    Raises:
        ArtifactError: DVC cannot write what it keeps of every repository.
    """
    from dvc.repo import Repo

    try:
        return Repo(str(root), **options)
    except sqlite3.OperationalError as error:
        raise ArtifactError(
            f"DVC cannot open its databases ({error}), which it keeps in /var/tmp/dvc or in DVC_SITE_CACHE_DIR: set "
            "that to a folder that can be written"
        ) from None


def remote_urls(repository: Any) -> list[str]:
    return [entry["url"] for _, entry in sorted(repository.config["remote"].items())]


def locked_stage(stage: Any, entry: dict[str, Any] | None, root: Path) -> LockedStage:
    """One stage of the pipeline with what dvc.lock says of it.

    Args:
        stage: DVC's own, from dvc.yaml.
        entry: its part of dvc.lock.
    """
    from dvc.dependency import ParamsDependency

    cached = frozenset(str(Path(out.fs_path).relative_to(root.resolve())) for out in stage.outs if out.use_cache)
    if entry is None:
        return LockedStage(stage.name, cached=cached, gap="never ran: dvc.lock does not have it")
    deps, outs = ({item["path"]: item["md5"] for item in entry.get(kind, [])} for kind in ("deps", "outs"))
    paths = {str(Path(out.fs_path).relative_to(root.resolve())) for out in stage.outs}
    inputs = [dep for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    read = {str(Path(dep.fs_path).relative_to(root.resolve())) for dep in inputs}
    changed = [dep.status() for dep in stage.deps if isinstance(dep, ParamsDependency)]
    gap = None
    if entry["cmd"] != stage.cmd:
        gap = f"dvc.lock has the command {entry['cmd']!r}, dvc.yaml {stage.cmd!r}"
    elif states := [state for status in changed for state in status.values()]:
        names = sorted(name for state in states if isinstance(state, dict) for name in state)
        gap = f"ran with other values of {', '.join(names)}" if names else "dvc.lock has no parameters of it"
    elif paths != outs.keys() or read != deps.keys():
        gap = f"dvc.lock lists other paths: {', '.join(sorted((paths ^ outs.keys()) | (read ^ deps.keys())))}"
    params = {key: value for file in entry.get("params", {}).values() for key, value in file.items()}
    # What only the lock has, such as the paths of another profile, is no part of this pipeline: the gap says so.
    deps = {path: md5 for path, md5 in deps.items() if path in read}
    outs = {path: md5 for path, md5 in outs.items() if path in paths}
    return LockedStage(stage.name, deps, outs, cached, entry["cmd"], params, gap)
