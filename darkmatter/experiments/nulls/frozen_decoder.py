"""Train a TopK SAE whose decoder stays as it was drawn; encoder and biases are trained (arXiv 2602.14111).

It begins where the trained SAE of the same seed does: unit rows in random directions, with the encoder their transpose.
"""

from pathlib import Path
from typing import Any

from darkmatter.params.saes import Training
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.train import fit, fold, measure
from darkmatter.saes.training.training_rows import open_rows
from darkmatter.storage.artifacts import read_json, write_json


def train_frozen_decoder(
    out: Path,
    activations: str,
    contexts: int,
    hookpoint: str,
    d_sae: int,
    k: int,
    seed: int,
    train_tokens: int,
    training: dict[str, Any],
) -> None:
    """Leave an SAE as `train_sae` does, on the CPU whatever the profile's device (a unit of the stage nulls).

    Args:
        activations: [context, position, d_model].
        contexts: how many of the file's contexts to use.

    Raises:
        ParamsError, ArtifactError, FloatingPointError: as `train_sae`.
    """
    settings = Training.model_validate(training)
    schedule = Schedule.of(settings, d_sae, train_tokens)
    rows = open_rows(Path(activations), contexts, settings.outlier_norm_ratio, schedule.batch_size)

    from darkmatter.experiments.nulls.frozen_trainer import make_frozen_trainer

    trainer = make_frozen_trainer(rows, schedule, settings, d_sae, k, seed)
    curve = fit(trainer, schedule, settings.curve_points)
    train_fvu, train_l0 = measure(trainer.sae, rows, seed)
    fold(trainer.sae, rows.mean, rows.scale)
    trainer.sae.cfg.metadata.hook_name = hookpoint
    _, config = trainer.sae.save_inference_model(out)
    write_json(config, read_json(config))  # sae-lens writes its keys in the order of a set
    facts = {"architecture": "topk", "d_model": rows.d_model, "d_sae": d_sae, "k": k, "seed": seed}
    facts |= {"hookpoint": hookpoint, "tokens": schedule.tokens, "train_fvu": train_fvu, "train_l0": train_l0}
    write_json(out / "training.json", facts | {"curve": curve})
