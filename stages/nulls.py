"""SAEs that learned nothing → the whole decomposition of their errors (ours).

In:  data/activations/{train,eval} and data/decomposition/PROFILE of the main hookpoint, data/model, data/tokens
     reports/PROFILE/results/decomposition, reports/PROFILE/results/sums: the trained SAEs that they are held against
Out: reports/PROFILE/results/nulls.json       null × SAE: FVU, R² of the error vector and of its norm, the norm test
     reports/PROFILE/results/nulls_sums.npz   the same as sums per context, on which claims are judged under each null

    python -m stages.nulls
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkmatter.decomposition.passes import decompose
from darkmatter.decomposition.results import MOMENTS
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.nulls.frozen_decoder import train_frozen_decoder
from darkmatter.experiments.nulls.gaussian import EVAL, TRAIN, draw_gaussian
from darkmatter.experiments.nulls.names import FROZEN_DECODER, GAUSSIAN, NULLS, RANDOM_MODEL, STORED
from darkmatter.experiments.nulls.params import Nulls
from darkmatter.experiments.nulls.random_model import draw_weights
from darkmatter.experiments.nulls.results import results_of, stored, trained_sums
from darkmatter.models.extract import extract, release_model
from darkmatter.params.saes import SaeSpec
from darkmatter.runner.arithmetic import arithmetic_of, check_mark
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, forget_units, link_or_copy, run_units
from darkmatter.saes.open import encode_sae
from darkmatter.saes.training.train import train_sae
from darkmatter.storage.artifacts import write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, DATA, DECOMPOSITION, MODEL, TOKENS
from darkmatter.storage.replacing import replacing_folder

WORK = DATA / ".work" / "nulls"
PREPARED = {RANDOM_MODEL, GAUSSIAN}  # nulls with activations of their own
SEEN = ("train", "eval")


@dataclass(frozen=True)
class Rows:
    """The activations of one null.

    Attributes:
        contexts: of `train`, how many are trained on.
    """

    train: Path
    contexts: int
    held_out: Path


def main(stage: Stage) -> None:
    params, own = stage.params, stage.params.nulls
    hookpoint = params.figures.main_hookpoint
    stage.arithmetic = arithmetic_of(stage.reads(MODEL) / "manifest.json")
    check_mark(ACTIVATIONS / "train", stage.arithmetic, "dvc repro activations")
    train, held_out = (stage.reads(ACTIVATIONS / side / hookpoint) for side in SEEN)
    moments = stage.reads(DECOMPOSITION / params.profile / hookpoint / "moments")
    stage.reads(TOKENS)
    stage.reads(stage.reports.decomposition)
    stage.reads(stage.reports.sums)
    specs = [params.sae_spec(f"{hookpoint}/{name}") for name in own.saes]
    arrays: dict[str, np.ndarray] = {}
    if specs:
        real = Rows(train, params.hookpoints[hookpoint].train_contexts, held_out)
        drawn = {RANDOM_MODEL: of_random_model(stage, own), GAUSSIAN: of_gaussian(stage, own, real)}
        rows = {FROZEN_DECODER: real, **drawn}
        train_all(stage, specs, rows)
        arrays = decompose_all(stage, specs, rows, moments)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    trained = trained_sums(params)
    write_json(stage.writes(stage.reports.results / "nulls.json"), results_of(arrays, trained, params))
    for made in (GAUSSIAN, "weights"):  # they take as much room as activations and model
        forget_units(f"{stage.name}-{made}", keep_hashes=True)
    shutil.rmtree(WORK, ignore_errors=True)


def of_gaussian(stage: Stage, own: Nulls, real: Rows) -> Rows:
    """Rows that are drawn."""
    ratio = stage.params.saes.training.outlier_norm_ratio
    arguments = {"train": real.train, "contexts": real.contexts, "held_out": real.held_out}
    arguments |= {"drawn": own.gaussian_contexts, "seed": own.seed, "outlier_norm_ratio": ratio}
    run_units(draw_gaussian, [Unit("rows", arguments)], WORK / GAUSSIAN, f"{stage.name}-{GAUSSIAN}")
    folder = WORK / GAUSSIAN / "rows"
    return Rows(folder / TRAIN, own.gaussian_contexts, folder / EVAL)


def of_random_model(stage: Stage, own: Nulls) -> Rows:
    """Weights drawn anew, and a pass through them over the tokens of the profile, shard by shard."""
    params = stage.params
    hookpoint, shards = params.figures.main_hookpoint, WORK / RANDOM_MODEL / "shards"
    model = Unit("model", {"model": MODEL, "seed": own.seed})
    run_units(draw_weights, [model], WORK / RANDOM_MODEL / "weights", f"{stage.name}-weights")
    wanted = {"train": own.random_model_contexts, "eval": params.tokens.eval_contexts}
    arguments = {"model": WORK / RANDOM_MODEL / "weights" / "model", "hookpoints": [hookpoint], "with_loss": False}
    arguments |= {"first_position": params.tokens.first_position, "device": params.device}
    arguments |= {"batch_contexts": params.activations.batch_contexts}
    units = []
    for side in SEEN:
        for start in range(0, wanted[side], params.activations.shard_contexts):
            stop = min(start + params.activations.shard_contexts, wanted[side])
            part = {"tokens": TOKENS / f"{side}.npy", "start": start, "stop": stop}
            units.append(Unit(f"{side}/{start:06d}", arguments | part, (), stop - start, stage.arithmetic))
    stage.units += run_units(extract, units, shards, f"{stage.name}-activations")
    release_model()
    with replacing_folder(WORK / RANDOM_MODEL / "rows") as folder:
        for unit in units:
            target = folder / f"{unit.name}.npy"
            target.parent.mkdir(exist_ok=True)
            link_or_copy(shards / unit.name / f"{hookpoint}.npy", target)
    made = WORK / RANDOM_MODEL / "rows"
    return Rows(made / "train", own.random_model_contexts, made / "eval")


def train_all(stage: Stage, specs: list[SaeSpec], rows: dict[str, Rows]) -> None:
    """An SAE of each size on the activations of each null, below WORK/trained and WORK/frozen."""
    params = stage.params

    def unit(null: str, spec: SaeSpec, **more: str) -> Unit:
        arguments = spec.model_dump(include={"hookpoint", "d_sae", "k", "seed", "train_tokens"}) | more
        arguments |= {"activations": rows[null].train, "contexts": rows[null].contexts}
        arguments |= {"training": params.saes.training.model_dump()}
        return Unit(f"{null}/{spec.name}", arguments, (), spec.train_tokens * spec.d_sae, stage.arithmetic)

    usual = {"architecture": "topk", "device": params.device}
    trained = [unit(null, spec, **usual) for null in NULLS if null in PREPARED for spec in specs]
    stage.units += run_units(train_sae, trained, WORK / "trained", stage.name)
    frozen = [unit(FROZEN_DECODER, spec) for spec in specs]
    stage.units += run_units(train_frozen_decoder, frozen, WORK / "frozen", stage.name)


def decompose_all(stage: Stage, specs: list[SaeSpec], rows: dict[str, Rows], moments: Path) -> dict[str, np.ndarray]:
    """Codes, moments and the decomposition of each of them; the sums that are stored."""
    params, decomposition = stage.params, stage.params.decomposition
    split = decomposition.model_dump(include={"fit_share", "folds", "split_seed"}) | {"device": params.device}
    outliers = {"outlier_norm_ratio": decomposition.outlier_norm_ratio}
    shared = split | outliers | {"eigen_cutoff": decomposition.eigen_cutoff}
    units = [Unit(null, {"activations": rows[null].held_out, **shared}) for null in NULLS if null in PREPARED]
    run_units(prepare, units, WORK / "moments", f"{stage.name}-moments")
    prepared = {null: WORK / "moments" / null if null in PREPARED else moments for null in NULLS}

    encoded, decomposed = [], []
    for null in NULLS:
        for spec in specs:
            name, x = f"{null}/{spec.name}", {"activations": rows[null].held_out}
            sae = WORK / ("trained" if null in PREPARED else "frozen") / name
            size = spec.model_dump(include={"architecture", "d_sae", "k"})
            encoded.append(Unit(name, {**x, **size, **outliers, "sae": sae, "device": params.device}, (), spec.d_sae))
            files = {"codes": WORK / "codes" / name / "codes.npz", "sae": sae, "prepared": prepared[null]}
            decomposed.append(Unit(name, {**x, **split, **files}))
    run_units(encode_sae, encoded, WORK / "codes", f"{stage.name}-codes")
    stage.units += run_units(decompose, decomposed, WORK / "decomposed", f"{stage.name}-decomposition")
    folders = {null: WORK / "decomposed" / null for null in NULLS}
    for null, folder in folders.items():
        (folder / MOMENTS).parent.mkdir()
        link_or_copy(prepared[null] / Path(MOMENTS).name, folder / MOMENTS)
    return stored(folders, [spec.name for spec in specs])


if __name__ == "__main__":
    run(main)
