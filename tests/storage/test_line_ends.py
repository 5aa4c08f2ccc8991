"""A clone as Git for Windows makes it (core.autocrlf=true): the bytes that are hashed are those of the commit."""

import shutil
import subprocess
from pathlib import Path

import pytest
import toy

from darkmatter.audit.verify import verify

ROOT = Path(__file__).parents[2]
ATTRIBUTES = ROOT / ".gitattributes"


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    return toy.build(folder)


def converting_clone(repository: Path, to: Path) -> Path:
    done = subprocess.run(["git", "clone", "-q", "-c", "core.autocrlf=true", str(repository), str(to)], check=False)
    assert done.returncode == 0
    return to


def findings(root: Path) -> set[tuple[str, str]]:
    return {(finding.kind, finding.path) for finding in verify(root, committed=True).findings}


def test_converted_clone_is_as_it_was_committed(repository, tmp_path):
    without = converting_clone(repository, tmp_path / "without")
    assert findings(without) == {("tampered", "reports/toy/results/use.json"), ("stale", "make"), ("stale", "use")}
    shutil.copy(ATTRIBUTES, repository)
    toy.commit(repository)
    assert findings(converting_clone(repository, tmp_path / "with")) == set()


def test_what_an_editor_writes_is_committed_with_lf_and_what_a_stage_writes_as_it_is(repository):
    shutil.copy(ATTRIBUTES, repository)
    for name in ("use.py", "reports/table.txt"):
        (repository / name).write_bytes(b"one\r\ntwo\r\n")
    toy.commit(repository)
    kept = {name: toy.git(repository, "show", f"HEAD:{name}") for name in ("use.py", "reports/table.txt")}
    assert kept == {"use.py": b"one\ntwo\n", "reports/table.txt": b"one\r\ntwo\r\n"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a download has no .git to clone")
def test_converted_clone_of_this_repository(tmp_path):
    """Every file of HEAD, as git hashes its bytes when no filter is applied."""
    clone = converting_clone(ROOT, tmp_path / "clone")
    entries = [line.split("\t") for line in toy.git(clone, "ls-files", "--stage").decode().splitlines()]
    committed = {path: entry.split()[1] for entry, path in entries}
    hashes = toy.git(clone, "hash-object", "--no-filters", "--", *committed).decode().split()
    assert len(hashes) > 500
    assert [path for path, sha1 in zip(committed, hashes, strict=True) if committed[path] != sha1] == []
