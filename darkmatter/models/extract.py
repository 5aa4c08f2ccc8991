"""Extract activations: one forward pass per context serves all hookpoints and stops after the last one needed.

Work is cut into shards of contexts, so that a killed run repeats one shard per process and memory holds one
batch. A shard holds an .npy per hookpoint, [context, position, d_model] in the model's dtype (`activation_files`), of
the positions that the paper keeps.
"""

import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from darkmatter.models.activation_files import BFLOAT16
from darkmatter.models.device import usable
from darkmatter.models.hookpoints import capture, read
from darkmatter.models.load import load_model
from darkmatter.storage.artifacts import ArtifactError, open_array

LOSS = "loss"


@functools.cache
def load_once(folder: Path, device: torch.device) -> PreTrainedModel:
    """The model of a folder on a device, kept there until `release_model`; without a head if the folder has none."""
    return load_model(folder, head=False).to(device)


def release_model() -> None:
    """Drop loaded models, and hand the memory of their device back: what comes next needs it."""
    load_once.cache_clear()
    torch.cuda.empty_cache()


@torch.no_grad()
def extract(
    out: Path,
    model: str,
    tokens: str,
    start: int,
    stop: int,
    hookpoints: list[str],
    first_position: int,
    batch_contexts: int,
    with_loss: bool,
    device: str = "cpu",
) -> None:
    """Write one shard: `HOOKPOINT.npy` [stop − start, position, d_model], and `loss.npy` if asked.

    Args:
        model: folder of the model.
        tokens: .npy, int32 [context, context_length]; contexts start … stop − 1 are read.
        with_loss: run the whole model and keep its next-token cross-entropy (nats) at each position.
        device: where the model runs.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: a hookpoint the model does not have, or an activation that is not finite.
    """
    place = usable(device, double=False)
    language_model = load_once(Path(model), place)
    contexts = torch.from_numpy(open_array(Path(tokens), (None, None), "int32")[start:stop].astype(np.int64))
    kept = slice(first_position, contexts.shape[1] - 1)
    parts: dict[str, list[np.ndarray]] = {}
    for batch in contexts.to(place).split(batch_contexts):
        if with_loss:
            with capture(language_model, hookpoints) as captured:
                parts.setdefault(LOSS, []).append(token_loss(language_model, batch, first_position).cpu().numpy())
        else:
            captured = read(language_model, batch, hookpoints)
        for name in hookpoints:
            values = captured[name][:, kept]
            if not values.isfinite().all():
                raise ArtifactError(f"{name}, contexts {start} to {stop - 1}: the model returned NaN or infinity")
            parts.setdefault(name, []).append(as_stored(values))
    for name, batches in parts.items():
        np.save(out / f"{name}.npy", np.concatenate(batches), allow_pickle=False)


def as_stored(values: Float[Tensor, "context position d_model"]) -> np.ndarray:
    """float32, or bfloat16 as `activation_files` stores it."""
    if values.dtype == torch.bfloat16:
        return values.contiguous().view(torch.int16).numpy().view(BFLOAT16)
    return values.float().numpy()


def token_loss(
    model: PreTrainedModel, tokens: Int[Tensor, "context token"], first_position: int
) -> Float[Tensor, "context position"]:
    """Next-token cross-entropy, nats, at positions first_position … context_length − 2.

    Raises:
        ArtifactError: the model was saved without its head.
    """
    if model.get_output_embeddings() is None:
        raise ArtifactError("the model was saved without its language-modelling head, so it has no loss: save it whole")
    length = tokens.shape[1]
    logits = model(input_ids=tokens, use_cache=False, logits_to_keep=length - first_position).logits[:, :-1]
    targets = tokens[:, first_position + 1 :]
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none").view(targets.shape)
