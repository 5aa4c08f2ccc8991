"""The same architecture with weights that nobody trained.

Each tensor is drawn from a Gaussian with its own mean and standard deviation, embeddings and norms among them. That is
the scheme of arXiv 2501.17727 that randomises embeddings, too; widths, scales and tokens stay those of the model.
"""

import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from darkmatter.models.load import check_manifest, write_manifest

WEIGHTS = ".safetensors"


def draw_weights(out: Path, model: str, seed: int) -> None:
    """Write the model's folder with weights drawn anew (a unit of the stage nulls).

    Raises:
        ArtifactError: the manifest of the model does not hold.
    """
    folder = Path(model)
    manifest = check_manifest(folder, weights=True)
    random = torch.Generator().manual_seed(seed)
    for name in sorted(manifest["files"]):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(WEIGHTS):
            with safe_open(folder / name, "pt") as file:
                drawn = {key: redrawn(file.get_tensor(key), random) for key in sorted(file.keys())}
                save_file(drawn, out / name, file.metadata())
        else:
            shutil.copyfile(folder / name, out / name)
    facts = {"label": f"{manifest['label']}, random weights", "source": "redrawn", "package": manifest.get("package")}
    write_manifest(out, facts, manifest["dtype"])


def redrawn(tensor: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """A Gaussian tensor with the mean and the standard deviation of this one."""
    weights = tensor.double()
    noise = torch.randn(tensor.shape, generator=random, dtype=torch.float64)
    return (weights.mean() + weights.std(correction=0) * noise).to(tensor.dtype)
