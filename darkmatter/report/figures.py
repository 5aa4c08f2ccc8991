"""Figures and tables of the page: a drawing or rows, the numbers behind them, and what made these."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from darkmatter.figures import FigureModule
from darkmatter.report.numbers import estimate_text
from darkmatter.report.sources import Provenance, results_shown
from darkmatter.report.svg import Drawings
from darkmatter.results.headline import METRICS
from darkmatter.storage.artifacts import read_json, sha256_file

PIXELS_PER_POINT = 96 / 72
OURS = "ours"  # how `paper` of a figure that the paper lacks begins
SHORT = 30  # words of a first sentence that stands in the open
Content = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """The folder of figures of one run, and what its receipts say."""

    folder: Path
    provenance: Provenance

    def has(self, entry: FigureModule) -> bool:
        path = self.folder / f"{entry.id}.json"
        return path.is_file() and "not_drawn" not in read_json(path)


def shown_figure(entry: FigureModule, here: Drawn, others: Sequence[Drawn], drawings: Drawings) -> Content:
    """One figure or table; of an experiment of ours that is off here, that of the first other run that has it."""
    ours = entry.paper.startswith(OURS) and not here.has(entry)
    found = next((other for other in others if ours and other.has(entry)), here)
    return figure_content(entry, found.folder, found.provenance, drawings)


def figure_content(entry: FigureModule, folder: Path, provenance: Provenance, drawings: Drawings) -> Content:
    """One figure or table.

    Args:
        drawings: the page's, which it joins.
    """
    path = folder / f"{entry.id}.json"
    results = results_shown(entry.id)
    data, from_sums = read_json(path), f"derive {' '.join(results)}"
    lead, rest = first_sentence(entry.caption)
    result = {
        "id": entry.id,
        "title": entry.title,
        "lead": lead,
        "rest": rest,
        "short": len(lead.split()) <= SHORT,
        "paper": entry.paper,
        "profile": provenance.profile,
        "is_table": entry.is_table,
        "wide": False,
        "numbers": None,
        "not_drawn": data.get("not_drawn"),
        "note": data.get("note"),
        "data": data,
        "hashes": {path.name: sha256_file(path)},
        "stale": provenance.why_stale(results, "figures"),
        "made_by": provenance.made_by(
            [*results, "figures"],
            [f"derive {entry.id} --values", from_sums],  # from the results; these from their sums
            data.get("hookpoint"),
        ),
    }
    if entry.is_table:
        return result
    svg = folder / f"{entry.id}.svg"
    text, drawn = svg.read_text(encoding="utf-8"), "not_drawn" not in data
    says = data.get("finding", entry.title)
    label = f"{says} Its numbers are in figures/{entry.id}.json." if drawn else f"{entry.title}: not drawn."
    return result | {
        "numbers": numbers_of(data) if drawn else None,
        "svg": Markup(drawings.add(entry.id, text, data, label)),  # noqa: S704 - of drawing elements alone
        "wide": wide(text),
        "hashes": result["hashes"] | {svg.name: sha256_file(svg)},
    }


def first_sentence(text: str) -> tuple[str, str]:
    """The first sentence, and what follows. Sentences that go from panel to panel stay together."""
    lead, *rest = re.split(r"(?<=\.) (?=[A-Z])(?!(?:Middle|Right|Bottom)\b)", text, maxsplit=1)
    return lead, "".join(rest)


def numbers_of(data: Content) -> Content | None:
    """The values of a map or of Fig. 1 as a table, for those who cannot hover; None for the other figures."""
    points = data.get("points") or [*data.get("saes", []), *data.get("other_seeds", [])]
    columns = [name for name in METRICS if points and all(isinstance(point.get(name), dict) for point in points)]
    if not columns or not all("l0" in point for point in points):
        return None
    return {
        "columns": ["SAE", "width", "L0", *(METRICS[name] for name in columns)],
        "rows": [
            [point["name"], point["d_sae"], point["l0"], *(estimate_text(point[name]) for name in columns)]
            for point in points
        ],
    }


def wide(text: str) -> bool:
    """Whether an SVG is as wide as a page."""
    size = re.search(r'<svg[^>]*? width="([\d.]+)pt"', text)
    return size is not None and float(size[1]) * PIXELS_PER_POINT > 400
