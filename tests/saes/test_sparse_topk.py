"""The sparse step against dense autograd, sae-lens's trainer contract, and its file format."""

from pathlib import Path

import pytest
import torch
from sae_lens import SAE, SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainStepInput

from darkmatter.saes.training.sparse_topk import SparseTopKTrainer, SparseTopKTrainingSAE
from darkmatter.saes.training.train import fold

D_MODEL, D_SAE, K, ROWS = 12, 128, 4, 40
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")


def make_sae(cls: type = SparseTopKTrainingSAE, auxiliary: float = 0.5, **options: object) -> TopKTrainingSAE:
    settings = {"rescale_acts_by_decoder_norm": False, "decoder_init_norm": 1.0} | options
    torch.manual_seed(0)
    sae = cls(TopKTrainingSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=K, aux_loss_coefficient=auxiliary, **settings))
    with torch.no_grad():
        for weight in sae.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return sae


def make_trainer(sae: TopKTrainingSAE, cls: type = SparseTopKTrainer, steps: int = 10) -> SAETrainer:
    generator = torch.Generator().manual_seed(1)
    batches = iter([torch.randn(ROWS, D_MODEL, generator=generator) for _ in range(steps)])
    config = SAETrainerConfig(
        total_training_samples=ROWS * steps,
        train_batch_size_samples=ROWS,
        lr=3e-3,
        lr_end=3e-3,
        lr_warm_up_steps=2,
        lr_decay_steps=3,
        dead_feature_window=2,
    )
    return cls(config, sae, batches)


def step_input(dead: torch.Tensor | None) -> TrainStepInput:
    x = torch.randn(ROWS, D_MODEL, generator=torch.Generator().manual_seed(2))
    return TrainStepInput(x, {}, dead, 0, False)


def gradients(sae: TopKTrainingSAE, dead: torch.Tensor | None) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    output = sae.training_forward_pass(step_input(dead))
    output.loss.backward()
    losses = {name: loss.item() for name, loss in output.losses.items()}
    return losses, {name: getattr(sae, name).grad for name in WEIGHTS}


@pytest.mark.parametrize("dead_latents", [0, 3, D_MODEL, 40])
def test_losses_and_gradients_equal_dense_autograd(dead_latents: int) -> None:
    """The reference is sae-lens's own dense step. Its two losses and four gradients, with and without dead latents."""
    dead = torch.zeros(D_SAE, dtype=torch.bool)
    dead[:dead_latents] = True
    losses, ours = gradients(make_sae(), dead)
    dense_losses, dense = gradients(make_sae(TopKTrainingSAE), dead)
    assert losses == pytest.approx(dense_losses, rel=1e-5)
    assert (losses["auxiliary_reconstruction_loss"] > 0) == (dead_latents > 0)
    for name in WEIGHTS:
        torch.testing.assert_close(ours[name], dense[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_auxiliary_gradient_reaches_dead_latents_only() -> None:
    dead = torch.zeros(D_SAE, dtype=torch.bool)
    dead[5:15] = True
    _, without = gradients(make_sae(), None)
    _, with_dead = gradients(make_sae(), dead)
    changed = ((with_dead["W_dec"] - without["W_dec"]).abs().amax(1) > 1e-6).nonzero().flatten().tolist()
    assert changed, "the auxiliary loss changed nothing"
    assert set(changed) <= set(range(5, 15))


def test_codes_that_relu_cuts_have_no_gradient() -> None:
    sae = make_sae()
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)  # every pre-activation is negative: codes are zero, x̂ = b_dec
    output = sae.training_forward_pass(step_input(None))
    output.loss.backward()
    assert torch.equal(output.value, torch.zeros(ROWS, K))
    assert torch.equal(sae.W_dec.grad, torch.zeros_like(sae.W_dec))
    assert torch.equal(sae.W_enc.grad, torch.zeros_like(sae.W_enc))
    assert sae.b_dec.grad.abs().sum() > 0


def test_fused_optimiser_steps_as_sae_lens_does() -> None:
    """Same data, no projection: five steps of our trainer end where sae-lens's own trainer ends.

    This also holds torch to the transposed layout of W_enc, which its fused optimiser has to respect.
    """
    plain = make_trainer(make_sae(TopKTrainingSAE), SAETrainer)
    sae = make_sae()
    sae.remove_parallel_gradient = sae.normalise_decoder = lambda: None
    fused = make_trainer(sae)
    for trainer in (plain, fused):
        for _ in range(5):
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1
    for name in WEIGHTS:
        torch.testing.assert_close(getattr(fused.sae, name), getattr(plain.sae, name), rtol=1e-3, atol=1e-4)
    assert torch.equal(fused.act_freq_scores, plain.act_freq_scores)
    assert torch.equal(fused.n_forward_passes_since_fired, plain.n_forward_passes_since_fired)
    assert fused.n_frac_active_samples == plain.n_frac_active_samples
    assert fused.n_training_samples == plain.n_training_samples


def test_decoder_rows_stay_unit_and_their_gradient_orthogonal() -> None:
    trainer = make_trainer(make_sae())
    for _ in range(3):
        trainer.step(next(trainer.data_provider))
    torch.testing.assert_close(trainer.sae.W_dec.norm(dim=1), torch.ones(D_SAE))
    trainer.sae.training_forward_pass(step_input(None)).loss.backward()
    before = torch.linalg.vecdot(trainer.sae.W_dec.grad, trainer.sae.W_dec).abs().max()
    trainer.sae.remove_parallel_gradient()
    after = torch.linalg.vecdot(trainer.sae.W_dec.grad, trainer.sae.W_dec).abs().max()
    assert before > 1e-2 > 1e-5 > after


def test_sae_lens_fit_and_log_read_our_step() -> None:
    """Its own loop runs on our classes, and its log finds L0 in the sparse activations."""
    trainer = make_trainer(make_sae(), steps=6)
    output = trainer.step(next(trainer.data_provider))
    log = trainer.build_train_step_log_dict(output, trainer.n_training_samples)
    assert log["metrics/l0"] == K
    torch.testing.assert_close(output.feature_acts.to_dense().sum(1), output.value.sum(1))
    trainer = make_trainer(make_sae(), steps=6)
    trainer.fit()
    assert trainer.n_training_steps == 6
    assert trainer.sae.cfg.metadata.l0 == pytest.approx(K, abs=0.5)


def test_seeded_reruns_are_bit_equal() -> None:
    def train() -> dict[str, torch.Tensor]:
        trainer = make_trainer(make_sae())
        for _ in range(10):
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1
        return trainer.sae.state_dict()

    first, second = train(), train()
    assert all(torch.equal(first[name], second[name]) for name in WEIGHTS)


def test_saved_sae_loads_in_sae_lens_with_the_same_bits(tmp_path: Path) -> None:
    sae = make_sae()
    sae.save_inference_model(tmp_path)
    loaded = SAE.load_from_disk(tmp_path)
    assert loaded.cfg.architecture() == "topk"
    assert loaded.cfg.k == K
    for name in WEIGHTS:
        assert torch.equal(getattr(loaded, name), getattr(sae, name)), name
    x = torch.randn(7, D_MODEL)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), sae(x), rtol=1e-5, atol=1e-5)


def test_folded_sae_on_x_is_the_trained_one_on_z() -> None:
    sae, folded = make_sae(), make_sae()
    mean, scale = 30 * torch.randn(D_MODEL), 7.3
    fold(folded, mean.numpy(), scale)
    z = torch.randn(50, D_MODEL)
    with torch.no_grad():
        acts, folded_acts = sae.encode(z), folded.encode(scale * z + mean)
        torch.testing.assert_close(folded_acts, scale * acts, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(folded.decode(folded_acts), scale * sae.decode(acts) + mean, rtol=1e-4, atol=1e-3)
    for name in ("W_enc", "W_dec"):
        assert torch.equal(getattr(folded, name), getattr(sae, name))


@pytest.mark.parametrize(
    "option",
    [
        {"rescale_acts_by_decoder_norm": True},
        {"apply_b_dec_to_input": False},
        {"normalize_activations": "layer_norm"},
    ],
)
def test_options_the_sparse_step_would_ignore_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sparse step needs"):
        make_sae(**option)
