"""What the report says, gathered from results, figures and receipts into plain values for the template.

Nothing here is a finding of its own: every sentence and number comes from the files that it is given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from darkmatter.figures import FIGURES
from darkmatter.ledger.claims import Ledger
from darkmatter.ledger.verdicts import subject_of
from darkmatter.params.conventions import CONVENTIONS
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.report.claims import claims_content, judged_now
from darkmatter.report.compared import compared_content, judged_rows
from darkmatter.report.editions import editions_content
from darkmatter.report.errata import errata, inconsistent
from darkmatter.report.families import families_content
from darkmatter.report.figures import Drawn, shown_figure
from darkmatter.report.nulls import nulls_content
from darkmatter.report.predictions import predictions_content
from darkmatter.report.sources import Provenance, short_revision
from darkmatter.report.story import story
from darkmatter.report.summary import duration, total_seconds
from darkmatter.report.svg import Drawings
from darkmatter.report.tokens import tokens_content
from darkmatter.results.headline import METRICS, span
from darkmatter.results.load import Results, Sae, estimate

Content = dict[str, Any]


def report_content(
    params: Params,
    results: Results,
    figures: Path,
    claims: Content,
    lemmas: Content,
    data: Content,
    tokens: Content,
    ledger: Ledger,
    provenance: Provenance,
    families: Sequence[Content] = (),
    compared: Mapping[str, Content] | None = None,
    elsewhere: Sequence[Drawn] = (),
) -> Content:
    """Everything the template shows.

    Args:
        figures: the folder of SVG and JSON files.
        claims: content of claims.json.
        lemmas: content of lemmas.json: the rows, and how the Monte Carlo was made.
        data: content of data.json: model, corpus, tokens.
        tokens: content of token_view.json.
        ledger: claims and errata, as people wrote them.
        provenance: what receipts and lock say; without receipts its places say so.
        families: runs of other profiles.
        compared: name → kept comparison of two runs of this profile.
        elsewhere: figures of other profiles.
    """
    receipts, drawings = provenance.receipts, Drawings()
    claims, model = judged_now(claims, provenance), data["model"]["label"]
    machine = next((receipt["machine"] for _, receipt in sorted(receipts.items())), None)
    entries = {entry.id: shown_figure(entry, Drawn(figures, provenance), elsewhere, drawings) for entry in FIGURES}
    return {
        "profile": params.profile,
        "revision": short_revision(receipts["claims"]["revision"]) if "claims" in receipts else None,
        "story": story(params, results, claims, data["model"], families, entries),
        "letters": Markup(drawings.letters),  # noqa: S704 - of drawing elements alone
        "colours": drawings.style,
        "claims": claims_content(claims, provenance),
        "nulls": nulls_content(claims["claims"]),
        "predictions": predictions_content(claims, families),
        "families": families_content(claims, model, families),
        "compared": compared_content(compared or {}, judged_rows(claims)),
        "variants": [{"split": split, "convention": convention} for split in SPLITS for convention in CONVENTIONS],
        "metrics": METRICS,
        "hookpoints": [
            {"hookpoint": hookpoint, "rows": [sae_row(sae) for sae in run["saes"]]}
            for hookpoint, run in results.decomposition.items()
        ],
        "results_made_by": provenance.made_by(["decomposition", "results"], ["derive decomposition --values"]),
        "tokens": tokens_content(tokens),
        "tokens_made_by": provenance.made_by(["token_view"], ["rerun token_view"]),
        "lemmas": lemmas["lemmas"],
        "monte_carlo": lemmas["monte_carlo"],
        "lemmas_made_by": provenance.made_by(["lemmas"], ["derive lemmas --values"]),
        "editions": editions_content(ledger),
        "errata": errata(ledger),
        "inconsistent": inconsistent(claims["claims"], ledger),
        "sources": [{"name": name, **source} for name, source in data["corpus"]["sources"].items()],
        "source_model": data["model"],
        "counts": data["tokens"]["counts"],
        "data_made_by": provenance.made_by(["tokens", "corpus", "model"], ["rerun tokens"]),
        "stages": provenance.cards(),
        "total_time": duration(total_seconds(receipts)),
        "machine": machine,
        "libraries": next((receipt["libraries"] for _, receipt in sorted(receipts.items())), {}),
        "limits": limits(results, params),
    }


def sae_row(sae: Sae) -> Content:
    """One SAE with its metrics under every split and convention, in the order of `variants`."""
    return {
        "name": sae["name"],
        "d_sae": sae["d_sae"],
        "k": sae["k"] if sae["train_tokens"] else None,  # of a published one L0 says it
        "l0": sae["l0"],
        "cells": [
            estimate(sae, metric, split=split, convention=convention)
            for metric in METRICS
            for split in SPLITS
            for convention in CONVENTIONS
        ],
    }


def subject_note(models: str, params: Params) -> str:
    """What a claim of the paper may be held against here."""
    subject = subject_of(params)
    if subject.published_saes:
        return (
            f"The model is {models} with published SAEs. A claim about another model or hookpoint is not judged by it."
        )
    return (
        f"The model is {models}, not one of the paper's with its published SAEs (Gemma 2 2B and 9B, Llama 3.1 8B). "
        "Nothing here reproduces, or refutes, a number the paper gives for its own models."
    )


def training_note(saes: list[dict[str, Any]]) -> str:
    trained = [sae["train_tokens"] for sae in saes if sae["train_tokens"]]
    if not trained:
        return "The SAEs are as published: how long each was trained, and on what, is not in these results."
    return (
        f"The SAEs saw {span(trained)} tokens each. Undertrained wide SAEs lie above the curve that longer training "
        "would give, which raises the fitted asymptote."
    )


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
        subject_note(models, params),
        training_note(saes),
        f"The evaluation has {contexts} contexts. Most intervals of figures and tables resample contexts alone. Those "
        "that claims are judged by add the scatter of SAEs or, where the claim has none, that of the training seed "
        "as far as it was measured; claims.json says which lack it. None holds the noise of the fitted regressions.",
        f"The power law is fitted to {len(widths)} widths. Its interval follows from the scatter around the curve, "
        "assumes that the law holds, and can reach 0.",
        f"Up to {dead:.0%} of an SAE's latents never fired on the evaluation tokens.",
        "A low norm-test R² does not prove a vector nonlinear, and a high one does not prove it linear.",
        f"{nulls} of the {len(cells)} estimates in the main table are undefined; each says why.",
    ]
