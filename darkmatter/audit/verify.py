"""Hash everything again: outputs and objects, against dvc.lock and the receipts, and these against the code.

Objects are those of DVC's cache, and of remotes that are folders of this machine.

    tampered      an output or a cache object has other bytes than the stage wrote
    rule-changed  claims.yaml has another rule than judged the result, now or at an earlier commit; or a prediction that
                  is younger than the run it is judged on
    stale         dvc.lock or a receipt is of other code, parameters or inputs
    missing       an output, a receipt or a stage's lock is not here

A lock that was made to agree with a changed file (`dvc commit -f`) is found by the receipt; where that was rewritten
too, by `derive`. All this is of the profile of params.yaml; what is said of the others is in `other_profiles`.
"""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from darkmatter.audit.findings import AuditFinding
from darkmatter.audit.hashing import THREADS, folder_md5, hash_file, hash_path, listing, object_path
from darkmatter.audit.history import committed_profiles
from darkmatter.audit.lock import LockedStage, Pipeline, read_pipeline
from darkmatter.audit.other_profiles import other_profile
from darkmatter.audit.outputs import output_findings, remedy
from darkmatter.audit.predictions import prediction_findings
from darkmatter.audit.receipts import Receipts, sorted_receipts
from darkmatter.audit.rules import rule_findings
from darkmatter.runner.pipeline_file import profile_here
from darkmatter.runner.staleness import brief, stale_stages, unsaid
from darkmatter.storage.paths import DATA, reports_of
from darkmatter.storage.replacing import walk_files


@dataclass
class Verification:
    """What was verified, and what was found wrong.

    Attributes:
        hashed: output paths and objects of cache and remotes whose bytes were read.
        stages: in the pipeline.
        others: what is said of the committed runs of other profiles, a line each or more.
    """

    stages: int
    hashed: int = 0
    others: list[str] = field(default_factory=list)
    findings: list[AuditFinding] = field(default_factory=list)


def verify(root: Path, committed: bool = False) -> Verification:
    """Audit the repository at `root`.

    Args:
        committed: only what git holds, and no cache: for a clone without data.

    Raises:
        ArtifactError: there is no pipeline to verify.
    """
    pipeline = read_pipeline(root)
    profile = profile_here(root)
    receipts, unreadable = sorted_receipts(root, profile)
    done = Verification(len(pipeline.stages), findings=unreadable)
    if not committed and (kept := kept_nowhere(pipeline, root)):
        message = (
            f"none of the {kept} outputs that DVC keeps is here, so only what git holds was checked, as by `darkmatter "
            "audit verify --committed`; `make repro` computes them, `dvc pull` brings them from a remote that has them"
        )
        done.findings.append(AuditFinding("missing", DATA.as_posix(), message))
        committed = True
    stale = stale_stages(receipts, root)
    names, folder = [stage.name for stage in pipeline.stages], reports_of(profile).receipts
    md5_of = functools.cache(lambda path: hash_path(path).md5)  # most dependencies are those of many stages
    sizes = sum(file.stat().st_size for path in to_read(pipeline, root, committed) for file in files_of(path))
    with tqdm(total=sizes, desc="verify", unit="B", unit_scale=True, mininterval=1.0) as bar:
        for stage in pipeline.stages:
            of_lock = list(lock_findings(stage, pipeline, root, committed, md5_of))
            told = any(finding.kind == "stale" for finding in of_lock)
            done.findings += of_lock + [x for x in receipt_findings(stage, receipts, stale, folder) if not told]
            for out in stage.outs:
                if not (committed and out in stage.cached) and (root / out).exists():
                    hashes = hash_path(root / out, bar.update)
                    done.hashed += 1
                    done.findings += output_findings(stage, out, hashes, receipts, stale, pipeline.cache, root)
        for place in stores(pipeline, committed):
            kept = objects(place)
            done.hashed += len(kept)
            done.findings += object_findings(place, kept, pipeline, bar.update)
    done.findings += unsaid_findings({name: receipts[name] for name in names if name in receipts}, stale, folder)
    done.findings += rule_findings(root, profile)
    done.findings += prediction_findings(root)
    for other in committed_profiles(root):
        if other != profile:
            lines, findings = other_profile(root, other)
            done.others += lines
            done.findings += findings
    return done


def kept_nowhere(pipeline: Pipeline, root: Path) -> int:
    """How many outputs DVC keeps, where none of them is here and its cache is empty; else 0."""
    kept = [out for stage in pipeline.stages for out in stage.cached]
    return 0 if objects(pipeline.cache) or any((root / out).exists() for out in kept) else len(kept)


def to_read(pipeline: Pipeline, root: Path, committed: bool) -> Iterator[Path]:
    for stage in pipeline.stages:
        yield from (root / out for out in stage.outs if not (committed and out in stage.cached))
    for place in stores(pipeline, committed):
        yield from objects(place)


def stores(pipeline: Pipeline, committed: bool) -> list[Path]:
    """The cache and the remotes whose objects are read."""
    return [] if committed else [pipeline.cache, *pipeline.remotes]


def object_findings(
    place: Path, kept: list[Path], pipeline: Pipeline, progress: Callable[[int], object]
) -> Iterator[AuditFinding]:
    """Objects of a cache or remote whose bytes are not those that their names say."""
    what, fix = ("cache", "fetch") if place == pipeline.cache else ("remote", "push")
    with ThreadPoolExecutor(THREADS) as pool:
        for path, hashes in zip(kept, pool.map(lambda path: hash_file(path, progress), kept), strict=True):
            name = path.parent.name + path.name
            if hashes.md5 != name.removesuffix(".dir"):
                whose = f"{what} object{users(pipeline, name)}"
                message = f"{whose} has other bytes than its name says; delete it, then `dvc {fix}`"
                yield AuditFinding("tampered", str(path), message)


def files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else walk_files(path)


def objects(cache: Path) -> list[Path]:
    return sorted(
        path for path in cache.glob("[0-9a-f][0-9a-f]/*") if path.is_file() and not path.name.endswith(".tmp")
    )


def users(pipeline: Pipeline, md5: str) -> str:
    """` of PATH` for the outputs that a cache object belongs to."""
    results = []
    for stage in pipeline.stages:
        for out, own in stage.outs.items():
            files = (listing(pipeline.cache, own) or {}) if own.endswith(".dir") else {}
            results += [out] if own == md5 else [f"{out}/{name}" for name, part in files.items() if part == md5]
    return f" of {', '.join(results)}" if results else ""


def lock_findings(
    stage: LockedStage, pipeline: Pipeline, root: Path, committed: bool, md5_of: Callable[[Path], str]
) -> Iterator[AuditFinding]:
    """Is the lock of this pipeline, this code, and one run; and is everything that it names here?"""
    if stage.gap:
        yield AuditFinding("stale", stage.name, f"{stage.gap}; `dvc repro {stage.name}` runs it")
    others = []
    for path, md5 in stage.deps.items():
        made = pipeline.producer(path)
        if made is None:
            inside = pipeline.outputs_within(path)
            if any((committed and out in other.cached) or not (root / out).exists() for other, out in inside):
                continue  # what is not here is said of the outputs themselves
            if not (root / path).exists():
                yield AuditFinding("missing", path, f"{stage.name} depends on it; `git checkout -- {path}` restores it")
            elif md5_of(root / path) != md5:
                others.append(path)
        elif recorded(pipeline, *made, path) not in (md5, None):
            others.append(path)
    if others:
        run = f"`dvc repro {stage.name}` runs it again"
        yield AuditFinding("stale", stage.name, f"ran with another {brief(others)} than is here; {run}")
    for out, md5 in stage.outs.items():
        if (root / out).exists() or (committed and out in stage.cached):
            continue
        if out in stage.cached and not object_path(pipeline.cache, md5).exists():
            fix = f"dvc pull {stage.name}` or `dvc repro {stage.name}"
        else:
            fix = remedy(stage, out)
        yield AuditFinding("missing", out, f"output of {stage.name}; `{fix}` brings it back")


def recorded(pipeline: Pipeline, producer: LockedStage, out: str, path: str) -> str | None:
    """MD5 that the producer's lock has of a path; None where the listing of its folder is not here."""
    if path == out:
        return producer.outs[out]
    files = listing(pipeline.cache, producer.outs[out])
    if files is None:
        return None
    inside = path.removeprefix(out + "/")
    if inside in files:
        return files[inside]
    prefix = inside + "/"
    return folder_md5({name.removeprefix(prefix): files[name] for name in files if name.startswith(prefix)})


def receipt_findings(
    stage: LockedStage, receipts: Receipts, stale: dict[str, str], folder: Path
) -> Iterator[AuditFinding]:
    if stage.name not in receipts:
        path = (folder / f"{stage.name}.json").as_posix()
        yield AuditFinding("missing", path, f"receipt of {stage.name}; `git checkout -- {path}` brings it back")
    elif stage.name in stale:
        yield AuditFinding("stale", stage.name, f"its receipt: {stale[stage.name]}")


def unsaid_findings(receipts: Receipts, stale: dict[str, str], folder: Path) -> Iterator[AuditFinding]:
    """Receipts that do not tell what another stage read; that of a stale stage is written again anyway."""
    for name, read in unsaid(receipts).items():
        if name not in stale:
            message = (
                f"does not list the files that {name} wrote, so only DVC's cache can tell whether {read}: made by an "
                f"older revision; `dvc repro --force {name}` writes it again"
            )
            yield AuditFinding("missing", (folder / f"{name}.json").as_posix(), message)
