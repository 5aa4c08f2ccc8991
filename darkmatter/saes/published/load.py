"""Load a published SAE, or one's own, and refuse what is not what it claims to be."""

import contextlib
import tokenize
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from darkmatter.saes.published import hub, pins, registry
from darkmatter.saes.published.dense import check_width, measurable, open_dense
from darkmatter.saes.published.file_names import FILES
from darkmatter.saes.published.formats import READERS
from darkmatter.saes.published.gate import DEFAULT, Gate, Measured, measure
from darkmatter.saes.published.locate import Found, local_files, remote_files
from darkmatter.saes.published.names import Named, named, our_hookpoint
from darkmatter.saes.published.reference import Reference, parse
from darkmatter.saes.published.sae_lens_config import Config, read_config
from darkmatter.saes.published.scalers import STORE, Scale, read_scale
from darkmatter.saes.published.streamed import BLOCK_BYTES, StreamedSae
from darkmatter.saes.published.strict_json import strict_json
from darkmatter.saes.published.weights import check_finite, check_shapes
from darkmatter.storage.artifacts import ArtifactError, sha256_file

if TYPE_CHECKING:
    from sae_lens import SAE

REMEDY = "Fetch the file again, or correct a copy; a folder of another format is read by load_pretrained(…, format=…)"


@dataclass(frozen=True)
class Pretrained:
    """An SAE ready to use, and where it came from.

    `sae` has `encode(rows) -> Codes(index, value, l0)`, `decode(codes)` and `reconstruct(rows)`, float32 NumPy arrays
    out; one that only sae-lens computes is sae-lens's own object, in float32. `darkmatter.decompose` takes both.
    `hookpoint` is in this repository's words (`resid_post.12`, `attn_z.12`, `mlp_out.12`) or None when the files do not
    say. `source` holds repo, revision, folder, format and the SHA-256 of each file; `files` are their paths;
    `norm_scaling_factor` is what activations were multiplied by when an SAE was trained; `measured` is what the gate
    found on the rows it was given.
    """

    sae: "StreamedSae | SAE"
    architecture: str
    d_model: int
    d_sae: int
    nominal_l0: float | None
    hookpoint: str | None
    source: dict[str, Any]
    files: dict[str, Path] = field(default_factory=dict)
    norm_scaling_factor: float | None = None
    measured: Measured | None = None


def load_pretrained(
    reference: str | Path,
    *,
    rows: Float[np.ndarray, "row d_model"] | Tensor | None = None,
    nominal_l0: float | None = None,
    manifest: Path | None = None,
    format: str | None = None,
    gate: Gate = DEFAULT,
    device: str = "cpu",
    block_bytes: int = BLOCK_BYTES,
) -> Pretrained:
    """Find, check and open an SAE; its matrices stay in their file.

    Args:
        reference: a local folder, `release/id` of sae-lens's registry, or `org/repo:folder`, which may pin its
            revision: `org/repo@revision:folder`.
        rows: activations at its hookpoint; with them L0 and explained variance are measured and held against the
            published ones.
        nominal_l0: what it should be, where neither registry, name nor configuration say so.
        manifest: a list of `conf/manifests/`: its revision and SHA-256s are enforced, or filled in at the first
            download.
        format: one of `READERS` when the files do not tell.
        gate: what is accepted of `rows`.
        block_bytes: memory of one block of weights; a few are alive at once.

    Raises:
        ArtifactError: not found, not readable or not what it claims to be; says what was measured and expected, and
            what to do.
    """
    if format is not None and format not in READERS:
        raise ArtifactError(f"format {format!r} is none of {', '.join(READERS)}")
    entry = listed_entry(manifest, reference) if manifest else None
    loaded = load_pinned(reference, entry, manifest, rows, nominal_l0, format, gate, device, block_bytes)
    if manifest and entry:
        pins.record(Path(manifest), entry["release"], entry["id"], *pins.pins_of(loaded.source))
    return loaded


def load_pinned(
    reference: str | Path,
    entry: Mapping[str, Any] | None,
    manifest: str | Path | None,
    rows: Float[np.ndarray, "row d_model"] | Tensor | None,
    nominal_l0: float | None,
    format: str | None = None,
    gate: Gate = DEFAULT,
    device: str = "cpu",
    block_bytes: int = BLOCK_BYTES,
) -> Pretrained:
    """As `load_pretrained`, which fills the manifest in; here its pins are enforced and it is left as it is.

    Args:
        entry: of the manifest, whose path is for messages; None: nothing is pinned but by the reference.
    """
    where, wanted = str(reference), parse(reference)
    result = local_files(wanted.local, format) if wanted.local else remote_files(wanted, entry, format)
    if manifest and entry:
        pins.check(entry, result.revision, result.required, manifest)
    loaded = open_sae(result, wanted, where, entry, device, block_bytes)
    loaded = replace(loaded, nominal_l0=nominal_l0 or loaded.nominal_l0)
    if rows is not None:
        published = wanted.listed.variance_explained if wanted.listed else None
        sae = loaded.sae if isinstance(loaded.sae, StreamedSae) else measurable(loaded.sae, where)
        loaded = replace(loaded, measured=measure(sae, rows, where, loaded.nominal_l0, published, gate))
    return loaded


def open_sae(
    result: Found, wanted: Reference, where: str, entry: Mapping[str, Any] | None, device: str, block_bytes: int
) -> Pretrained:
    """The SAE in the files, with its shapes held against its name and manifest, and every weight finite."""
    name, listed = named(wanted.repo, wanted.folder) if wanted.repo else Named(), wanted.listed
    l0 = (listed.nominal_l0 if listed else None) or name.nominal_l0
    source: dict[str, Any] = {"format": result.format, "revision": result.revision, "sha256": dict(result.sha256)}
    source |= {"repo": wanted.repo or None, "folder": str(wanted.local or wanted.folder)}
    paths, factor = dict(result.paths), listed.norm_scaling_factor if listed else None
    d_sae, d_model = entry["width"] if entry else name.width, entry["d_model"] if entry else None
    sae: StreamedSae | SAE
    architecture: str
    with configuration(where, paths[FILES[result.format][0]], result.format):
        config, scale = read_own_format(result, wanted, factor)
    paths |= scale.files
    source["sha256"] |= {file: sha256_file(path) for file, path in scale.files.items()}
    factor = factor if scale.factor is None else scale.factor
    if config is None or config.streamed:
        with configuration(where, paths[FILES[result.format][0]], result.format):
            weights, hook = READERS[result.format](paths, factor)
        check_shapes(weights, where, d_sae, d_model)
        sae, architecture, k = StreamedSae(weights, where, block_bytes, device), weights.architecture, weights.k
        check_finite(weights, where, sae.block)
        d_sae, d_model = sae.d_sae, sae.d_model
    else:
        check_width(config, where, d_sae, d_model)
        sae, architecture, k = open_dense(config, paths["cfg.json"].parent, scale, device), config.named, config.k
        d_sae, d_model, hook = config.d_sae, config.d_in, config.hook
    if entry and entry["architecture"] != architecture:
        raise ArtifactError(f"{where}: is {architecture}, but the manifest says {entry['architecture']}")
    hookpoint = name.hookpoint or our_hookpoint(hook)
    return Pretrained(sae, architecture, d_model, d_sae, l0 or k, hookpoint, source, paths, norm_scaling_factor=factor)


@contextlib.contextmanager
def configuration(where: str, path: Path, format: str) -> Iterator[None]:
    """Say of what a reader stumbles over that it is no configuration of its format."""
    if path.suffix == ".json":
        strict_json(path)
    try:
        yield
    except (tokenize.TokenError, zlib.error) as error:  # of an .npz
        raise ArtifactError(f"{where}: {path} is damaged ({error}). {REMEDY}") from error
    except KeyError as error:
        raise ArtifactError(
            f"{where}: {path} has no `{error.args[0]}`, which a configuration of the format {format} has. {REMEDY}"
        ) from error
    except (TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        raise ArtifactError(
            f"{where}: {path} is no configuration of the format {format} ({type(error).__name__}: {error}). {REMEDY}"
        ) from error


def read_own_format(result: Found, wanted: Reference, factor: float | None) -> tuple[Config | None, Scale]:
    """What a configuration of sae-lens says, as its registry corrects it, and how activations are scaled."""
    if result.format != "sae-lens":
        return None, Scale()
    listed = wanted.listed
    changed = registry.content()[listed.release].get("config_overrides") if listed else None
    config = read_config(result.paths["cfg.json"], changed)
    return config, read_scale(config, factor, lambda file: beside(result, wanted, file))


def beside(result: Found, wanted: Reference, file: str) -> Path | None:
    """A file that may lie beside those of an SAE."""
    if wanted.local:
        return path if (path := wanted.local / file).is_file() else None
    if file == STORE:
        return None  # it may hold gigabytes of activations
    fetched = hub.fetch_if_there(wanted.repo, hub.inside(wanted.folder, file), result.revision)
    return fetched.path if fetched else None


def listed_entry(manifest: Path, reference: str | Path) -> dict[str, Any]:
    wanted = parse(reference)
    return pins.entry_named(manifest, str(reference) if wanted.local else f"{wanted.repo}:{wanted.folder}")
