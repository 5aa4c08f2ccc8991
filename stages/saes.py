"""Train every SAE that the parameters describe; fetch, verify and point to every one that they name.

in:  data/activations/train/<hookpoint>, row = token; for published SAEs the files of the hub or of a local folder
out: data/saes/<hookpoint>/<name>/{cfg.json, sae_weights.safetensors, training.json}, one folder per trained SAE
     data/saes/<hookpoint>/<name>/published.json, per published SAE: its files by SHA-256, what was measured of it
run: python -m stages.saes
"""

from pathlib import Path

from darkmatter.params.saes import SaeSpec
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, merge, run_units
from darkmatter.saes.published.adopt import adopt_sae, check_pinned
from darkmatter.saes.training.train import train_sae
from darkmatter.storage.paths import ACTIVATIONS, DATA, SAES

TRAINED, PUBLISHED = (DATA / ".work" / "saes" / name for name in ("trained", "published"))


def main(stage: Stage) -> None:
    params = stage.params
    files = {point: stage.reads(ACTIVATIONS / "train" / point) for point in params.hookpoints}
    published = params.saes.published

    def train(spec: SaeSpec) -> Unit:
        file = files[spec.hookpoint]
        arguments = spec.model_dump(exclude={"name", "group", "reference", "nominal_l0"}) | {
            "activations": file.as_posix(),
            "contexts": params.hookpoints[spec.hookpoint].train_contexts,
            "training": params.saes.training.model_dump(),
        }
        return Unit(spec.path, arguments, (file,), cost=spec.train_tokens * spec.d_sae)

    def adopt(spec: SaeSpec) -> Unit:
        check_pinned(spec.reference, published.manifest)
        file = files[spec.hookpoint]
        arguments = spec.model_dump(exclude={"name", "seed", "train_tokens"}) | {
            "activations": file.as_posix(),
            "manifest": published.manifest,
            "device": params.device,
            "outlier_norm_ratio": params.decomposition.outlier_norm_ratio,
        }
        own = [folder] if (folder := Path(spec.reference)).is_dir() else []
        return Unit(spec.path, arguments, (file, *own), cost=spec.d_sae)

    specs = params.sae_specs()
    named = [adopt(spec) for spec in specs if spec.reference]
    stage.ledger = run_units(train_sae, [train(spec) for spec in specs if not spec.reference], TRAINED, stage.name)
    stage.ledger += run_units(adopt_sae, named, PUBLISHED, stage.name)
    merge([TRAINED, PUBLISHED], stage.writes(SAES))


if __name__ == "__main__":
    run(main)
