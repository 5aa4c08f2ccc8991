"""Take a published SAE into the graph: found, pinned, measured on activations of this run, and pointed to."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.models.activation_files import open_activations, rows_of
from darkmatter.models.outliers import kept_of, row_norms
from darkmatter.params.given import given
from darkmatter.params.saes import GATE_CONTEXTS
from darkmatter.saes.published import cache, pins
from darkmatter.saes.published.load import load_pinned
from darkmatter.saes.published.pointer import POINTER, WIDEST
from darkmatter.saes.published.sae_lens import ONLY_DECOMPOSE
from darkmatter.saes.published.streamed import StreamedSae
from darkmatter.storage.artifacts import ArtifactError, read_json, write_json


def check_pinned(reference: str, manifest: str | Path | None) -> None:
    """Refuse a reference that another day may mean other weights, before anything is fetched.

    Raises:
        ArtifactError: says how to pin it.
    """
    if manifest is None and not pins_itself(reference):
        raise ArtifactError(
            f"saes.published: {reference} is no folder here and pins no commit. Write org/repo@COMMIT:folder with 40 "
            "hex digits, or set saes.published.manifest to the list in conf/manifests/ that has it"
        )


def pins_itself(reference: str) -> bool:
    """A folder of this machine, or a repository at a commit; all else is pinned by the list that has it."""
    return Path(reference).is_dir() or re.search(r"@[0-9a-f]{40}:", reference) is not None


def pinned_entry(reference: str, manifest: Path | None) -> dict[str, Any] | None:
    """What a manifest says of an SAE; None: its reference pins it.

    Raises:
        ArtifactError: nothing pins it.
    """
    check_pinned(reference, manifest)
    return None if pins_itself(reference) else pins.entry_named(given(manifest, "saes.published.manifest"), reference)


def record_pins(manifest: Path, entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Fill what is null in a manifest's entry from what `adopt_sae` left in a folder; the entry as it is then.

    A stage does so once its units are done: a unit that wrote into the manifest would change what other units read.

    Raises:
        ArtifactError: the manifest pins something else.
    """
    source = read_json(folder / POINTER)["source"]
    pins.record(manifest, entry["release"], entry["id"], *pins.pins_of(source))
    return pins.entry_of(manifest, entry["release"], entry["id"])


def adopt_sae(
    out: Path,
    reference: str,
    group: str,
    hookpoint: str,
    architecture: str,
    d_sae: int,
    k: int | None,
    nominal_l0: float | None,
    manifest: str | Path | None,
    pinned: Mapping[str, Any] | None,
    activations: str,
    device: str = "cpu",
    outlier_norm_ratio: float | None = None,
) -> None:
    """Write `out`/published.json (a unit of the saes stage).

    Args:
        group, hookpoint, architecture, d_sae, k: of the parameters; what is loaded must agree.
        nominal_l0: the published one, against which the gate holds what it measures.
        manifest: path of the list that pins it; None: its reference does.
        pinned: the list's entry (`pinned_entry`), whose revision and SHA-256s hold where they are not null.
        activations: .npy of rows at its hookpoint, [context, position, d_model].
        outlier_norm_ratio: it is not measured on rows with more than so many median norms.

    Raises:
        HubError: the files cannot be had.
        ArtifactError: they are not what they claim to be, or not what the parameters say.
    """
    rows = np.asarray(rows_of(open_activations(Path(activations))[:GATE_CONTEXTS]))
    if outlier_norm_ratio is not None:
        rows = rows[kept_of(row_norms(rows), outlier_norm_ratio)]
    if not Path(reference).is_dir():
        cache.make_room(WIDEST * 2 * d_sae * (rows.shape[1] + 1))
    loaded = load_pinned(reference, pinned, manifest, rows, nominal_l0, device=device)
    if not isinstance(loaded.sae, StreamedSae):
        raise ArtifactError(f"{reference}: {loaded.architecture}: {ONLY_DECOMPOSE}")
    wanted = {"hookpoint": hookpoint, "architecture": architecture, "d_sae": d_sae}
    for name, value in wanted.items():
        if (result := getattr(loaded, name)) not in (None, value):
            raise ArtifactError(
                f"{reference}: its {name} is {result}, the parameters say {value}. Correct saes.published in conf/."
            )
    source = {**loaded.source, "norm_scaling_factor": loaded.norm_scaling_factor}
    measured = given(loaded.measured, "measured")
    facts = wanted | {
        "reference": reference,
        "group": group,
        "d_model": loaded.d_model,
        "k": k,
        "nominal_l0": nominal_l0,
        "source": source,
        "measured": {"rows": measured.rows, "l0": measured.l0, "explained_variance": measured.explained_variance},
    }
    write_json(out / POINTER, facts)
    if source["repo"] is not None:
        with cache.lock():
            cache.use(loaded.files.values())
