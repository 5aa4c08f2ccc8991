"""Readers: how one package of text becomes documents.

A document is a chapter, an article pack, a file; its `source` is the unit that may not stand on both sides of
train and eval: the book, the pack, the file, the country. Readers are pure functions of a wheel and its
configuration, so documents come in the same order with the same identifiers everywhere.
"""

import hashlib
import html
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from darkmatter.params.data import Source
from darkmatter.sources.packages import Archive
from darkmatter.storage.artifacts import ArtifactError

HEADING = re.compile(
    r"(?:chapter|part|book|letter)\s+(?:\d+|[ivxlc]+)\b.{0,60}"  # Chapter 12, CHAPTER XII. THE LOCKED DOOR
    r"|[IVXLC]+\.?"
    r"|(?-i:[A-Z][A-Z0-9 ,.;:'\"!?&()-]{2,79})",  # a title in capitals
    re.IGNORECASE,
)
BOOK_CHARACTERS = 50_000  # a shorter text is one document: its headings are those of a licence or an essay
CHAPTER_CHARACTERS = 500  # a shorter chapter is a title or motto: it goes with the text that follows it
TEMPLATE_MARK = re.compile(r"<<(?:var;.*?original=(.*?);match=.*?|beginOptional.*?|endOptional)>>", re.DOTALL)
SYNTHETIC_WORDS = 400
SYNTHETIC_CHARACTERS = (60, 1500)  # per document; some are shorter than a context, as in life


@dataclass(frozen=True)
class Document:
    """One text. `origin` is the file in the package, with its chapter, or the topic of a pack."""

    id: str
    source: str
    origin: str
    text: str


def read_files(name: str, source: Source, archive: Archive) -> Iterator[Document]:
    """Text files: one document per chapter of a book, per piece of `piece_characters`, or else per file."""
    for member in archive.select(source.include, source.exclude):
        text = TEMPLATE_MARK.sub(lambda mark: mark[1] or "", archive.text(member)).strip("\n")
        book = len(text) >= BOOK_CHARACTERS and not member.endswith(".py")
        parts = chapters(text) if book else [text]
        if source.piece_characters:
            stanzas = (stanza for part in parts for stanza in re.split(r"\n\s*\n", part))
            parts = list(pieces(stanzas, source.piece_characters))
        unit = f"{name}/{PurePosixPath(member).with_suffix('').as_posix()}"
        for number, part in enumerate(parts):
            yield Document(unit if len(parts) == 1 else f"{unit}#{number:03d}", unit, member, part)


def chapters(text: str) -> list[str]:
    """Cut a text at its headings: lines such as `Chapter 7`, `IV.` or `THE DEAD` with blank lines around them."""
    lines = text.split("\n")
    blank = [not line.strip() for line in lines]
    starts = [
        row
        for row, line in enumerate(lines)
        if HEADING.fullmatch(line.rstrip())
        and (row == 0 or blank[row - 1])
        and (row + 1 < len(lines) and blank[row + 1])
    ]
    cuts = sorted({0, *starts, len(lines)})
    results = []
    waiting = ""
    for begin, end in itertools.pairwise(cuts):
        waiting += "\n".join(lines[begin:end]) + "\n"
        if len(waiting) >= CHAPTER_CHARACTERS:
            results.append(waiting.strip("\n"))
            waiting = ""
    if waiting.strip():
        results.append(waiting.strip("\n"))
    return results


def pieces(parts: Iterable[str], characters: int) -> Iterator[str]:
    """Join neighbouring parts with blank lines; a piece ends as soon as it has `characters` characters."""
    waiting: list[str] = []
    length = 0
    for part in parts:
        if not part.strip():
            continue
        waiting.append(part.strip("\n"))
        length += len(waiting[-1]) + 2
        if length - 2 >= characters:
            yield "\n\n".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield "\n\n".join(waiting)


def read_wiki(name: str, source: Source, archive: Archive) -> Iterator[Document]:
    """Lead sections of an encyclopaedia, `pack` neighbours of one topic to a document."""
    topics: dict[str, list[str]] = {}
    for member in archive.select(source.include, source.exclude):
        for article in read_json_member(archive, member).values():
            if article["extract"].strip():
                text = f"{article['title']}\n\n{article['extract'].strip()}"
                topics.setdefault(article["topic"] or "Uncategorized", []).append(text)
    for topic in sorted(topics):
        yield from packs(f"{name}/{slug(topic)}", topic, topics[topic], source.pack, "\n\n\n")


def read_recipes(name: str, source: Source, archive: Archive) -> Iterator[Document]:
    """Recipes, `pack` neighbours of the alphabet to a document, so that variants of a dish stay together."""
    for member in archive.select(source.include, source.exclude):
        recipes = [recipe_text(recipe) for _, recipe in sorted(read_json_member(archive, member).items())]
        yield from packs(name, member, [text for text in recipes if text], source.pack, "\n\n\n")


def recipe_text(recipe: dict[str, Any]) -> str:
    if not recipe["steps"]:
        return ""
    facts = [f"{key.capitalize()}: {recipe[key]}" for key in ("category", "servings", "time") if recipe[key]]
    ingredients = ["Ingredients", *(f"- {line}" for line in recipe["ingredients"])]
    steps = ["Procedure", *(f"{number}. {line}" for number, line in enumerate(recipe["steps"], 1))]
    blocks = [[recipe["title"], *facts], ingredients if recipe["ingredients"] else [], steps]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def packs(prefix: str, origin: str, texts: list[str], size: int, joint: str) -> Iterator[Document]:
    for number, begin in enumerate(range(0, len(texts), size)):
        unit = f"{prefix}/{number:04d}"
        yield Document(unit, unit, origin, joint.join(texts[begin : begin + size]))


def read_factbook(name: str, source: Source, archive: Archive) -> Iterator[Document]:
    """Nested JSON about one country per file; neighbouring sections join up to `piece_characters`."""
    for member in archive.select(source.include, source.exclude):
        sections = [f"{title}\n\n{flat}" for title, flat in sections_of(read_json_member(archive, member))]
        unit = f"{name}/{PurePosixPath(member).stem}"
        texts = list(pieces(sections, source.piece_characters)) if source.piece_characters else ["\n\n".join(sections)]
        for number, text in enumerate(texts):
            yield Document(f"{unit}#{number:02d}", unit, member, text)


def sections_of(country: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for title, content in country.items():
        yield title, "\n".join(flatten(content))


def flatten(content: Any, label: str = "") -> Iterator[str]:
    """Lines `label: text` of a tree whose leaves hold HTML; the key `text` names its parent's own text."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from flatten(value, label if key == "text" else f"{label} - {key.strip()}" if label else key.strip())
    elif text := strip_html(str(content)):
        yield f"{label}: {text}" if label else text


def strip_html(text: str) -> str:
    text = re.sub(r"<(?:br|/p|/li)\s*/?>", "\n", text, flags=re.IGNORECASE)
    text = html.unescape(re.sub(r"<[^>]+>", "", text)).replace("\xa0", " ")
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[ \t]+", " ", text)).strip()


def read_synthetic(name: str, source: Source, archive: None) -> Iterator[Document]:
    """Words of a made-up vocabulary with Zipf frequencies, two documents to a source. The name is the seed.

    Raises:
        ArtifactError: `max_characters`, which says how much to write, is missing.
    """
    if source.max_characters is None:
        raise ArtifactError(f"corpus.sources.{name}: reader synthetic needs max_characters. Set it in conf/profile/.")
    seed = int.from_bytes(hashlib.sha256(f"{name}\n{source.domain}".encode()).digest()[:8], "big")
    random = np.random.Generator(np.random.PCG64(seed))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(random.choice(letters, random.integers(2, 9))) for _ in range(SYNTHETIC_WORDS)])
    share = 1 / np.arange(1, SYNTHETIC_WORDS + 1)
    written = number = 0
    while written < source.max_characters:
        length = int(random.integers(*SYNTHETIC_CHARACTERS))
        text = " ".join(random.choice(words, length // 3, p=share / share.sum()))[:length]
        yield Document(f"{name}/{number:04d}", f"{name}/{number // 2:04d}", "synthetic", text)
        written += len(text)
        number += 1


def read_json_member(archive: Archive, member: str) -> dict[str, Any]:
    try:
        content = json.loads(archive.text(member))
    except ValueError as error:
        raise ArtifactError(f"{archive.path.name}: {member} is not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ArtifactError(f"{archive.path.name}: {member} holds a {type(content).__name__}, expected an object")
    return content


def slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


READERS: dict[str, Callable[[str, Source, Any], Iterator[Document]]] = {
    "files": read_files,
    "wiki": read_wiki,
    "factbook": read_factbook,
    "recipes": read_recipes,
    "synthetic": read_synthetic,
}
