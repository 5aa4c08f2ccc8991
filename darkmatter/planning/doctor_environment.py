"""Is this the environment that the lock files describe? Python, packages, programs, variables, cluster, GPU, key."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from darkmatter.experiments.interpretability.params import Interpretability
from darkmatter.params.types import ParamsError
from darkmatter.planning.finding import Finding
from darkmatter.planning.text import size
from darkmatter.runner.processes import STARTED_BY, worker_count
from darkmatter.storage.artifacts import ArtifactError

LOCKS = (Path("requirements/base.lock"), Path("requirements/torch-pypi.lock"))
PYTHONS = ((3, 11), (3, 14))  # from, and before
INSTALL = "make -B .venv/installed"
VARIABLES = ("EXECUTOR", "FRESH", "GPUS", "HUB_OFFLINE", "SAE_CACHE_GB", "WORKERS")
SHOWN = 5


def python(version: tuple[int, int] | None = None) -> Finding:
    result = version or sys.version_info[:2]
    ok = PYTHONS[0] <= result < PYTHONS[1]
    said = f"{result[0]}.{result[1]}, needed is 3.11, 3.12 or 3.13"
    return Finding("python", ok, said, None if ok else "rm -rf .venv && make PYTHON=python3.12 .venv/installed")


def pinned(locks: Iterable[Path]) -> dict[str, str]:
    """Package → version that the lock files have for this Python and platform.

    Raises:
        ArtifactError: a lock file is missing or has a line that is no requirement.
    """
    result = {}
    for lock in locks:
        try:
            lines = lock.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ArtifactError(f"{lock} cannot be read ({error.strerror}). Run `git checkout {lock}`.") from None
        for line in lines:
            if line.startswith(("#", " ")) or not line.strip():
                continue
            try:
                requirement = Requirement(line.split(" --hash")[0].rstrip(" \\"))
            except InvalidRequirement:
                raise ArtifactError(f"{lock} has a line that is none: {line!r}. Run `git checkout {lock}`.") from None
            if requirement.marker is None or requirement.marker.evaluate():
                result[requirement.name] = next(iter(requirement.specifier)).version
    return result


def packages(locks: Iterable[Path] = LOCKS) -> Finding:
    """Installed versions against the locks. Of torch's stack only torch: its CPU build brings no CUDA packages."""
    try:
        wanted = pinned(locks)
    except ArtifactError as error:
        return Finding("packages", False, str(error), "git checkout requirements")
    other = []
    for name, version in wanted.items():
        if name.startswith(("nvidia-", "cuda-", "triton")):
            continue
        try:
            result = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            result = "missing"
        if result.partition("+")[0] != version:
            other.append(f"{name} {result} (locked: {version})")
    if not other:
        return Finding("packages", True, f"the {len(wanted)} of the lock files")
    more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
    return Finding("packages", False, ", ".join(other[:SHOWN]) + more, INSTALL)


def programs() -> list[Finding]:
    results = []
    for name, command in (("git", "apt-get install git"), ("dvc", f"source .venv/bin/activate  # or: {INSTALL}")):
        beside = Path(sys.executable).with_name(name)
        path = shutil.which(name) or (str(beside) if beside.is_file() else None)
        results.append(Finding(name, path is not None, path or "not on PATH", None if path else command))
    return results


def variables() -> list[Finding]:
    """DARKMATTER_*: those that are set, each with whether it is understood. One is not for people: a stage sets it."""
    results = []
    for name in sorted(name for name in os.environ if name.startswith("DARKMATTER_") and name != STARTED_BY):
        value, short = os.environ[name], name.removeprefix("DARKMATTER_")
        problem = problem_of(short, value)
        results.append(Finding(name, problem is None, problem or value, None if problem is None else f"unset {name}"))
    return results or [Finding("variables", True, "no DARKMATTER_* is set")]


def problem_of(short: str, value: str) -> str | None:
    from darkmatter.runner.ray_executor import gpus_per_unit
    from darkmatter.saes.published.cache import allowed

    try:
        match short:
            case "WORKERS":
                worker_count()
            case "GPUS":
                gpus_per_unit()
            case "SAE_CACHE_GB":
                allowed()
            case "EXECUTOR" if value not in ("local", "ray"):
                return f"{value!r}; there are local and ray"
            case "FRESH" if value not in ("", "0", "1"):
                return f"{value!r}; 1 ignores stored units, anything else does nothing"
            case _ if short not in VARIABLES:
                return f"no such variable; there are {', '.join(f'DARKMATTER_{name}' for name in VARIABLES)}"
    except ArtifactError as error:
        return str(error)
    return None


def cluster() -> list[Finding]:
    """Whether a Ray cluster answers, where units are to run on one."""
    if os.environ.get("DARKMATTER_EXECUTOR") != "ray":
        return []
    from darkmatter.runner.ray_executor import connect

    try:
        ray = connect()
    except ArtifactError as error:
        missing = "pip install" in str(error)
        return [Finding("ray", False, str(error), "pip install -e '.[ray]'" if missing else "ray start --head")]
    resources = ray.cluster_resources()
    ray.shutdown()
    return [Finding("ray", True, f"{resources.get('CPU', 0):g} CPUs, {resources.get('GPU', 0):g} GPUs")]


def gpu(wanted: bool, needed: float = 0.0) -> list[Finding]:
    """Whether torch sees a GPU with so many bytes, where one is asked for."""
    if not wanted:
        return []
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        said = f"{torch.cuda.get_device_name(0)}, {size(memory)}, {size(needed)} needed"
        fix = "nvidia-smi  # another GPU is needed, or a smaller profile"
        return [Finding("gpu", memory >= needed, said, None if memory >= needed else fix)]
    build = f"torch {torch.__version__}"
    if torch.version.cuda is None:
        fix = ".venv/bin/pip install --require-hashes --no-deps -r requirements/torch-pypi.lock"
        return [Finding("gpu", False, f"{build} is built for the CPU", fix)]
    return [Finding("gpu", False, f"{build} finds no GPU or no driver for CUDA {torch.version.cuda}", "nvidia-smi")]


def key(settings: Interpretability) -> list[Finding]:
    """The key of the judge's endpoint, where one is configured. The key itself is never shown."""
    if not settings.endpoint:
        return []
    from darkmatter.experiments.interpretability.judge.key import read_key

    try:
        read_key(settings)
    except (ArtifactError, ParamsError) as error:
        return [Finding("endpoint", False, str(error), f"export {settings.key_variable}=KEY")]
    return [Finding("endpoint", True, settings.endpoint)]
