"""data/model → the map from z, the heads of one layer side by side, to what its attention adds to the residual stream.

That is the output projection and, where the model normalises what it adds (Gemma), the norm behind it. An SAE of z is
compared with the residual stream through this map (section 6.2). Only these weights are read, in float32, whatever the
type in which the model is stored.
"""

from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.storage.artifacts import ArtifactError, read_json

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
# Their RMSNorm multiplies by 1 + weight; other models that normalise what attention adds may not.
GEMMA = ("gemma2", "gemma3_text")


@dataclass(frozen=True)
class AttentionOutput:
    """The map from the heads of one layer to what its attention adds.

    Attributes:
        weight, bias: of the output projection; a model may have no bias.
        gain: of the norm behind it, 1 + its weight; None: there is no such norm.
        epsilon: what the norm adds to the mean square.
    """

    weight: Float[Tensor, "d_model d_z"]
    bias: Float[Tensor, " d_model"] | None
    gain: Float[Tensor, " d_model"] | None
    epsilon: float

    @property
    def d_z(self) -> int:
        return self.weight.shape[1]

    def __call__(self, z: Float[Tensor, "position d_z"]) -> Float[Tensor, "position d_model"]:
        """What attention adds where its heads are `z`, in the number type of `z`."""
        projected = self.project(z)
        return projected * self.scale(projected)

    def magnitude(self, z: Float[Tensor, "position d_z"]) -> Float[Tensor, "position d_model"]:
        """The same with every product's absolute value: what the rounding errors of a sum are measured by."""
        products = z.abs() @ self.weight.to(z.dtype).abs().T
        return products * self.scale(self.project(z)).abs()

    def project(self, z: Tensor) -> Tensor:
        projected = z @ self.weight.to(z.dtype).T
        return projected if self.bias is None else projected + self.bias.to(z.dtype)

    def scale(self, projected: Tensor) -> Tensor:
        if self.gain is None:
            return torch.ones_like(projected)
        return self.gain.to(projected.dtype) * (projected.square().mean(-1, keepdim=True) + self.epsilon).rsqrt()


def load_attention_output(model: str, hookpoint: str) -> AttentionOutput:
    """Read the weights of the output projection and of the norm behind it.

    Args:
        model: folder of the model.
        hookpoint: attn_z.L.

    Raises:
        ArtifactError: the model's files lack them, or its norm is of a kind unknown here.
    """
    folder = Path(model)
    config = read_json(folder / CONFIG)
    layer = hookpoint.rpartition(".")[2]
    block = f"model.layers.{layer}."
    index = folder / INDEX
    places = read_json(index)["weight_map"] if index.is_file() else dict.fromkeys(names_in(folder / WEIGHTS), WEIGHTS)

    def read(name: str) -> Tensor | None:
        if block + name not in places:
            return None
        with safetensors.safe_open(folder / places[block + name], framework="pt") as file:
            return file.get_tensor(block + name).float()

    weight, gain = read("self_attn.o_proj.weight"), None
    if weight is None:
        raise ArtifactError(f"{folder} has no {block}self_attn.o_proj.weight, by which {hookpoint} goes on")
    # Without a norm behind the MLP, `post_attention_layernorm` is the one before it (Llama).
    if block + "post_feedforward_layernorm.weight" in places:
        if config["model_type"] not in GEMMA:
            raise ArtifactError(
                f"{folder} is a {config['model_type']} model that normalises what attention adds, in a way unknown "
                f"here; take an SAE of attn_out.{layer} as the parent in place of {hookpoint}"
            )
        gain = 1 + read("post_attention_layernorm.weight")
    return AttentionOutput(weight, read("self_attn.o_proj.bias"), gain, config.get("rms_norm_eps", 0.0))


def names_in(path: Path) -> list[str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (safetensors.SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}). Run `dvc repro model`.") from None
