"""How activations were scaled in training, from the files that sae-lens writes beside a checkpoint's weights."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import safe_open

from darkmatter.saes.published.sae_lens_config import FACTOR, WHITENING, Config, check_factor
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import json_of

SCALER, MATRICES = "activation_scaler.json", "activation_whitening.safetensors"  # since version 6
STORE = "activations_store_state.safetensors"  # before


@dataclass(frozen=True)
class Scale:
    """How activations were scaled before an SAE was trained on them.

    Attributes:
        factor: what activations are multiplied by.
        whitening: file of the mean and the matrices by which they are whitened.
        files: what was read, by name.
    """

    factor: float | None = None
    whitening: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)


def read_scale(config: Config, listed: float | None, fetch: Callable[[str], Path | None]) -> Scale:
    """The scale that an SAE's configuration asks for.

    Args:
        listed: the factor in sae-lens's registry, which needs no file.
        fetch: the path of a file beside the weights, None where there is none.

    Raises:
        ArtifactError: the SAE needs a scale that nobody has.
    """
    if config.normalisation == WHITENING:
        path = fetch(MATRICES)
        if path is None:
            raise ArtifactError(
                f"{config.where}: it was trained on whitened activations (normalize_activations: {WHITENING}). Put "
                f"{MATRICES} of its training checkpoint beside it"
            )
        return Scale(whitening=path, files={MATRICES: path})
    if config.normalisation != FACTOR:
        return Scale()
    if listed is None:
        for name, read in ((SCALER, of_scaler), (STORE, of_store)):
            path = fetch(name)
            if path is not None and (result := read(path)) is not None:
                return Scale(check_factor(result, config), files={name: path})
    return Scale(check_factor(listed, config))


def of_scaler(path: Path) -> float | None:
    """Null once it has been folded into the weights."""
    return json_of(path).get("scaling_factor")


def of_store(path: Path) -> float | None:
    with safe_open(path, framework="np") as file:
        name = "estimated_norm_scaling_factor"
        return float(file.get_tensor(name)) if name in file.keys() else None  # noqa: SIM118 - no mapping
