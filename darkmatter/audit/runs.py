"""The reports of one run: those of a folder, or those that a git revision holds."""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.audit.history import git
from darkmatter.report.compared import judged_rows
from darkmatter.report.sources import flat
from darkmatter.statistics.seed_noise import seed_groups
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.paths import BEFORE_FOLDERS, REPORTS, reports_of

Content = dict[str, Any]


class NoRunError(ValueError):
    """What should name a run is neither a revision nor a folder with reports: a wrong argument."""


@dataclass(frozen=True)
class Run:
    """The reports of one run, as far as they are needed to compare it.

    Attributes:
        name: as people know it, such as `HEAD (30ddcf46)`.
        claims: of claims.json.
        receipts: stage → receipt.
        seed_freedom: degrees of freedom of the spread over training seeds; 0 where no SAE was trained from two seeds.
    """

    name: str
    claims: Content
    receipts: dict[str, Content]
    seed_freedom: int

    @property
    def profile(self) -> str:
        return self.claims["profile"]

    @property
    def judged(self) -> dict[str, Content]:
        """Claim, or prediction that was judged → its row, as `judged_rows`."""
        return {row["id"]: row for row in judged_rows(self.claims)}

    def parameters(self, stages: Collection[str]) -> dict[str, str]:
        """Dotted name → text, of every parameter that one of these stages read, by the receipts."""
        return {name: text for stage in stages for name, text in flat(self.receipts[stage]["params"])}


def run_of(name: str, root: Path, profile: str) -> Run | None:
    """The run of a profile that a folder with `reports/` or else a git revision holds; None where it holds none.

    Raises:
        NoRunError: it is neither.
        ArtifactError: it holds a file that is not valid JSON; or nothing is committed here.
    """
    if (Path(name) / REPORTS).is_dir():
        return run_of_folder(Path(name), name, profile)
    commit = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if commit is None and name == "HEAD":
        raise ArtifactError(f"{root.resolve()} is no git repository with a commit, so there is no run to compare with")
    if commit is None:
        raise NoRunError(f"{name!r} is neither a git revision here nor a folder that holds {REPORTS}/")
    revision = commit.decode().strip()

    def names(folder: Path) -> list[Path]:
        listed = git(root, "ls-tree", "--name-only", f"{revision}:./{folder.as_posix()}") or b""
        return [folder / line for line in listed.decode().splitlines() if line.endswith(".json")]

    label = revision[:8] if revision.startswith(name) else f"{name} ({revision[:8]})"
    # `./`: root may lie inside a repository
    return read_run(label, profile, names, lambda path: git(root, "show", f"{revision}:./{path.as_posix()}"))


def run_of_folder(folder: Path, name: str, profile: str) -> Run | None:
    """The run of a profile whose reports are in a folder; None where it holds none.

    Raises:
        ArtifactError: it holds a file that is not valid JSON.
    """

    def names(part: Path) -> list[Path]:
        return [part / path.name for path in sorted((folder / part).glob("*.json"))]

    def read(path: Path) -> bytes | None:
        return (folder / path).read_bytes() if (folder / path).is_file() else None

    return read_run(name, profile, names, read)


def read_run(
    name: str, profile: str, names: Callable[[Path], list[Path]], read: Callable[[Path], bytes | None]
) -> Run | None:
    """A run from wherever its files can be listed and read: in its profile's folder, or as before there was one.

    Args:
        names: the JSON files of a folder.
        read: the bytes of a file; None where there is none.
    """

    def content(path: Path) -> Content:
        try:
            return json.loads(read(path) or b"")
        except ValueError as error:
            raise ArtifactError(f"{path} of {name} is not valid JSON ({error})") from None

    for reports in (reports_of(profile), BEFORE_FOLDERS):
        if read(reports.claims) is not None and (claims := content(reports.claims))["profile"] == profile:
            receipts = {path.stem: content(path) for path in names(reports.receipts)}
            hookpoints = (content(path) for path in names(reports.decomposition))
            return Run(name, claims, receipts, seed_freedom(hookpoints))
    return None


def seed_freedom(hookpoints: Iterable[Content]) -> int:
    """One less than there are SAEs that differ in their seed alone, for each set of these.

    Args:
        hookpoints: results of the decomposition.
    """
    groups = (group for result in hookpoints for group in seed_groups(result["saes"], lambda sae, key: sae[key]))
    return sum(len(group) - 1 for group in groups)
