"""Encode the `eval` activations once with every SAE and keep its codes.

in:  data/activations/eval/<hookpoint> and data/saes/<hookpoint>/<name>/
out: data/codes/<hookpoint>/<name>/codes.npz, row = token: index and value of each active latent, l0
run: python -m stages.codes
"""

from darkmatter.params.saes import SaeSpec
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.saes.open import encode_sae
from darkmatter.storage.paths import ACTIVATIONS, CODES, SAES


def main(stage: Stage) -> None:
    files = {point: stage.reads(ACTIVATIONS / "eval" / point) for point in stage.params.hookpoints}
    stage.reads(SAES)

    def unit(spec: SaeSpec) -> Unit:
        ratio = stage.params.decomposition.outlier_norm_ratio
        arguments = spec.model_dump(include={"architecture", "d_sae", "k"}) | {
            "activations": files[spec.hookpoint],
            "sae": SAES / spec.path,
            "device": stage.params.device,
            "outlier_norm_ratio": ratio,
        }
        return Unit(spec.path, arguments, cost=spec.d_sae)

    units = [unit(spec) for spec in stage.params.sae_specs()]
    stage.units = run_units(encode_sae, units, CODES, stage.name)
    stage.writes(CODES)


if __name__ == "__main__":
    run(main)
