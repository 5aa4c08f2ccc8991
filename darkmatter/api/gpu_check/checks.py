"""Before anything is downloaded: is the device there, does the hub let us in, is there room?"""

from pathlib import Path

import psutil
import torch
from huggingface_hub import constants

from darkmatter.api.gpu_check.protocol import Protocol
from darkmatter.costs.shapes import known_shape
from darkmatter.models.device import usable
from darkmatter.models.hub_model import CONFIG, INDEX
from darkmatter.planning.doctor_hub import reachable
from darkmatter.planning.text import size
from darkmatter.saes.published.pins import entry_of
from darkmatter.sources.hub import cached
from darkmatter.sources.hub_access import Repo
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.text.hub_corpus import shard_names

DTYPE_BYTES = {"bfloat16": 2, "float32": 4}


def check_before(protocol: Protocol, device: str, work: Path) -> torch.device:
    """The device, once everything that can be refused without a download has been looked at.

    Args:
        work: where the model's copy will lie.

    Raises:
        ParamsError: no such device.
        ArtifactError: model, text or SAE cannot be had, or there is too little room; with the command that fixes it.
    """
    place = usable(device)
    model, dataset = protocol.model, protocol.dataset
    sae = entry_of(protocol.manifest, protocol.release, protocol.sae_id)
    file = f"{sae['folder']}/{next(iter(sae['sha256']))}"
    for asked in (
        (model.repo, model.revision, "model", model.gated, CONFIG),
        (dataset.repo, dataset.revision, "dataset", False, shard_names(dataset)[0]),
        (sae["repo"], sae["revision"] or "main", "model", False, file),
    ):
        if not (result := reachable(asked)).ok:
            raise ArtifactError(f"{result.check}: {result.message} ({result.command})")
    shape = known_shape(model.repo)
    here = cached(Repo(model.repo, model.revision), INDEX) is not None
    downloads = 0.0 if here else shape.parameters * shape.file_bytes_per_parameter
    check_room({Path(constants.HF_HUB_CACHE): downloads, work: shape.parameters * DTYPE_BYTES[model.dtype]})
    return place


def check_room(needed: dict[Path, float]) -> None:
    """Refuse file systems with less room than is needed on them, in bytes for each folder."""
    totals: dict[int, tuple[Path, float]] = {}
    for folder, own in needed.items():
        existing = next(place for place in (folder, *folder.resolve().parents) if place.is_dir())
        system = existing.stat().st_dev
        totals[system] = (existing, totals.get(system, (existing, 0.0))[1] + own)
    for existing, total in totals.values():
        if (free := psutil.disk_usage(str(existing)).free) < total:
            raise ArtifactError(
                f"{size(free)} are free at {existing}, {size(total)} are needed for the model's files. Set HF_HOME "
                "(the hub's cache) or --work (its copy) to a folder on a larger disk."
            )
