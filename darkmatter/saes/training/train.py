"""Train one SAE on stored activations with sae-lens, and save it so that it works on raw activations.

The SAE sees z = (x − mean) / scale, with mean squared norm d_model, so that one learning rate fits every layer.
Afterwards the map is folded into the biases, b_dec' = scale · b_dec + mean and b_enc' = scale · b_enc. Then
    (x − b_dec') W_enc + b_enc' = scale · [(z − b_dec) W_enc + b_enc],
so every pre-activation, code and reconstruction is multiplied by `scale` and the choice of latents is unchanged.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from darkmatter.params.saes import Training
from darkmatter.params.types import ParamsError
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.training_rows import TrainingRows, open_rows
from darkmatter.storage.artifacts import read_json, write_json

if TYPE_CHECKING:  # sae-lens takes 6–13 s to import: only a process that trains pays for it
    from sae_lens import SAETrainer, TrainingSAE

MEASURED_ROWS = 16384


def train_sae(
    out: Path,
    activations: str,
    contexts: int,
    hookpoint: str,
    architecture: str,
    d_sae: int,
    k: int,
    seed: int,
    train_tokens: int,
    training: dict[str, Any],
    device: str = "cpu",
) -> None:
    """Train an SAE and leave cfg.json, sae_weights.safetensors (sae-lens) and training.json in `out`.

    Args:
        activations: .npy, float32 [contexts, positions, d_model].
        contexts: how many of the file's contexts to use.
        k: latents per token: exact for `topk`, the target of the sparsity loss for `jumprelu`.
        training: the fields of `params.saes.Training`.
        device: where it trains; what is saved does not say where.

    Raises:
        ParamsError: k > d_sae, or a schedule that does not fit.
        ArtifactError: too few rows, NaN, wrong shape; see `training_rows.open_rows`.
        FloatingPointError: training diverged.
    """
    settings = Training.model_validate(training)
    if k > d_sae:
        raise ParamsError(f"saes: k = {k} exceeds d_sae = {d_sae}")
    schedule = Schedule.of(settings, d_sae, train_tokens)
    rows = open_rows(Path(activations), contexts, settings.outlier_norm_ratio, schedule.batch_size)

    from darkmatter.models.device import usable
    from darkmatter.saes.training.trainers import make_trainer

    trainer = make_trainer(architecture, rows, schedule, settings, d_sae, k, seed, str(usable(device, double=False)))
    curve = fit(trainer, schedule, settings.curve_points)
    sae = trainer.sae.to("cpu")
    train_fvu, train_l0 = measure(sae, rows, seed)
    fold(sae, rows.mean, rows.scale)
    sae.cfg.metadata.hook_name = hookpoint
    _, config = sae.save_inference_model(out)
    write_json(config, read_json(config))  # sae-lens writes its keys in the order of a set, another in each process
    write_json(
        out / "training.json",
        {
            "architecture": architecture,
            "curve": curve,
            "d_model": rows.d_model,
            "d_sae": d_sae,
            "distinct_rows": min(schedule.tokens, len(rows.kept)),
            "dropped_outliers": rows.dropped,
            "hookpoint": hookpoint,
            "k": k,
            "learning_rate": schedule.learning_rate,
            "scale": rows.scale,
            "seed": seed,
            "steps": schedule.steps,
            "tokens": schedule.tokens,
            "train_fvu": train_fvu,
            "train_l0": train_l0,
        },
    )


def fit(trainer: "SAETrainer", schedule: Schedule, points: int) -> list[dict[str, float]]:
    """Run all steps; return the training curve: each point averages the steps since the one before.

    Drives `SAETrainer.step`, the seam sae-lens keeps for outside coordinators, rather than `fit`, which reports
    to a progress bar and keeps no curve.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    stops = set(np.linspace(schedule.steps / points, schedule.steps, points).round().astype(int).tolist())
    curve, error, total = [], 0.0, 0.0
    for step in range(1, schedule.steps + 1):
        rate = trainer.optimizer.param_groups[0]["lr"]
        output = trainer.step(next(trainer.data_provider))
        trainer.n_training_steps += 1
        error += output.losses["mse_loss"].item() * schedule.batch_size
        total += output.sae_in.square().sum().item()  # z is centred: its squared norm is the variance
        if not math.isfinite(error):
            raise FloatingPointError(f"training diverged at step {step}. Lower saes.training.learning_rate_max.")
        if step in stops:
            curve.append(
                {
                    "dead_share": trainer.dead_neurons.float().mean().item(),
                    "fvu": error / total,
                    "learning_rate": rate,
                    "tokens": step * schedule.batch_size,
                }
            )
            error = total = 0.0
    trainer.set_final_sae_metadata()
    return curve


def measure(sae: "TrainingSAE", rows: TrainingRows, seed: int) -> tuple[float, float]:
    """FVU and mean L0 of the finished SAE on seeded training rows, in z, where both equal those in x."""
    z = torch.from_numpy(next(rows.batches(min(MEASURED_ROWS, len(rows.kept)), seed)))
    error, firings = 0.0, 0
    with torch.no_grad():
        for part in z.split(1024):
            acts = sae.encode(part)
            error += (part - sae.decode(acts)).square().sum(dtype=torch.float64).item()
            firings += int(acts.count_nonzero())
    return error / (z - z.mean(0)).square().sum(dtype=torch.float64).item(), firings / len(z)


def fold(sae: "TrainingSAE", mean: np.ndarray, scale: float) -> None:
    """Make an SAE of z = (x − mean) / scale one of x, in place; its weights do not change.

    A JumpReLU threshold is a pre-activation, so it is scaled like one.
    """
    with torch.no_grad():
        sae.b_enc.mul_(scale)
        sae.b_dec.mul_(scale).add_(torch.from_numpy(mean))
        if hasattr(sae, "threshold"):
            sae.threshold.mul_(scale)
