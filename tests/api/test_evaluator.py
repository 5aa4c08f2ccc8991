"""sae-lens's own trainer calls the evaluator, and logs what `decompose` gives for the SAE that would be saved."""

import numpy as np
import pytest
import torch
from api_case import D_MODEL, D_SAE, QUICK, K, make_activations
from sae_lens import BatchTopKTrainingSAEConfig, TopKTrainingSAEConfig
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from sae_lens.saes.topk_sae import TopKTrainingSAE
from sae_lens.training.sae_trainer import SAETrainer

from darkmatter import decompose
from darkmatter.api.evaluator import SaeLensEvaluator

X = make_activations()
KINDS = {
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig, "none"),
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, "none"),
    "scaled": (TopKTrainingSAE, TopKTrainingSAEConfig, "expected_average_only_in"),
    "whitened": (TopKTrainingSAE, TopKTrainingSAEConfig, "covariance_whitening"),
}


def trained(monkeypatch, kind, evaluator, steps=40):
    """What the trainer logged for the evaluator, and its SAE as it would be saved."""
    torch.manual_seed(0)
    make, config, normalisation = KINDS[kind]
    sae = make(config(d_in=D_MODEL, d_sae=D_SAE, k=K, normalize_activations=normalisation))
    rows = torch.from_numpy(X.reshape(-1, D_MODEL))
    logged = []
    monkeypatch.setattr("sae_lens.training.sae_trainer.wandb.log", lambda values, step: logged.append(values))
    logger = LoggingConfig(wandb_log_frequency=10, eval_every_n_wandb_logs=1)
    settings = SAETrainerConfig(64 * steps, 64, lr=3e-3, lr_end=3e-3, logger=logger, n_batches_for_norm_estimate=20)
    batches = (rows[torch.randint(len(rows), (64,))] for _ in iter(int, 1))
    result = SAETrainer(settings, sae, batches, evaluator=evaluator).fit()
    return [one for one in logged if any(name.startswith(("darkmatter/", "mine")) for name in one)], result


@pytest.mark.parametrize("kind", KINDS)
def test_the_trainer_logs_the_numbers_of_the_sae_that_it_would_save(monkeypatch, tmp_path, kind):
    evaluator = SaeLensEvaluator(X, options=QUICK)
    logged, sae = trained(monkeypatch, kind, evaluator)
    assert len(logged) == 4
    values = [one["darkmatter/fvu"] for one in logged]
    assert values[-1] < values[0]  # it was trained in between
    sae.save_inference_model(tmp_path / "sae")  # scales are folded in: an independent way to the same SAE
    from sae_lens import SAE

    saved = decompose(X, SAE.load_from_disk(tmp_path / "sae"), **QUICK)
    last = logged[-1]
    for name in ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2"):
        estimate = saved.estimate(name)
        assert last[f"darkmatter/{name}"] == pytest.approx(estimate["value"], abs=1e-3), name
        assert last[f"darkmatter/{name}_low"] <= last[f"darkmatter/{name}"] <= last[f"darkmatter/{name}_high"]
    assert last["darkmatter/l0"] == pytest.approx(saved.l0, abs=0.05)


def test_every_so_many_th_evaluation_and_another_evaluator_beside_it(monkeypatch):
    evaluator = SaeLensEvaluator(X, every=2, also=lambda *given: {"mine": len(given)}, options=QUICK)
    logged, _ = trained(monkeypatch, "topk", evaluator)
    assert [one["mine"] for one in logged] == [3, 3, 3, 3]
    assert ["darkmatter/fvu" in one for one in logged] == [True, False, True, False]
    assert evaluator.last.rows == X.shape[0] * X.shape[1]


def test_activations_that_can_be_read_once_are_refused():
    with pytest.raises(TypeError, match="read once"):
        SaeLensEvaluator(iter(np.split(X, len(X))))
