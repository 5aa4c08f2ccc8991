"""What is refused of weights that a library has read: numbers that are not finite, tensors of a GGUF that it missed.

transformers fills what a GGUF lacks with numbers of its own and says nothing; NaN in a weight shows only where a text
meets it.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from darkmatter.storage.artifacts import ArtifactError

COMPUTED = {"rope_freqs.weight"}  # what the model makes itself of its configuration


def check_finite(weights: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Refuse NaN and infinity.

    Args:
        weights: name and values, one after the other.

    Raises:
        ArtifactError: names the tensor and the place of the first such number in it.
    """
    for name, values in weights:
        if values.is_floating_point() and not values.isfinite().all():
            first = (~values.isfinite()).nonzero()[0].tolist()
            raise ArtifactError(
                f"{where}: {name}{first} is {values[tuple(first)].item()}: no weight is. The file is damaged: get it "
                "again."
            )


def check_gguf(path: Path, model: PreTrainedModel) -> None:
    """Hold a model against the GGUF file that it was read from: every tensor on both sides, and every number finite.

    Raises:
        ArtifactError: the file lacks a tensor of the model, has one that the model does not use, or is damaged.
    """
    import gguf

    reader = gguf.GGUFReader(path)
    here = {str(tensor.name) for tensor in reader.tensors} - COMPUTED
    kind = bytes(np.concatenate(reader.fields["general.architecture"].parts[-1:])).decode()
    architecture = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    names = gguf.get_tensor_name_map(architecture, model.config.num_hidden_layers)
    wanted = {names.get_name(name, try_suffixes=(".weight", ".bias")) or name for name, _ in model.named_parameters()}
    if missing := sorted(wanted - here):
        raise ArtifactError(
            f"{path.name} lacks the tensor {missing[0]}, so the model would not be whole. Get it again."
        )
    if left := sorted(here - wanted):
        raise ArtifactError(f"{path.name} has the tensor {left[0]}, which the model does not use. Get it again.")
    check_finite(model.named_parameters(), path.name)
