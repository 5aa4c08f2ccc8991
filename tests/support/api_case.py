"""A tiny hookpoint with an SAE in memory and on disk, and a tiny model, for the tests of `darkmatter decompose`."""

from types import SimpleNamespace

import numpy as np
import torch
from safetensors.numpy import save_file

from darkmatter.models.hookpoints import read
from darkmatter.models.load import random_model
from darkmatter.params.data import Model
from darkmatter.storage.artifacts import write_json

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 12, 60, 10, 32, 4
QUICK = {"resamples": 100, "folds": 3, "threads": 1}


def make_activations(contexts=CONTEXTS):
    """float32 [context, position, d_model] with awkward means and contexts that differ."""
    random = np.random.default_rng(0)
    x = random.standard_normal((contexts, POSITIONS, D_MODEL)) @ random.standard_normal((D_MODEL, D_MODEL))
    x += random.standard_normal((contexts, 1, D_MODEL)) + random.standard_normal(D_MODEL) * 5
    return x.astype(np.float32)


class TopK(torch.nn.Module):
    """Like sae-lens's: weights by name, `cfg`, `encode`, `decode`."""

    def __init__(self, x):
        super().__init__()
        self.cfg = SimpleNamespace(d_in=D_MODEL, d_sae=D_SAE)
        directions = torch.nn.functional.normalize(torch.randn(D_SAE, D_MODEL, generator=generator()), dim=1)
        self.W_dec = torch.nn.Parameter(directions)
        self.b_dec = torch.nn.Parameter(torch.from_numpy(x.reshape(-1, D_MODEL).mean(0)))

    def encode(self, x):
        pre = (x - self.b_dec) @ self.W_dec.T
        values, latents = pre.topk(K, dim=1)
        return torch.zeros_like(pre).scatter(1, latents, values.relu())

    def decode(self, acts):
        return acts @ self.W_dec + self.b_dec

    def save(self, folder):
        """In sae-lens's format."""
        folder.mkdir()
        W_dec, b_dec = (weight.detach().numpy() for weight in (self.W_dec, self.b_dec))
        arrays = {"W_dec": W_dec, "b_dec": b_dec, "W_enc": W_dec.T, "b_enc": np.zeros(D_SAE, np.float32)}
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "sae_weights.safetensors"
        )
        facts = {"architecture": "topk", "d_in": D_MODEL, "d_sae": D_SAE, "k": K, "dtype": "float32"}
        facts |= {"apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none"}
        write_json(
            folder / "cfg.json",
            facts | {"metadata": {"hook_name": "blocks.1.hook_resid_post", "sae_lens_version": "6.54.12"}},
        )
        return folder


class Nonlinear(TopK):
    """Codes decoded through a saturating function, though W_dec and b_dec are there to be mistaken for the decoder."""

    def decode(self, acts):
        return 3 * torch.tanh((acts @ self.W_dec) / 3) + self.b_dec


class Stateful(TopK):
    """Normalises each row in `encode` and undoes it in `decode`, as sae-lens does for some SAEs."""

    def __init__(self, x):
        super().__init__(x / np.linalg.norm(x, axis=-1, keepdims=True))

    def encode(self, x):
        self.scale = x.norm(dim=1, keepdim=True)
        return super().encode(x / self.scale)

    def decode(self, acts):
        return super().decode(acts) * self.scale


def generator():
    return torch.Generator().manual_seed(0)


def save_all(folder):
    """What docs/extending.md names: a model, tokens, its activations, an SAE of them, and texts."""
    model = save_model(folder / "my_model")
    random = np.random.default_rng(0)
    tokens = random.integers(97, 123, size=(CONTEXTS, 256)).astype(np.int32)
    np.save(folder / "tokens.npy", tokens)
    with torch.no_grad():
        x = read(model, torch.from_numpy(tokens).long(), ["resid_post.1"])["resid_post.1"][:, 200:-1].numpy()
    np.save(folder / "acts.npy", x)
    TopK(x).save(folder / "my_sae")
    lines = ["".join(map(chr, random.integers(97, 123, size=1100))) for _ in range(CONTEXTS)]
    (folder / "texts.txt").write_text("\n".join([*lines[:3], "too short", *lines[3:]]) + "\n")
    return x


def save_model(folder):
    """A random Llama in the format of transformers itself, without a manifest."""
    config = {"vocab_size": 258, "hidden_size": D_MODEL, "intermediate_size": 16, "num_hidden_layers": 3}
    config |= {"num_attention_heads": 5, "num_key_value_heads": 1, "max_position_embeddings": 1024}
    model, tokenizer = random_model(Model(source="random", label="tiny", architecture="llama", config=config))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()
