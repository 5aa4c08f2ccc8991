"""`darkmatter decompose`: the table of one SAE, from activations or a model on disk, without DVC."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.audit.command_line import add_command
from darkmatter.params.types import ParamsError
from darkmatter.saes.l0 import PUBLISHED, around
from darkmatter.storage.artifacts import ArtifactError, sha256_path, write_text

DESCRIPTION = """Split an SAE's error into a linear function of the activation and the rest, and print L0, FVU,
FVU_nonlinear and R² of the error vector and of its norm, with intervals, on held-out tokens and held-out contexts.
"""
FIRST_POSITION = 200  # the paper's
OF_A_MODEL = ("text", "tokens", "revision", "first_position")
OF_ACTIVATIONS = ("mask", "context_ids", "targets")


def add_decompose(commands: argparse._SubParsersAction) -> None:
    """Add `decompose` to the parser of `darkmatter`."""
    parser = add_command(
        commands,
        "decompose",
        "your own model and SAE",
        "--activations acts.npy --sae my_sae",
        DESCRIPTION,
    )
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument(
        "--activations",
        metavar="FILE|FOLDER",
        type=Path,
        help="[context, position, d_model], or [row, d_model]: .npy, .npz, .safetensors, .pt of tensors alone, a "
        "folder of these, or one saved by `datasets`; one of several arrays as FILE:NAME",
    )
    rows.add_argument(
        "--model", metavar="MODEL", help="a folder in transformers' format, or a Hugging Face id in the local cache"
    )
    parser.add_argument(
        "--sae",
        metavar="SAE",
        required=True,
        nargs="+",
        help="a folder, release/id of sae-lens's registry, or org/repo:folder; several of them, or a regular "
        "expression over folders or the registry, share one pass over the activations",
    )
    parser.add_argument(
        "--targets",
        metavar="FILE|FOLDER",
        type=Path,
        help="of a transcoder: what it is to give for the rows of --activations, in the same form",
    )
    parser.add_argument(
        "--hookpoint", metavar="HOOKPOINT", help="such as resid_post.12 (default: the one the SAE names)"
    )
    parser.add_argument("--revision", metavar="COMMIT", help="commit of a Hugging Face id, 40 hex digits")
    words = parser.add_mutually_exclusive_group()
    words.add_argument(
        "--text", metavar="FILE|FOLDER", type=Path, help="a file, one document per line, or a folder, one per file"
    )
    words.add_argument(
        "--tokens",
        metavar="FILE",
        type=Path,
        help=".npy of integers [context, position] (default: data/tokens/eval.npy)",
    )
    parser.add_argument("--contexts", metavar="N", type=positive, help="use the first so many")
    parser.add_argument(
        "--context-length",
        metavar="N",
        type=positive,
        help="tokens of a context of --text (1024), or rows of one of --activations",
    )
    parser.add_argument(
        "--mask",
        "--attention-mask",
        metavar="FILE",
        type=Path,
        help="of --activations: .npy [context, position], 1 for each row that counts, 0 for padding; `none` takes all "
        "rows, even those that look like padding",
    )
    parser.add_argument(
        "--context-ids",
        metavar="FILE",
        type=Path,
        help="of --activations [row, d_model]: .npy [row], the context of each row",
    )
    parser.add_argument(
        "--first-position",
        metavar="N",
        type=int,
        help="first token kept of a context of --model (200, the paper's)",
    )
    parser.add_argument(
        "--outlier-norm-ratio",
        metavar="RATIO",
        type=float,
        help="leave out rows with more than so many median norms (default: none)",
    )
    parser.add_argument(
        "--max-fvu", metavar="FVU", type=float, default=1.0, help="refuse an SAE with this FVU on a sample (1)"
    )
    parser.add_argument("--convention", choices=("paper", "authors"), default="paper", help="of the table (paper)")
    parser.add_argument(
        "--threads", metavar="N", type=positive, help="1 gives the bits of the pipeline (default: as torch has it)"
    )
    parser.add_argument(
        "--device", metavar="DEVICE", default="cpu", help="cpu (default), cuda, cuda:N: where to compute"
    )
    parser.add_argument(
        "--parts", metavar="FOLDER", type=Path, help="keep the error of each row and its two parts there, as .npy"
    )
    parser.add_argument(
        "--saebench", metavar="FOLDER", type=Path, help="write each result there in the schema of SAEBench's `core`"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the whole result there, as JSON")
    parser.add_argument("--figure", metavar="FILE", type=Path, help="draw both parts of the error there, as SVG")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, no table")
    parser.set_defaults(run=run)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return number


def run(given: argparse.Namespace) -> int:
    """The exit code: 0, or 1 with the error on standard error."""
    try:
        check_written("--out", given.out)
        check_written("--figure", given.figure)
        if given.figure:
            import matplotlib  # noqa: F401 - where it is not installed, that is said before the long work
        if given.saebench and given.saebench.exists() and not given.saebench.is_dir():
            raise ArtifactError(f"--saebench {given.saebench} is a file; give the name of a folder")
        result = decomposed(given)
        if given.out:
            write_text(given.out, result.to_json())
        if given.figure:
            from darkmatter.api.frames import write_plot  # seconds that only who draws waits for
            from darkmatter.api.result import Decomposed

            drawn = {given.sae[0]: result} if isinstance(result, Decomposed) else result
            write_plot(given.figure, drawn, given.convention)
        if given.saebench:
            from darkmatter.api.saebench import write_all

            write_all(result, given.saebench)
    except (ArtifactError, ParamsError, OSError) as error:
        print(json.dumps({"error": str(error)}) if given.json else f"error: {error}", file=sys.stderr)
        return 1
    print(result.to_json() if given.json else result.table(given.convention), end="" if given.json else "\n")
    return 0


def check_written(option: str, path: Path | None) -> None:
    """Refuse a file in no folder, and a folder, before the long work."""
    if path and not path.resolve().parent.is_dir():
        raise ArtifactError(f"{option} {path}: there is no such folder")
    if path and path.is_dir():
        raise ArtifactError(f"{option} {path} is a folder; give the name of a file in it")


def decomposed(given: argparse.Namespace) -> Any:
    from darkmatter.api.choose_saes import choose, short_names
    from darkmatter.api.decompose import decompose  # torch: seconds that `darkmatter --help` does not pay
    from darkmatter.api.masks import NONE
    from darkmatter.models.device import usable

    usable(given.device)
    if given.activations:
        if other := [name for name in OF_A_MODEL if getattr(given, name) is not None]:
            raise ArtifactError(f"--{other[0].replace('_', '-')} is about --model; --activations are taken as they are")
        files = files_of(given)
    elif other := [name for name in OF_ACTIVATIONS if getattr(given, name) is not None]:
        raise ArtifactError(f"--{other[0].replace('_', '-')} is about the rows of --activations; --model makes its own")
    if given.tokens and given.context_length is not None:
        raise ArtifactError(
            "--context-length is about --text, or rows of --activations; --tokens has contexts of its own"
        )
    references, many = choose(given.sae)
    names = short_names(references) if many else [""]
    saes = {name: load(reference, given) for name, reference in zip(names, references, strict=True)}
    facts = {
        name: {"reference": reference, "architecture": sae.architecture, **sae.source}
        for (name, sae), reference in zip(saes.items(), references, strict=True)
    }
    options = {"max_fvu": given.max_fvu, "threads": given.threads, "device": given.device, "progress": True}
    options |= {"outlier_norm_ratio": given.outlier_norm_ratio, "parts": given.parts}
    if given.activations:
        source = {"activations": given.activations.as_posix(), "sha256": sha256_path(files.pop("activations"))}
        source |= {name: {"file": path.as_posix(), "sha256": sha256_path(path)} for name, path in files.items()}
        rows: Any = given.activations
        options |= {"context_length": given.context_length, "contexts": given.contexts, "targets": given.targets}
        options |= {"mask": given.mask, "context_ids": given.context_ids}
        places = {name: given.hookpoint or sae.hookpoint for name, sae in saes.items()}
    with tempfile.TemporaryDirectory(prefix="decompose-") as work:
        if given.model:
            rows, source, place = model_rows(given, saes, Path(work))
            options["mask"] = NONE  # whole contexts of tokens
            places = dict.fromkeys(saes, place)
        labels = {name: {"sae": facts[name], "rows": source, "hookpoint": places[name]} for name in saes}
        objects = {name: sae.sae for name, sae in saes.items()}
        if many:
            result = decompose(rows, objects, **options, source=labels)
        else:
            result = decompose(rows, objects[""], **options, source=labels[""])
    for name, one in result.items() if many else (("", result),):
        for warning in [*one.notes, *warnings(given, saes[name], one.l0)]:
            print(f"note: {': '.join(filter(None, (name, warning)))}", file=sys.stderr)
    return result


def load(reference: str, given: argparse.Namespace) -> Any:
    """An SAE, or with --targets a transcoder."""
    from darkmatter.api.checks import GIVE_TARGETS
    from darkmatter.saes.published.load import load_pretrained
    from darkmatter.saes.published.options import TRANSCODER
    from darkmatter.saes.published.transcoders import load_transcoder

    if given.targets:
        return load_transcoder(reference)
    try:
        return load_pretrained(reference)
    except ArtifactError as error:
        if TRANSCODER in str(error):
            raise ArtifactError(f"{str(error).rstrip('.')}. {GIVE_TARGETS}") from None
        raise


def files_of(given: argparse.Namespace) -> dict[str, Path]:
    """The files of --activations, --targets, --mask and --context-ids that were given."""
    from darkmatter.api.containers import split_name
    from darkmatter.api.masks import NONE

    files = {"activations": split_name(given.activations)[0], "mask": given.mask, "context_ids": given.context_ids}
    files["targets"] = split_name(given.targets)[0] if given.targets else None
    files = {name: path for name, path in files.items() if path is not None and (name, str(path)) != ("mask", NONE)}
    for name, path in files.items():
        if not path.exists():
            raise ArtifactError(f"--{name.replace('_', '-')} {path} does not exist")
    return files


def model_rows(given: argparse.Namespace, saes: dict[str, Any], work: Path) -> tuple[Any, dict[str, Any], str]:
    """Activations as an iterator, what they come from, and their hookpoint; all that can be refused early is."""
    from darkmatter.api import decompose
    from darkmatter.api.checks import check_enough
    from darkmatter.api.model_rows import check_hookpoint, open_model, read_rows
    from darkmatter.api.model_tokens import make_tokens
    from darkmatter.text.tokens import array_sha256

    model = open_model(given.model, given.revision, work)
    places = {given.hookpoint or sae.hookpoint for sae in saes.values()}
    if len(places) > 1:
        raise ArtifactError(f"the SAEs are of several hookpoints ({', '.join(map(str, places))}): one at a time")
    hookpoint = check_hookpoint(places.pop(), model)
    width = model.width(hookpoint)
    for sae in saes.values():
        if sae.d_model != width:
            raise ArtifactError(f"the SAE has d_model {sae.d_model}, {given.model} {width}: it is another model's")
    tokens = work / "tokens.npy"
    length = given.context_length or 1024
    first = FIRST_POSITION if given.first_position is None else given.first_position
    sizes = make_tokens(model, tokens, given.text, given.tokens, length, first, given.contexts)
    check_enough(*sizes, width, decompose.DEFAULTS)
    source = model.source | {"tokens_sha256": array_sha256(np.load(tokens)), "first_position": first}
    return read_rows(model, hookpoint, tokens, sizes[0], first, given.device), source, hookpoint


def warnings(given: argparse.Namespace, sae: Any, l0: float) -> list[str]:
    results = []
    if given.hookpoint and sae.hookpoint and given.hookpoint != sae.hookpoint:
        results.append(f"the SAE was trained at {sae.hookpoint}, not at {given.hookpoint}")
    low, high = around(sae.nominal_l0, PUBLISHED) if sae.nominal_l0 else (l0, l0)
    if not low <= l0 <= high:
        results.append(f"L0 is {l0:.1f} here, {sae.nominal_l0:g} by the SAE's description")
    return results
