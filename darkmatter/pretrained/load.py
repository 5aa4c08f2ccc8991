"""Load a published SAE, or one's own, and refuse what is not what it claims to be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from darkmatter.artifacts import ArtifactError, sha256_file
from darkmatter.pretrained.formats import FORMATS
from darkmatter.pretrained.streamed import BLOCK_BYTES, StreamedSae
from darkmatter.pretrained.weights import check_finite, check_shapes


@dataclass(frozen=True)
class Pretrained:
    """An SAE ready to use, and where it came from.

    `sae` has `encode(rows) -> Codes(index, value, l0)`, `decode(codes)` and `reconstruct(rows)`, float32 NumPy arrays
    out. `hookpoint` is in this repository's words (`resid_post.12`, `attn_z.12`, `mlp_out.12`) or None when the files
    do not say. `source` holds repo, revision, folder and the SHA-256 of each file.
    """

    sae: StreamedSae
    architecture: str
    d_model: int
    d_sae: int
    nominal_l0: float | None
    hookpoint: str | None
    source: dict[str, Any]


def load_pretrained(
    reference: str | Path,
    *,
    rows: Float[np.ndarray, "row d_model"] | Tensor | None = None,
    manifest: Path | None = None,
    format: str | None = None,
    device: str = "cpu",
    block_bytes: int = BLOCK_BYTES,
) -> Pretrained:
    """Find, check and open an SAE; its matrices stay in their file.

    Args:
        reference: a local folder, `release/id` of sae-lens's registry, or `org/repo:folder`, which may pin its
            revision: `org/repo@revision:folder`.
        rows: activations at its hookpoint; with them L0 and explained variance are measured and held against the
            published ones.
        manifest: a list of `conf/manifests/`: its revision and SHA-256s are enforced, or filled in at the first
            download.
        format: one of FORMATS when the files do not tell.

    Raises:
        ArtifactError: not found, not readable or not what it claims to be; says what was measured and expected, and
            what to do.
    """
    folder = Path(reference)
    if not folder.is_dir():
        raise ArtifactError(f"{reference} is not a folder")
    name = format or next((name for name, kind in FORMATS.items() if (folder / kind.files[-1]).is_file()), None)
    if name is None:
        raise ArtifactError(f"{reference} holds no SAE in a known format ({', '.join(FORMATS)})")
    paths = {file: folder / file for file in FORMATS[name].files}
    weights, hook = FORMATS[name].read(paths)
    check_shapes(weights, str(reference))
    sae = StreamedSae(weights, str(reference), block_bytes, device)
    check_finite(weights, str(reference), sae.block)
    source = {"folder": str(folder), "sha256": {file: sha256_file(path) for file, path in paths.items()}}
    return Pretrained(sae, weights.architecture, sae.d_model, sae.d_sae, weights.k, hook, source)
