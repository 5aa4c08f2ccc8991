"""`make release`: the folder for an archive holds what it says, the same each time; what is no version is refused."""

import re
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy
import yaml

from darkmatter.audit.export import release as module
from darkmatter.audit.export.release import DATA_SUMS, SUMS, release
from darkmatter.audit.findings import AuditFinding
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file

ROOT = Path(__file__).parents[2]
VERSION = "7.8.9"


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose HEAD is a version."""
    folder = tmp_path_factory.mktemp("clone") / "repository"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    for name, pattern, line in (
        ("pyproject.toml", r'^version = ".*"', f'version = "{VERSION}"'),
        ("CITATION.cff", r"^version: .*", f"version: {VERSION}"),
        ("CHANGELOG.md", r"\A(?:.*\n)*?## .*", f"# Changelog\n\n## {VERSION}"),
    ):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(re.sub(pattern, line, text, count=1, flags=re.MULTILINE), encoding="utf-8")
    toy.commit(folder)
    return folder


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[AuditFinding]:
    """What `audit verify` finds; its own tests hold it."""
    findings: list[AuditFinding] = []
    monkeypatch.setattr(module, "verify", lambda root, committed: SimpleNamespace(findings=findings))
    return findings


def test_the_folder_holds_source_report_checksums_citation_and_drafts(versioned, verified, tmp_path):
    folder = release(versioned, tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        f"darkmatter-{VERSION}.tar",
        "report.html",
        "CITATION.cff",
        "codecheck.yml",
        "ro-crate-metadata.json",
        DATA_SUMS,
        SUMS,
    }
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=folder, check=True)
    assert len((folder / SUMS).read_text().splitlines()) == 6
    with tarfile.open(folder / f"darkmatter-{VERSION}.tar") as source:
        names = {name.removeprefix(f"darkmatter-{VERSION}/") for name in source.getnames()}
    assert {
        "dvc.lock",
        "claims.yaml",
        "reports/smollm2/claims.json",
        "reports/smollm2/results/decomposition/resid_post.14.json",
    } <= names
    citation = yaml.safe_load((folder / "CITATION.cff").read_text(encoding="utf-8"))
    when = subprocess.run(
        ["git", "log", "-1", "--format=%cs"], cwd=versioned, capture_output=True, text=True, check=True
    )
    assert citation["version"] == VERSION and str(citation["date-released"]) == when.stdout.strip()
    receipt = read_json(versioned / "reports" / "smollm2" / "receipts" / "saes.json")
    listed = dict(line.split("  ")[::-1] for line in (folder / DATA_SUMS).read_text().splitlines())
    assert receipt["files"].items() <= listed.items() and all(path.startswith("data/") for path in listed)


def test_the_same_commit_gives_the_same_bytes(versioned, verified, tmp_path):
    hashes = [{path.name: sha256_file(path) for path in release(versioned, tmp_path / name).iterdir()} for name in "ab"]
    assert hashes[0] == hashes[1]


def test_what_does_not_pass_the_audit_is_refused(versioned, verified, tmp_path):
    verified.append(AuditFinding("stale", "claims", "other code"))
    with pytest.raises(ArtifactError, match="finds stale: claims"):
        release(versioned, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "CHANGELOG.md",
            "# Changelog\n",
            "# Changelog\n\n## Unreleased\n",
            "first heading of CHANGELOG.md is Unreleased",
        ),
        ("CITATION.cff", VERSION, "1.0", "CITATION.cff says 1.0"),
        ("README.md", "\n", "\n\n", "README.md is not committed"),
    ],
)
def test_what_is_no_version_is_refused(versioned, verified, tmp_path, name, old, new, said):
    path = versioned / name
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        with pytest.raises(ArtifactError, match=said):
            release(versioned, tmp_path)
    finally:
        path.write_text(text, encoding="utf-8")


def test_the_citation_is_of_the_version_of_the_project():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
