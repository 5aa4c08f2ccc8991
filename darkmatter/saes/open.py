"""The SAEs of the graph, one folder each: trained here (files of sae-lens) or published (a pointer to its files).

Whatever an SAE is, `open_sae` opens it and `open_decoder` what decodes its stored codes; nobody else asks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkmatter.models.activation_files import open_activations, rows_of
from darkmatter.params.given import given
from darkmatter.saes.codes import check_on_sample, encode_rows, load_sae
from darkmatter.saes.decoder import Decoder, load_decoder
from darkmatter.saes.protocol import Codes, Decodes, Rows, Sae
from darkmatter.saes.published.pointer import POINTER, open_pointer
from darkmatter.storage.artifacts import read_json, write_arrays

if TYPE_CHECKING:  # sae-lens takes 6–13 s to import: only a process that encodes pays for it
    from sae_lens import SAE


@dataclass(frozen=True)
class TrainedSae(Decoder, Sae):
    """An SAE in memory: sae-lens encodes.

    Attributes:
        where: named in errors.
        width: slots of its codes; None: the largest l0 of the rows.
    """

    lens: "SAE"
    where: str
    width: int | None = None

    def encode(self, rows: Rows) -> Codes:
        return encode_rows(self.lens, rows, self.where, self.width)


def read_specs(saes: Path) -> dict[str, dict[str, Any]]:
    """What each SAE of a hookpoint is, by name, from its folder: a stage that reads this needs no list of SAEs."""
    return {folder.name: read_facts(folder) for folder in sorted(saes.iterdir()) if folder.is_dir()}


def read_facts(folder: Path) -> dict[str, Any]:
    """What the results say of the SAE in a folder: name, group, architecture, d_sae, k, seed, train_tokens; the
    `reference` of a published one.
    """
    name = folder.name
    if (folder / POINTER).is_file():
        pointer = read_json(folder / POINTER)
        facts = {key: pointer[key] for key in ("group", "architecture", "d_sae", "k", "reference")}
        return {"name": name, "seed": 0, "train_tokens": 0, **facts}
    training = read_json(folder / "training.json")
    facts = {key: training[key] for key in ("architecture", "d_sae", "k", "seed")}
    return {"name": name, "group": name.rsplit("-", 3)[0], "train_tokens": training["tokens"], **facts}


def open_decoder(folder: Path) -> Decodes:
    """The decoder of an SAE in its folder, trained here or published.

    Raises:
        ArtifactError: files are missing, damaged, or not those that the pointer names.
    """
    if (folder / POINTER).is_file():
        return open_pointer(folder)
    return load_decoder(folder)


def open_sae(
    folder: Path,
    architecture: str,
    d_sae: int,
    k: int | None,
    rows: Rows,
    device: str = "cpu",
    outlier_norm_ratio: float | None = None,
) -> Sae:
    """The SAE in a folder, trained here or published.

    Args:
        rows: [row, d_model]; the SAE is measured on a sample of them before it is used.
        device: where a published SAE's products are computed; those trained here are small and stay on the CPU.
        outlier_norm_ratio: rows of the sample with more than so many of its median norms are left out of it.

    Raises:
        ArtifactError: the SAE does not fit the rows, or contradicts its own description.
    """
    if (folder / POINTER).is_file():
        return open_pointer(folder, device)  # measured when it was taken in
    sae, decoder = load_sae(folder, architecture, d_sae, rows.shape[1]), load_decoder(folder)
    check_on_sample(sae, decoder, rows, given(k, f"k of {folder.name}"), str(folder), outlier_norm_ratio)
    width = k if architecture == "topk" else None
    return TrainedSae(decoder.W_dec, decoder.b_dec, sae, str(folder), width)


def encode_sae(
    out: Path,
    sae: str,
    activations: str,
    architecture: str,
    d_sae: int,
    k: int | None,
    device: str = "cpu",
    outlier_norm_ratio: float | None = None,
) -> None:
    """Write `out`/codes.npz: index int32 and value float32 [row, width], l0 int32 [row] (a unit of the codes stage).

    Rows are the contexts × positions of `activations` ([context, position, d_model]) in C order; width is the largest
    l0, or k for TopK; latents of a row are in ascending order; unused slots hold index 0, value 0.
    Outliers are encoded like all rows; only the check of the SAE leaves them out.

    Raises:
        ArtifactError: as `open_sae`.
    """
    rows = rows_of(open_activations(Path(activations)))
    index, value, l0 = open_sae(Path(sae), architecture, d_sae, k, rows, device, outlier_norm_ratio).encode(rows)
    # Without a k the row with most latents sets the width of all: most slots are empty, and compress to nothing.
    published = (Path(sae) / POINTER).is_file()
    write_arrays(out / "codes.npz", {"index": index, "value": value, "l0": l0}, compress=published)
