"""A published SAE of the graph: a file that names its files by revision and SHA-256, in place of the weights."""

from pathlib import Path

from darkmatter.saes.published.cache import files_of
from darkmatter.saes.published.formats import READERS
from darkmatter.saes.published.streamed import BLOCK_BYTES, StreamedSae
from darkmatter.saes.published.weights import check_shapes
from darkmatter.storage.artifacts import read_json

POINTER = "published.json"
WIDEST = 4  # bytes of a number in any format
DEVICE_BLOCK_BYTES = 1 << 30  # of an accelerator: every block of weights reads all rows once


def open_pointer(folder: Path, device: str = "cpu") -> StreamedSae:
    """The SAE that a pointer names, its matrices mapped.

    Raises:
        HubError: its files are not in the cache and cannot be had.
        ArtifactError: a file is missing, damaged, or has another SHA-256 than the pointer says.
    """
    pointer = read_json(folder / POINTER)
    source, where = pointer["source"], pointer["reference"]
    size = WIDEST * 2 * pointer["d_sae"] * (pointer["d_model"] + 1)
    with files_of(source, size) as paths:
        weights, _ = READERS[source["format"]](paths, source["norm_scaling_factor"])
        check_shapes(weights, where, pointer["d_sae"], pointer["d_model"])
        return StreamedSae(weights, where, BLOCK_BYTES if device == "cpu" else DEVICE_BLOCK_BYTES, device)
