"""Train every configured SAE on the `train` activations.

in:  data/activations/train/<hookpoint>.npy, row = token
out: data/saes/<hookpoint>/<name>/{cfg.json, sae_weights.safetensors, training.json}, one folder per SAE
run: python -m stages.saes
"""

from darkmatter.paths import ACTIVATIONS, SAES
from darkmatter.sae_params import SaeSpec
from darkmatter.stage import Stage, run
from darkmatter.training import train_sae
from darkmatter.units import Unit, run_units


def main(stage: Stage) -> None:
    params = stage.params
    files = {point: stage.reads(ACTIVATIONS / "train" / f"{point}.npy") for point in params.hookpoints}

    def unit(spec: SaeSpec) -> Unit:
        file = files[spec.hookpoint]
        arguments = spec.model_dump(exclude={"name", "group"}) | {
            "activations": file.as_posix(),
            "contexts": params.hookpoints[spec.hookpoint].train_contexts,
            "training": params.saes.training.model_dump(),
        }
        return Unit(spec.path, arguments, (file,), cost=spec.train_tokens * spec.d_sae)

    stage.ledger = run_units(train_sae, [unit(spec) for spec in params.sae_specs()], SAES, stage.name)
    stage.writes(SAES)


if __name__ == "__main__":
    run(main)
