"""Has an output the bytes that its stage wrote, by the lock and by the receipt?"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from darkmatter.audit.findings import AuditFinding
from darkmatter.audit.hashing import Hashes, folder_md5, listing
from darkmatter.audit.history import git
from darkmatter.audit.lock import LockedStage
from darkmatter.audit.receipts import Receipts
from darkmatter.runner.staleness import stages_behind
from darkmatter.storage.artifacts import sha256_path


def output_findings(
    stage: LockedStage, out: str, hashes: Hashes, receipts: Receipts, stale: dict[str, str], cache: Path, root: Path
) -> Iterator[AuditFinding]:
    """Has an output the bytes that the lock and the receipt have of it?"""
    agrees = hashes.md5 == stage.outs[out]
    written = receipts.get(stage.name, {}).get("outputs", {}).get(out)
    if not agrees and written == hashes.sha256:
        yield AuditFinding("stale", out, f"dvc.lock is of another run of {stage.name} than the output and its receipt")
    elif not agrees:
        yield from other_bytes(stage, out, hashes, cache, root)
    elif written is None and stage.name in receipts:
        yield AuditFinding(
            "missing", out, f"the receipt of {stage.name} does not name it, so only dvc.lock vouches for it"
        )
    elif written is not None and written != hashes.sha256:
        if of_another_run(stage.name, receipts, stale, root):
            again = f"`dvc repro --force --no-run-cache {stage.name}` writes both again"
            yield AuditFinding("stale", out, f"the receipt of {stage.name} is of another run than this output; {again}")
        else:
            message = (
                f"dvc.lock agrees with it, but {stage.name} wrote other bytes, by its receipt: the lock was made to fit"
                f"; `dvc repro --force {stage.name}` writes it again"
            )
            yield AuditFinding("tampered", out, message)


def of_another_run(name: str, receipts: Receipts, stale: dict[str, str], root: Path) -> bool:
    """Whether a stage's receipt tells of other code, parameters or inputs than are here.

    So it is where DVC brought the outputs of an earlier run back from its run-cache: no stage ran, so no receipt was
    written, and nobody forged anything. An input that is not here is not judged by its bytes but by its makers.
    """
    inputs = receipts[name]["inputs"]
    here = [path for path in inputs if (root / path).exists()]
    if name in stale or any(sha256_path(root / path) != inputs[path] for path in here):
        return True
    return len(here) < len(inputs) and not stages_behind(name, receipts).isdisjoint(stale)


def other_bytes(stage: LockedStage, out: str, hashes: Hashes, cache: Path, root: Path) -> Iterator[AuditFinding]:
    """Which files of an output are not as locked; the output itself where neither cache nor git has its listing."""
    fix = f"`{remedy(stage, out)}` restores it"
    md5 = stage.outs[out]
    locked = (listing(cache, md5) or committed_listing(root, out, md5)) if md5.endswith(".dir") else None
    if locked is None:
        message = f"is not what {stage.name} wrote: MD5 {hashes.md5}, locked {md5}; {fix}"
        yield AuditFinding("tampered", out, message)
        return
    for name in sorted(locked.keys() | hashes.files.keys()):
        path = f"{out}/{name}"
        if name not in hashes.files:
            yield AuditFinding("missing", path, f"output of {stage.name}; `{remedy(stage, out)}` brings it back")
        elif name not in locked:
            yield AuditFinding("tampered", path, f"{stage.name} wrote no such file; delete it")
        elif locked[name] != hashes.files[name]:
            yield AuditFinding("tampered", path, f"MD5 {hashes.files[name]}, {stage.name} wrote {locked[name]}; {fix}")


def committed_listing(root: Path, out: str, md5: str) -> dict[str, str] | None:
    """As `listing`, of a folder in HEAD that git keeps; None where HEAD has another, or there is no git."""
    packed = git(root, "archive", "--format=tar", "HEAD", "--", out)
    if not packed:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = {
            member.name.removeprefix(f"{out}/"): hashlib.md5(file.read(), usedforsecurity=False).hexdigest()
            for member in archive
            if (file := archive.extractfile(member))
        }
    return files if folder_md5(files) == md5 else None


def remedy(stage: LockedStage, out: str) -> str:
    """The command that puts back what the stage wrote, from DVC's cache or from git."""
    return f"dvc checkout --force {out}" if out in stage.cached else f"git checkout -- {out}"
