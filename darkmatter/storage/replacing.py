"""Files and folders that are written whole or not at all. No NumPy.

What is written stands next to its destination, is flushed to disk and then renamed over it, so that a killed process
leaves the old one or the new one, never half of one; of folders, between two renames, neither. What it had begun is
hidden, and goes when the same is written again.
"""

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PART = ".part-"  # of what is being written, between its name and eight characters


def walk_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` for a file; on success it replaces `path`, on failure it is removed.

    What a process that was killed has left of the same is removed, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{PART}")
    os.close(descriptor)
    temporary = Path(name)
    try:
        with held(temporary):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder: the finished folder takes the place of whatever stood at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}{PART}"))
    try:
        with held(temporary):
            yield temporary
            for file in walk_files(temporary):
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            temporary.chmod(0o755)
            with removing_folder(path):
                temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_left(path: Path) -> None:
    """Remove temporary siblings of `path` that no process holds, as far as that can be done."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}{PART}????????"):
        with contextlib.suppress(OSError), held(temporary) as free:
            if free:
                shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Mark a file or folder as one that a process is at work on; False where another one is, or marks do not work."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; False where another process has, or where files cannot be locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def removing_folder(path: Path) -> Iterator[None]:
    """Remove a folder, if there is one: it leaves `path` whole before the block, and its files are deleted after it.

    If the block raises it comes back.
    """
    if not path.is_dir():
        yield
        return
    with held(path):  # the lock goes with the folder to its hidden name
        hidden = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}{PART}"))
        try:
            path.replace(hidden)  # an empty folder is replaced
        except OSError:  # a file system may not rename a folder of a layer below its own
            hidden.rmdir()
            shutil.rmtree(path)
            yield
            return
        try:
            yield
        except BaseException:
            hidden.replace(path)
            raise
        shutil.rmtree(hidden, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder, if there is one: at no moment does a part of it stand at `path`."""
    remove_left(path)
    with removing_folder(path):
        pass
