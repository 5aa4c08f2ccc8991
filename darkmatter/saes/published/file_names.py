"""The files of an SAE below its folder in each format, the weights last, and what may be beside them."""

import re
from pathlib import PurePosixPath

FILES = {
    "gemma-scope": ("params.npz",),
    "gemma-scope-2": ("params.safetensors",),
    "llama-scope": ("hyperparams.json", "checkpoints/final.safetensors"),
    "sae-lens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
    "dictionary-learning": ("config.json", "ae.pt"),  # last: arrays beside a pickle are the ones that are read
}


def optional_files(format: str, folder: str) -> tuple[str, ...]:
    """Files that may be there too and say what an SAE is, such as a transcoder; `..` is the folder above it.

    Args:
        folder: the SAE's; sparsify's is below that of its run, with one level between for each of several seeds.
    """
    if format == "gemma-scope-2":
        return ("config.json",)
    if format == "sparsify":
        return ("../../config.json" if re.fullmatch(r"seed\d+", PurePosixPath(folder).name) else "../config.json",)
    return ()
