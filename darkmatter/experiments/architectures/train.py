"""Train one SAE of any training class on stored activations, and save it so that it works on raw activations.

As `saes.training.train` does for the SAEs of the graph: the SAE sees z = (x − mean) / scale, and the map is folded into
its biases. Whatever is a pre-activation, biases of the encoder and thresholds, is multiplied by `scale`; b_dec becomes
scale · b_dec + mean. Then every pre-activation, code and reconstruction is multiplied by `scale`, a linear map of
x − b_dec too, and the choice of latents is unchanged.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from darkmatter.params.saes import Training
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.train import fit
from darkmatter.saes.training.training_rows import open_rows
from darkmatter.storage.artifacts import read_json, write_json

if TYPE_CHECKING:  # sae-lens takes 6–13 s to import: only a process that trains pays for it
    from sae_lens import TrainingSAE

PRE_ACTIVATIONS = ("b_enc", "b_gate", "b_mag", "threshold", "topk_threshold")  # what an SAE has of them
FACTS = "training.json"


def train_architecture(
    out: Path,
    activations: str,
    contexts: int,
    hookpoint: str,
    architecture: str,
    rank: int | None,
    d_sae: int,
    k: int,
    seed: int,
    train_tokens: int,
    training: dict[str, Any],
) -> None:
    """Leave an SAE in sae-lens's format for inference, and FACTS (a unit of the stage architectures).

    Args:
        activations: [context, position, d_model].
        contexts: how many of the file's contexts to use.
        architecture: a training class of sae-lens, or `skip`.
        rank: of the skip.
        training: the fields of `params.saes.Training`.

    Raises:
        ParamsError, ArtifactError, FloatingPointError: as `train_sae`.
    """
    settings = Training.model_validate(training)
    schedule = Schedule.of(settings, d_sae, train_tokens)
    rows = open_rows(Path(activations), contexts, settings.outlier_norm_ratio, schedule.batch_size)

    from darkmatter.experiments.architectures.trainers import make_architecture_trainer
    from darkmatter.saes.training.architectures import L1

    trainer = make_architecture_trainer(architecture, rank, rows, schedule, settings, d_sae, k, seed)
    curve = fit(trainer, schedule, settings.curve_points)
    fold_biases(trainer.sae, rows.mean, rows.scale)
    trainer.sae.cfg.metadata.hook_name = hookpoint
    _, config = trainer.sae.save_inference_model(out)
    write_json(config, read_json(config))  # sae-lens writes its keys in the order of a set
    steered = trainer.coefficient_schedulers.get(L1)
    facts = {"l1_coefficient": steered.final_value if steered else None, "curve": curve, "tokens": schedule.tokens}
    write_json(out / FACTS, facts)


def fold_biases(sae: "TrainingSAE", mean: np.ndarray, scale: float) -> None:
    """Make an SAE of z = (x − mean) / scale one of x, in place; its weights do not change."""
    with torch.no_grad():
        for name in PRE_ACTIVATIONS:
            if (values := getattr(sae, name, None)) is not None:
                values.mul_(scale)
        sae.b_dec.mul_(scale).add_(torch.from_numpy(mean))
    if hasattr(sae.cfg, "residual_threshold"):
        sae.cfg.residual_threshold *= scale
