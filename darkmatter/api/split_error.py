"""What `decompose` does once it is called: torch, SciPy and the engine of the stages."""

import contextlib
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from darkmatter.api.checks import Opened, check_declared, check_fvu, checked_sae
from darkmatter.api.coders import inference, keeps_codes
from darkmatter.api.contexts import Activations
from darkmatter.api.one_sae import SharedMoments, decompose_one
from darkmatter.api.parts import check_parts
from darkmatter.api.progress import Progress, SaePasses
from darkmatter.api.result import Decomposed
from darkmatter.api.results import DecomposedSaes
from darkmatter.api.rows import GivenRows, read_rows
from darkmatter.models.device import usable
from darkmatter.params.decomposition import Decomposition
from darkmatter.storage.artifacts import ArtifactError


def split_error(
    activations: Activations,
    sae: Any,
    targets: Activations | None,
    reconstructions: Activations | None,
    cut: dict[str, Any],
    settings: Decomposition,
    max_fvu: float,
    threads: int | None,
    device: str,
    work_folder: str | Path | None,
    parts: str | Path | None,
    progress: bool,
    source: dict[str, Any],
) -> Decomposed | DecomposedSaes:
    """What `decompose` does, whose docstring names the arguments.

    Args:
        cut: `context_ids`, `context_length`, `mask` and `contexts`.
        settings: splits, regression and bootstrap.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: data or SAE cannot be decomposed; says what is wrong and what to do, before the long work.
    """
    start = time.perf_counter()
    place = usable(device)
    saes = named_saes(sae, reconstructions is not None)
    for name in saes if parts is not None else ():
        check_parts(Path(parts, name))
    shape, wide = (getattr(given, "shape", None) for given in (activations, targets))
    if shape is not None and len(shape) in (2, 3) and (targets is None or wide is not None):
        for name, one in saes.items():
            with named(name):
                check_declared(one, shape[-1], None if targets is None else wide[-1])
    with (
        tempfile.TemporaryDirectory(prefix="decompose-", dir=work_folder) as folder,
        use_threads(threads),
        contextlib.ExitStack() as stack,
    ):
        work = Path(folder)
        rows = read_rows(activations, targets, reconstructions, work, settings, **cut)
        for one in saes.values():
            stack.enter_context(inference(one))
        opened = open_saes(saes, rows, max_fvu)
        passes = [passes_of(name, one, rows) for name, one in opened.items()]
        watch = Progress(len(rows.x), passes, progress)
        shared = SharedMoments.of(rows, settings, place, work, watch.tick)
        results = DecomposedSaes()
        for number, (name, one) in enumerate(opened.items()):
            (own := work / str(number)).mkdir()
            kept = None if parts is None else Path(parts, name)
            about = source.get(name, {}) if name else source
            results[name] = decompose_one(one, rows, shared, own, watch.tick, kept, about)
            shutil.rmtree(own)
        watch.bar.close()
    seconds = time.perf_counter() - start
    if isinstance(sae, Mapping):
        return DecomposedSaes({name: replace(one, seconds=seconds / len(results)) for name, one in results.items()})
    return replace(results[""], seconds=seconds)


def named_saes(sae: Any, given: bool) -> dict[str, Any]:
    """The SAEs by name; a single one has no name.

    Args:
        given: Sae(x) is given.

    Raises:
        ArtifactError: there is none, many with one Sae(x), or a name that is none.
    """
    if not isinstance(sae, Mapping):
        if sae is None and not given:
            raise ArtifactError("give an SAE, or Sae(x) as reconstructions")
        return {"": sae}
    if not sae or given:
        raise ArtifactError("many SAEs are {name: SAE, …}, at least one, without reconstructions")
    for name in sae:
        if not (isinstance(name, str) and name and set(Path(name).parts).isdisjoint({"..", "/"})):
            raise ArtifactError(f"{name!r} is no name of an SAE: a text without `..` that does not begin with /")
    return dict(sae)


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Say which of many SAEs an error is about."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(": ".join(filter(None, (name, str(error))))) from None


def open_saes(saes: Mapping[str, Any], rows: GivenRows, max_fvu: float) -> dict[str, Opened | None]:
    """Each SAE, once it has been tried on a sample; None where Sae(x) is given alone."""
    if rows.given is not None:
        check_fvu(rows.target_sample, rows.of_sample(rows.given), max_fvu)
    limit = math.inf if rows.given is not None else max_fvu
    d_out = rows.y.shape[2] if rows.has_targets else None
    opened: dict[str, Opened | None] = {}
    for name, one in saes.items():
        with named(name):
            opened[name] = None if one is None else checked_sae(one, rows.sample, rows.target_sample, limit, d_out)
    return opened


def passes_of(name: str, opened: Opened | None, rows: GivenRows) -> SaePasses:
    if opened is None:
        return SaePasses(name, 0, False)
    anew = rows.given is None and not keeps_codes(opened.sae)
    return SaePasses(name, opened.sae.d_sae / rows.x.shape[2], anew, 1 if opened.skip is None else 2)


@contextlib.contextmanager
def use_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
