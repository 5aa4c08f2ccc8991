"""What the report says, gathered from results, figures and receipts into plain values for the template.

Nothing here is a finding of its own: every sentence and number comes from the files that it is given.
"""

import base64
import re
from pathlib import Path
from typing import Any

from darkmatter.artifacts import read_json, sha256_file
from darkmatter.conventions import CONVENTIONS
from darkmatter.figures import FIGURES, Entry
from darkmatter.headline import METRICS, headline_sentences, span
from darkmatter.params import Params
from darkmatter.report.claims import claims_content
from darkmatter.results import Results, Sae, estimate
from darkmatter.splits import SPLITS

PIXELS_PER_POINT = 96 / 72
Content = dict[str, Any]


def report_content(
    params: Params,
    results: Results,
    figures: Path,
    claims: Content,
    lemmas: Content,
    data: Content,
    receipts: dict[str, Content],
) -> Content:
    """Everything the template shows.

    Args:
        figures: the folder of SVG and JSON files.
        claims: content of claims.json.
        lemmas: content of lemmas.json: the rows, and how the Monte Carlo was made.
        data: content of data.json: model, corpus, tokens.
        receipts: stage name → receipt; a missing one leaves its cells empty.
    """
    entries = [figure_content(entry, figures, receipts.get("figures")) for entry in FIGURES]
    return {
        "profile": params.profile,
        "model": data["model"]["label"],
        "headline": headline_sentences(results, params),
        "claims": claims_content(claims),
        "variants": [{"split": split, "convention": convention} for split in SPLITS for convention in CONVENTIONS],
        "metrics": METRICS,
        "hookpoints": [
            {"hookpoint": hookpoint, "rows": [sae_row(sae) for sae in run["saes"]]}
            for hookpoint, run in results.decomposition.items()
        ],
        "figures": [entry for entry in entries if not entry["is_table"]],
        "tables": [entry for entry in entries if entry["is_table"]],
        "lemmas": lemmas["lemmas"],
        "monte_carlo": lemmas["monte_carlo"],
        "sources": [{"name": name, **source} for name, source in data["corpus"]["sources"].items()],
        "source_model": data["model"],
        "counts": data["tokens"]["counts"],
        "costs": [cost_row(name, receipt) for name, receipt in sorted(receipts.items())],
        "machine": next((receipt["machine"] for _, receipt in sorted(receipts.items())), None),
        "limits": limits(results, params),
    }


def sae_row(sae: Sae) -> Content:
    """One SAE with its metrics under every split and convention, in the order of `variants`."""
    return {
        "name": sae["name"],
        "d_sae": sae["d_sae"],
        "k": sae["k"],
        "l0": sae["l0"],
        "cells": [
            estimate(sae, metric, split=split, convention=convention)
            for metric in METRICS
            for split in SPLITS
            for convention in CONVENTIONS
        ],
    }


def figure_content(entry: Entry, folder: Path, receipt: Content | None) -> Content:
    path = folder / f"{entry.id}.json"
    data = read_json(path)
    found = {
        "id": entry.id,
        "title": entry.title,
        "caption": entry.caption,
        "paper": entry.paper,
        "is_table": entry.is_table,
        "not_drawn": data.get("not_drawn"),
        "note": data.get("note"),
        "data": data,
        "hashes": {path.name: sha256_file(path)},
        "receipt": receipt,
    }
    return found if entry.is_table else found | image(folder / f"{entry.id}.svg", found["hashes"])


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


def cost_row(name: str, receipt: Content) -> Content:
    return {
        "stage": name,
        "seconds": receipt["seconds"],
        "cpu_seconds": receipt["cpu_seconds"],
        "peak_memory_bytes": receipt["peak_memory_bytes"],
        "computed": len(receipt["units"]["computed"]),
        "reused": len(receipt["units"]["reused"]),
        "revision": receipt["revision"],
    }


def limits(results: Results, params: Params) -> list[str]:
    """What these results cannot show; the numbers in it are this run's."""
    runs = results.decomposition.values()
    saes = [sae for run in runs for sae in run["saes"]]
    models = " and ".join(sorted({run["model"] for run in runs}))
    contexts = span([run["contexts"] for run in runs])
    dead = max((sae["dead_latents"] / sae["d_sae"] for sae in saes), default=0.0)
    cells = [cell for sae in saes for cell in sae_row(sae)["cells"]]
    nulls = sum(cell["value"] is None for cell in cells)
    widths = {sae["d_sae"] for sae in saes if sae["group"] == params.figures.widths_group}
    return [
        f"The model is {models}, not one of the paper's (Gemma 2 2B and 9B, Llama 3.1 8B). Nothing here reproduces, or "
        "refutes, a number the paper gives for its own models.",
        f"The SAEs saw {span([sae['train_tokens'] for sae in saes])} tokens each. Undertrained wide SAEs lie above "
        "the curve that longer training would give, which raises the fitted asymptote.",
        f"The evaluation has {contexts} contexts. Intervals resample contexts; they hold neither the noise of the "
        "fitted regressions nor that of an SAE's training seed.",
        f"The power law is fitted to {len(widths)} widths. Its interval follows from the scatter around the curve, "
        "assumes that the law holds, and can reach 0.",
        f"Up to {dead:.0%} of an SAE's latents never fired on the evaluation tokens.",
        "A low norm-test R² does not prove a vector nonlinear, and a high one does not prove it linear.",
        f"{nulls} of the {len(cells)} estimates in the main table are undefined; each says why.",
    ]
