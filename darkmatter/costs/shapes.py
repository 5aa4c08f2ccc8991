"""Shapes of language models: what a forward pass costs follows from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.params.types import ParamsError
from darkmatter.storage import safe_yaml

TABLE = Path("conf/models.yaml")


@dataclass(frozen=True)
class ModelShape:
    """A decoder-only transformer with a gated MLP.

    Attributes:
        file_bytes_per_parameter: of what is downloaded.
    """

    name: str
    layers: int
    d_model: int
    d_mlp: int
    heads: int
    kv_heads: int
    d_head: int
    vocabulary: int
    parameters: int
    file_bytes_per_parameter: float = 0.0

    def width(self, hookpoint: str) -> int:
        """Dimensions of the activations at `hookpoint`."""
        return self.heads * self.d_head if hookpoint.startswith("attn_z.") else self.d_model

    def layer_flops(self, context_length: int) -> float:
        """FLOP of one block for one token: 2 per weight, and attention over the whole context."""
        attention = self.d_model * self.d_head * (2 * self.heads + 2 * self.kv_heads)
        return 2.0 * (attention + 3 * self.d_model * self.d_mlp) + 4.0 * context_length * self.heads * self.d_head

    def pass_flops(self, contexts: float, context_length: int, layers: int, with_loss_at: int = 0) -> float:
        """FLOP of the first `layers` blocks, and of the vocabulary's logits at `with_loss_at` positions per context."""
        head = 2.0 * self.d_model * self.vocabulary * with_loss_at
        return contexts * (context_length * layers * self.layer_flops(context_length) + head)


def known_shape(name: str, table: Path = TABLE) -> ModelShape:
    """The shape of a model, from the table.

    Raises:
        ParamsError: the table has no such model.
    """
    try:
        models = safe_yaml.read(table)
    except FileNotFoundError:
        raise ParamsError(f"{table} does not exist here. Run in the repository: `git checkout {table}`.") from None
    if name not in models:
        raise ParamsError(
            f"{table} has no shape of {name}; it has {', '.join(models)}. Add a line from the model's config.json."
        )
    return ModelShape(name=name, **models[name])


def shape_of(model: Any) -> ModelShape:
    """Of the `model` section of the parameters: from its configuration where it has one, else from the table."""
    if model.config:
        return random_shape(model.label, model.config)
    return known_shape(model.repo if model.source == "huggingface" else model.label.split(" (")[0])


def random_shape(label: str, config: dict[str, int]) -> ModelShape:
    d_model, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
    kv_heads, d_mlp, vocabulary = config["num_key_value_heads"], config["intermediate_size"], config["vocab_size"]
    d_head = config.get("head_dim", d_model // heads)
    block = d_model * d_head * (2 * heads + 2 * kv_heads) + 3 * d_model * d_mlp
    parameters = vocabulary * d_model + layers * block
    return ModelShape(label, layers, d_model, d_mlp, heads, kv_heads, d_head, vocabulary, parameters)
