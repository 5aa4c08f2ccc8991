"""What the exports are made from: receipts, DVC's lock, parameters, claims and the citation file, read once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from darkmatter.audit.lock import LOCK
from darkmatter.storage import safe_yaml
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.paths import reports_of

Content = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """What an export is made of, as the repository has it.

    Attributes:
        root: the repository.
        receipts: stage → receipt, of the profile in params.yaml, in the order of dvc.yaml.
        stages: dvc.yaml's stages → their description and command (a `foreach` stage once).
        locked: path → the lock's entry for it (md5, size), inputs and outputs alike.
        params, claims, citation: content of params.yaml, claims.json, CITATION.cff.
    """

    root: Path
    receipts: dict[str, Content]
    stages: dict[str, Content]
    locked: dict[str, Content]
    params: Content
    claims: Content
    citation: Content

    @property
    def paper(self) -> Content:
        """The article: the first reference of the citation file."""
        return self.citation["references"][0]


def read_sources(root: Path) -> Sources:
    """Read receipts, pipeline, lock, parameters, claims and citation.

    Raises:
        ArtifactError: something is missing or not readable, or there is no receipt of this profile.
    """
    params = read_yaml(root / "params.yaml")
    stages = {
        name: {"desc": body["desc"], "cmd": body["cmd"]}
        for name, item in read_yaml(root / "dvc.yaml")["stages"].items()
        for body in [item.get("do", item)]
    }
    order = {name: place for place, name in enumerate(stages)}
    reports = reports_of(params["profile"])
    results = [read_json(path) for path in sorted((root / reports.receipts).glob("*.json"))]
    mine = [receipt for receipt in results if base(receipt) in order]
    if not mine:
        raise ArtifactError(f"{reports.receipts} has no receipts. Run `make repro` to make them.")
    for receipt in mine:
        refuse_outside(receipt)
    receipts = {receipt["stage"]: receipt for receipt in sorted(mine, key=lambda receipt: order[base(receipt)])}
    entries = read_yaml(root / LOCK).get("stages", {}).values()
    locked = {item["path"]: item for kind in ("deps", "outs") for entry in entries for item in entry.get(kind, [])}
    claims = read_json(root / reports.claims)
    return Sources(root, receipts, stages, locked, params, claims, read_yaml(root / "CITATION.cff"))


def read_yaml(path: Path) -> Content:
    try:
        return safe_yaml.read(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: run this in the repository, after `make repro`") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArtifactError(f"{path} is not valid YAML ({error}). Restore it with `git checkout`.") from None


def refuse_outside(receipt: Content) -> None:
    """A receipt names files of the repository: an export must neither read nor write elsewhere."""
    for path in [*receipt["inputs"], *receipt["outputs"]]:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ArtifactError(
                f"the receipt of {receipt['stage']} names {path!r}, which is outside the repository. "
                f"Run `dvc repro -f {receipt['stage']}` to write it anew."
            )


def base(receipt: Content) -> str:
    """The stage of dvc.yaml that a receipt is of: `decomposition@resid_post.14` ran `decomposition`."""
    return receipt["stage"].split("@", 1)[0]


def person(author: Content) -> str:
    return author.get("name") or f"{author['given-names']} {author['family-names']}"


def interval(receipt: Content) -> tuple[str, str]:
    """Start and end of a stage's run, ISO 8601 in UTC."""
    start = datetime.strptime(receipt["started"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return start.isoformat(), (start + timedelta(seconds=receipt["seconds"])).isoformat(timespec="seconds")
