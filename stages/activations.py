"""tokens + model → activations.

In:  data/model, data/tokens/{train,eval}.npy
Out: data/activations/{train,eval}/HOOKPOINT/FIRST.npy   [context, position, d_model], in the model's dtype: the shard
                                                         of contexts from FIRST on
     data/activations/{train,eval}/arithmetic.json       where the model's products are not float32: what they are
     data/activations/eval/loss.npy                      float32 [context, position], nats

    python -m stages.activations
"""

import itertools
import shutil
from pathlib import Path

import numpy as np

from darkmatter.models.extract import LOSS, extract, release_model
from darkmatter.models.hookpoints import layer_of
from darkmatter.params.schema import Params
from darkmatter.runner.arithmetic import arithmetic_of, mark
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, link_or_copy, run_units
from darkmatter.storage.paths import ACTIVATIONS, MODEL, TOKENS
from darkmatter.storage.replacing import replacing_folder

SHARDS = Path("data/.shards")


def shard_units(params: Params, split: str, depth: int, arithmetic: str) -> list[Unit]:
    """Shards of contexts; those that only shallow hookpoints need come out cheaper."""
    contexts = getattr(params.tokens, f"{split}_contexts")
    wanted = {name: contexts if split == "eval" else data.train_contexts for name, data in params.hookpoints.items()}
    cuts = sorted({0, contexts, *wanted.values(), *range(0, contexts, params.activations.shard_contexts)})
    units = []
    for start, stop in itertools.pairwise(cuts):
        hookpoints = [name for name, end in wanted.items() if end >= stop]
        if not hookpoints:
            continue
        layers = depth if split == "eval" else max(map(layer_of, hookpoints)) + 1
        arguments = {
            "model": MODEL,
            "tokens": TOKENS / f"{split}.npy",
            "start": start,
            "stop": stop,
            "hookpoints": hookpoints,
            "first_position": params.tokens.first_position,
            "batch_contexts": params.activations.batch_contexts,
            "with_loss": split == "eval",
            "device": params.device,
        }
        units.append(Unit(f"{split}/{start:06d}", arguments, (), (stop - start) * layers, arithmetic))
    return units


def main(stage: Stage) -> None:
    stage.arithmetic = arithmetic_of(stage.reads(MODEL) / "manifest.json")
    stage.reads(TOKENS)
    depth = max(map(layer_of, stage.params.hookpoints)) + 1
    units = {split: shard_units(stage.params, split, depth, stage.arithmetic) for split in ("train", "eval")}
    stage.units = run_units(extract, [*units["train"], *units["eval"]], SHARDS, stage.name)
    release_model()
    with replacing_folder(stage.writes(ACTIVATIONS)) as folder:
        for split, members in units.items():
            for unit in members:
                lay_out(SHARDS / unit.name, folder / split)
            mark(folder / split, stage.arithmetic)
        losses = [np.load(SHARDS / unit.name / f"{LOSS}.npy") for unit in units["eval"]]
        np.save(folder / "eval" / f"{LOSS}.npy", np.concatenate(losses), allow_pickle=False)
    shutil.rmtree(SHARDS)


def lay_out(shard: Path, folder: Path) -> None:
    """Link the files of a shard as HOOKPOINT/FIRST.npy; the unit store keeps them, so they take no more room."""
    for file in shard.glob("*.npy"):
        if file.stem != LOSS:
            target = folder / file.stem / f"{shard.name}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, target)


if __name__ == "__main__":
    run(main)
