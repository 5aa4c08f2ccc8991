"""Train every SAE that the parameters describe; fetch, verify and point to every one that they name.

in:  data/activations/train/<hookpoint>, row = token; data/model/manifest.json, which names the arithmetic;
     of published SAEs the files of the hub or of a local folder, and conf/manifests/<list>.json, whose pins hold; those
     left open are filled in once every SAE is verified
out: data/saes/<hookpoint>/<name>/{cfg.json, sae_weights.safetensors, training.json}, one folder per trained SAE
     data/saes/<hookpoint>/<name>/published.json, per published SAE: its files by SHA-256, what was measured of it
run: python -m stages.saes
"""

from dataclasses import replace
from pathlib import Path

from darkmatter.params.saes import Published, SaeSpec
from darkmatter.runner.arithmetic import arithmetic_of, check_mark
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, merge, rename_unit, run_units
from darkmatter.saes.published.adopt import adopt_sae, pinned_entry, record_pins
from darkmatter.saes.training.train import train_sae
from darkmatter.storage.paths import ACTIVATIONS, DATA, MANIFESTS, MODEL, SAES

TRAINED, PUBLISHED = (DATA / ".work" / "saes" / name for name in ("trained", "published"))


def main(stage: Stage) -> None:
    params = stage.params
    stage.arithmetic = arithmetic_of(stage.reads(MODEL / "manifest.json"))
    check_mark(ACTIVATIONS / "train", stage.arithmetic, "dvc repro activations")
    files = {point: stage.reads(ACTIVATIONS / "train" / point) for point in params.hookpoints}
    manifest = manifest_of(stage, params.saes.published)

    def train(spec: SaeSpec) -> Unit:
        arguments = spec.model_dump(exclude={"name", "group", "reference", "nominal_l0"}) | {
            "activations": files[spec.hookpoint],
            "contexts": params.hookpoints[spec.hookpoint].train_contexts,
            "training": params.saes.training.model_dump(),
        }
        return Unit(spec.path, arguments, (), spec.train_tokens * spec.d_sae, stage.arithmetic)

    def adopt(spec: SaeSpec) -> Unit:
        pinned = pinned_entry(spec.reference, manifest)
        arguments = spec.model_dump(exclude={"name", "seed", "train_tokens"}) | {
            "activations": files[spec.hookpoint],
            "manifest": manifest.as_posix() if pinned else None,  # a name: the unit reads its own entry alone
            "pinned": pinned,
            "device": params.device,
            "outlier_norm_ratio": params.decomposition.outlier_norm_ratio,
        }
        own = (folder,) if (folder := Path(spec.reference)).is_dir() else ()
        return Unit(spec.path, arguments, own, cost=spec.d_sae)

    specs = params.sae_specs()
    named = [adopt(spec) for spec in specs if spec.reference]
    stage.units = run_units(train_sae, [train(spec) for spec in specs if not spec.reference], TRAINED, stage.name)
    stage.units += run_units(adopt_sae, named, PUBLISHED, stage.name)
    for unit in named:
        record(unit)
    merge([TRAINED, PUBLISHED], stage.writes(SAES))


def manifest_of(stage: Stage, published: Published | None) -> Path | None:
    """The list that pins published SAEs, if there is one."""
    if published is None or published.manifest is None:
        return None
    return stage.reads(MANIFESTS / f"{published.manifest}.json")


def record(unit: Unit) -> None:
    """Pin in the manifest what an SAE was found to be; from now on the pins are part of its unit's key."""
    if pinned := unit.arguments["pinned"]:
        entry = record_pins(Path(unit.arguments["manifest"]), pinned, PUBLISHED / unit.name)
        rename_unit(adopt_sae, unit, replace(unit, arguments=unit.arguments | {"pinned": entry}), "saes")


if __name__ == "__main__":
    run(main)
