"""Figures and tables of the page: an image or rows, the numbers behind them, and what made these."""

import base64
import re
from pathlib import Path
from typing import Any

from darkmatter.experiments.registry import needs_data
from darkmatter.figures import FigureModule
from darkmatter.report.numbers import estimate_text
from darkmatter.report.sources import Provenance, results_shown
from darkmatter.report.specs import spec_of
from darkmatter.storage.artifacts import read_json, sha256_file

PIXELS_PER_POINT = 96 / 72
Content = dict[str, Any]


def figure_content(entry: FigureModule, folder: Path, provenance: Provenance) -> Content:
    path = folder / f"{entry.id}.json"
    results = results_shown(entry.id)
    data, from_sums = read_json(path), f"derive {' '.join(results)}"
    result = {
        "id": entry.id,
        "title": entry.title,
        "caption": entry.caption,
        "paper": entry.paper,
        "is_table": entry.is_table,
        "not_drawn": data.get("not_drawn"),
        "note": data.get("note"),
        "data": data,
        "hashes": {path.name: sha256_file(path)},
        "stale": provenance.why_stale(results, "figures"),
        "made_by": provenance.made_by(
            [*results, "figures"],
            [f"derive {entry.id} --values", from_sums],  # from the results; these from their sums
            data.get("hookpoint"),
            [from_sums] if needs_data(results) else [],
        ),
    }
    if entry.is_table:
        return result
    drawn = "not_drawn" not in data
    return (
        result
        | {"spec": spec_of(entry.id, data) if drawn else None, "numbers": numbers_of(data) if drawn else None}
        | image(folder / f"{entry.id}.svg", result["hashes"])
    )


def numbers_of(data: Content) -> Content | None:
    """The values of a map or of Fig. 1 as a table, for those who cannot hover; None for the other figures."""
    points = data.get("points") or [*data.get("saes", []), *data.get("other_seeds", [])]
    columns = [name for name in METRIC_LABELS if points and all(isinstance(point.get(name), dict) for point in points)]
    if not columns or not all("l0" in point for point in points):
        return None
    return {
        "columns": ["SAE", "width", "L0", *(METRIC_LABELS[name] for name in columns)],
        "rows": [
            [point["name"], point["d_sae"], point["l0"], *(estimate_text(point[name]) for name in columns)]
            for point in points
        ],
    }


METRIC_LABELS = {
    "norm_r2": "R² of the error norm",
    "vector_r2": "R² of the error vector",
    "fvu": "FVU",
    "fvu_nonlinear": "FVU_nonlinear",
}


def image(path: Path, hashes: dict[str, str]) -> Content:
    """An SVG as the data URI of an <img>, where no script in it could run, and its size in CSS pixels."""
    text = path.read_text(encoding="utf-8")
    size = re.search(r'<svg[^>]*? height="([\d.]+)pt"[^>]*? width="([\d.]+)pt"|<svg[^>]*? width="([\d.]+)pt"', text)
    width = float(size.group(2) or size.group(3)) if size else 500.0
    return {
        "uri": "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode(),
        "wide": width * PIXELS_PER_POINT > 400,
        "hashes": hashes | {path.name: sha256_file(path)},
    }
