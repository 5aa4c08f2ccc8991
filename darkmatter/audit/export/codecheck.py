"""Draft of a CODECHECK configuration file: what a codechecker would make again, and what people must still fill in.

Specification 2.0 of 2026-09-11: https://codecheck.org.uk/spec/config/2.0/. It belongs to the root of what is checked,
so its paths are relative to the repository.
"""

from pathlib import Path

import yaml

from darkmatter.audit.export.sources import Content, Sources, base, person
from darkmatter.figures import FIGURES
from darkmatter.storage.artifacts import ArtifactError, write_text
from darkmatter.storage.paths import reports_of

NAME = "codecheck.yml"
VERSION = "https://codecheck.org.uk/spec/config/2.0/"
HEADER = """\
# DRAFT made by a program (darkmatter audit export codecheck). Nobody has checked anything: this is no certificate.
# Copy it to the root of the repository, which its paths are relative to, and fill in what `darkmatter_open` lists.
%YAML 1.1
---
"""
DRAFT = "DRAFT made by a program; not a CODECHECK, and nobody has checked this yet."
PLACEHOLDER = "DRAFT: no codechecker yet"
READABLE = (".json", ".svg", ".html")


def build(sources: Sources) -> Content:
    """The content of codecheck.yml. `report`, `certificate` and `check_time` are for the codechecker, and absent."""
    authors = [author_item(author) for author in sources.paper["authors"]]
    content = {
        "version": VERSION,
        "darkmatter_draft": DRAFT,
        "darkmatter_open": [],
        "paper": {"title": sources.paper["title"], "authors": authors, "reference": sources.paper["url"]},
        "manifest": manifest(sources),
        "codechecker": [{"name": PLACEHOLDER}],
        "summary": summary(sources),
    }
    if repository := sources.citation.get("repository-code"):
        content["repository"] = repository
    content["darkmatter_open"] = open_fields(content)
    return content


def author_item(author: Content) -> Content:
    orcid = author.get("orcid", "").removeprefix("https://orcid.org/")
    return {"name": person(author)} | ({"ORCID": orcid} if orcid else {})


def open_fields(content: Content) -> list[str]:
    """What the specification asks for and no file of the repository knows."""
    no_orcid = [author["name"] for author in content["paper"]["authors"] if "ORCID" not in author]
    result = [f"paper.authors: ORCID of {', '.join(no_orcid)}"] if no_orcid else []
    if "repository" not in content:
        result.append("repository: where this repository is published (repository-code in CITATION.cff)")
    return [*result, "codechecker: name and ORCID", "summary", "report", "certificate", "check_time"]


def manifest(sources: Sources) -> list[Content]:
    """Every figure, table and result for readers, with its place in the paper or the stage that writes it.

    Raises:
        ArtifactError: a receipt names an output that is not there.
    """
    folder = reports_of(sources.params["profile"]).figures.as_posix()
    titles = {f"{folder}/{entry.id}": f"{entry.paper}: {entry.title}" for entry in FIGURES}
    items: dict[str, str] = {}
    for receipt in sources.receipts.values():
        made = f"{sources.stages[base(receipt)]['desc']} ({receipt['command']})"
        for output in receipt["outputs"]:
            if output.startswith("data/"):
                continue  # kept by DVC, not part of the repository
            for path in files_of(sources.root, output):
                title = titles.get(path.rsplit(".", 1)[0])
                numbers = "; the numbers it shows" if path.endswith(".json") else ""
                items[path] = f"{title}{numbers} ({receipt['command']})" if title else made
    return [{"file": path, "comment": encodable(comment)} for path, comment in sorted(items.items())]


def files_of(root: Path, output: str) -> list[str]:
    path = root / output
    if not path.exists():
        raise ArtifactError(f"{output} does not exist, though a receipt names it. Run `dvc repro` to make it.")
    result = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return [file.relative_to(root).as_posix() for file in result if file.suffix in READABLE]


def summary(sources: Sources) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in sources.claims["verdicts"].items())
    return encodable(
        f"{DRAFT} What the files themselves say: profile {sources.claims['profile']}, model {sources.claims['model']}; "
        f"verdicts on {sources.claims['tested']} claims: {counts}. `make repro` makes every file of the manifest; "
        f"{reports_of(sources.claims['profile']).receipts}/ has what each stage took. The codechecker writes this "
        "summary anew."
    )


def encodable(text: str) -> str:
    """JSON can hold a lone surrogate, YAML cannot: its escape stands for it."""
    return text.encode("utf-8", "backslashreplace").decode()


def write(out: Path, sources: Sources) -> list[Path]:
    path = out / NAME
    write_text(path, HEADER + yaml.safe_dump(build(sources), sort_keys=False, allow_unicode=True, width=120))
    return [path]
