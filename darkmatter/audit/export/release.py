"""What goes into an archive such as Zenodo: source, report, data's checksums, citation and drafts, as one folder.

    python -m darkmatter.audit.export.release    # `make release`: dist/darkmatter-VERSION/

The same commit gives the same bytes: times are the commit's, and the source is a tar without compression, whose bytes
would be those of one zlib. The sums that every number follows from are files of the source, below reports/.
"""

import re
import shutil
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import yaml

from darkmatter.audit.export import codecheck, ro_crate
from darkmatter.audit.export.sources import Sources, read_sources, read_yaml
from darkmatter.audit.history import git
from darkmatter.audit.verify import verify
from darkmatter.storage.artifacts import ArtifactError, sha256_file, write_text
from darkmatter.storage.paths import REPORT
from darkmatter.storage.replacing import replacing_folder

OUT = Path("dist")
CITATION = Path("CITATION.cff")
DATA_SUMS, SUMS = "data.sha256", "SHA256SUMS"


def release(root: Path, out: Path) -> Path:
    """Write the folder of this version and return it.

    Raises:
        ArtifactError: what is here is not a commit, has no entry in the changelog, or does not pass `audit verify`.
    """
    version, moment = version_of(root), committed_at(root)
    if wrong := verify(root, committed=True).findings:
        raise ArtifactError(
            f"`darkmatter audit verify --committed` finds {wrong[0].kind}: {wrong[0].path}. `make repro`, then commit."
        )
    sources = read_sources(root)
    name = f"darkmatter-{version}"
    source = git(root, "archive", "--format=tar", f"--prefix={name}/", "HEAD")
    if source is None:
        raise ArtifactError("`git archive HEAD` failed. Run this in a clone of the repository.")
    with replacing_folder(out / name) as folder:
        (folder / f"{name}.tar").write_bytes(source)
        shutil.copyfile(root / REPORT, folder / REPORT.name)
        citation = read_yaml(root / CITATION) | {"version": version, "date-released": moment.date()}
        write_text(folder / CITATION, yaml.safe_dump(citation, sort_keys=False, allow_unicode=True, width=120))
        write_text(folder / DATA_SUMS, data_sums(sources))
        codecheck.write(folder, sources)
        ro_crate.write(folder, sources)
        files = sorted(path for path in folder.iterdir() if path.is_file())
        write_text(folder / SUMS, "".join(f"{sha256_file(path)}  {path.name}\n" for path in files))
    return out / name


def version_of(root: Path) -> str:
    """The version in pyproject.toml, once the changelog has an entry of it and nothing is unreleased.

    Raises:
        ArtifactError: there is none, or later changes stand above it.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if not headings or headings[0] != version:
        first = headings[0] if headings else "nothing"
        raise ArtifactError(
            f"pyproject.toml says version {version}, and the first heading of CHANGELOG.md is {first}. "
            "Set the version, and put it above the changes that it brings."
        )
    if (cited := read_yaml(root / CITATION).get("version")) != version:
        raise ArtifactError(f"pyproject.toml says version {version}, {CITATION} says {cited}. Set both.")
    return version


def committed_at(root: Path) -> datetime:
    """When HEAD was committed.

    Raises:
        ArtifactError: there is no commit, or files differ from it.
    """
    seconds, changed = git(root, "log", "-1", "--format=%ct"), git(root, "status", "--porcelain")
    if seconds is None or changed is None:
        raise ArtifactError(f"{root.resolve()} is no git repository with a commit, so there is nothing to release")
    if changed:
        raise ArtifactError(f"{changed.decode().splitlines()[0][3:]} is not committed. Commit it, or remove it.")
    return datetime.fromtimestamp(int(seconds), UTC)


def data_sums(sources: Sources) -> str:
    """The SHA-256 of every file under data/ that a stage wrote, as `sha256sum --check` reads them."""
    files = {path: sha256 for receipt in sources.receipts.values() for path, sha256 in receipt["files"].items()}
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(files.items()))


if __name__ == "__main__":
    try:
        folder = release(Path(), OUT)
    except ArtifactError as error:
        sys.exit(f"error: {error}")
    for path in sorted(folder.iterdir()):
        print(f"{path}  {path.stat().st_size:,} bytes")
