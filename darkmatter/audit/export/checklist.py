"""Draft of a reproducibility checklist in Markdown, after the machine learning reproducibility checklist (Pineau 2021).

Every answer names the files it is from. What no file of the repository answers is left to the author.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.audit.export.questions import QUESTIONS
from darkmatter.audit.export.sources import NOT_STATED, Sources
from darkmatter.storage.artifacts import write_text

NAME = "reproducibility-checklist.md"
DRAFT = "DRAFT made by a program from the files of this repository. Nobody has checked it, and it certifies nothing."


@dataclass(frozen=True)
class Item:
    """
    Attributes:
        answer: plain text, one paragraph or one line for each point; None: no file of the repository says.
        files: where the answer is from.
    """

    section: str
    question: str
    answer: str | list[str] | None
    files: tuple[str, ...] = ()


def build(sources: Sources) -> list[Item]:
    """Every question of `questions.py`, answered from the repository."""
    return [Item(section, question, *answer(sources)) for section, question, answer in QUESTIONS]


def render(items: Iterable[Item]) -> str:
    """Markdown. All text is escaped: names and titles in the answers stay text."""
    lines = [f"**{DRAFT}**", "", "# Reproducibility checklist", ""]
    section = None
    for item in items:
        if item.section != section:
            section = item.section
            lines += [f"## {escape(section)}", ""]
        lines += [f"**{escape(item.question)}**", ""]
        points = [item.answer] if isinstance(item.answer, str) else item.answer or [NOT_STATED]
        lines += [escape(points[0])] if len(points) == 1 else [f"- {escape(point)}" for point in points]
        if item.files and item.answer:
            lines += ["", f"*From: {', '.join(escape(file) for file in item.files)}*"]
        lines.append("")
    return "\n".join(lines)


def escape(text: Any) -> str:
    """Text as Markdown that shows the same characters, on one line; what cannot be seen is shown as its escape."""
    visible = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in str(text)).strip()
    inline = re.sub(r"([\\\\`*_\[\]<>#|~&!$])", r"\\\1", visible)
    return re.sub(
        r"^([-+=:]|\d+(?=[.)](?:\s|$)))",
        lambda start: start[1] + "\\" if start[1].isdigit() else "\\" + start[1],
        inline,
    )


def write(out: Path, sources: Sources) -> list[Path]:
    path = out / NAME
    write_text(path, render(build(sources)))
    return [path]
