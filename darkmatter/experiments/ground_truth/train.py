"""Train one SAE on synthetic activations; keep its decoder and the codes of the held-out rows.

The SAE sees z = (x − mean) / scale, as every SAE trained here. A value v of a latent with the decoder row r adds
scale · v · r to Sae(x): codes are kept as scale · v · ‖r‖, beside rows of unit norm, so that the code of a feature is
what it adds along its direction, whatever the architecture.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from darkmatter.experiments.ground_truth.world import EVAL, TRAIN
from darkmatter.models.activation_files import open_activations, rows_of
from darkmatter.params.saes import Training
from darkmatter.saes.codes import encode_rows
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.train import fit
from darkmatter.saes.training.training_rows import open_rows
from darkmatter.storage.artifacts import write_arrays, write_json

CODES, DECODER, CURVE = "codes.npz", "decoder.npz", "training.json"


def train_synthetic(
    out: Path,
    world: str,
    architecture: str,
    d_sae: int,
    k: int,
    seed: int,
    train_tokens: int,
    training: dict[str, Any],
) -> None:
    """Leave CODES (`index`, `value` [row, slot], `l0` [row]), DECODER (`W_dec`, `b_dec`) and CURVE in `out` (a unit).

    Args:
        world: folder that `draw_world` left.
        training: the fields of `params.saes.Training`.

    Raises:
        ParamsError: a schedule that does not fit.
        FloatingPointError: training diverged.
    """
    settings = Training.model_validate(training)
    schedule = Schedule.of(settings, d_sae, train_tokens)
    train = Path(world) / TRAIN
    rows = open_rows(train, len(open_activations(train)), settings.outlier_norm_ratio, schedule.batch_size)

    from sae_lens import SAE

    from darkmatter.saes.training.architectures import make_trainer_of

    trainer = make_trainer_of(architecture, rows, schedule, settings, d_sae, k, seed, steered_to_the_end=True)
    curve = fit(trainer, schedule, settings.curve_points)
    with TemporaryDirectory() as folder:  # what is saved for inference is what counts: a threshold for BatchTopK
        trainer.sae.save_inference_model(folder)
        sae = SAE.load_from_disk(folder)
    z = (rows_of(open_activations(Path(world) / EVAL)) - rows.mean) * np.float32(1 / rows.scale)
    codes = encode_rows(sae, z, architecture)
    W_dec, b_dec = (weight.detach().numpy() for weight in (sae.W_dec, sae.b_dec))
    norms = np.linalg.norm(W_dec, axis=1).clip(min=np.finfo(np.float32).tiny)
    value = codes.value * norms[codes.index] * np.float32(rows.scale)
    write_arrays(out / CODES, {"index": codes.index, "value": value, "l0": codes.l0})
    write_arrays(out / DECODER, {"W_dec": W_dec / norms[:, None], "b_dec": b_dec * rows.scale + rows.mean})
    write_json(out / CURVE, {"curve": curve})
