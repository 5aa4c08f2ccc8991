"""What `decompose` does once it is called: torch, SciPy and the engine of the stages."""

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from darkmatter.api import engine
from darkmatter.api.checks import check_declared, check_enough, check_fvu, checked_sae, spread
from darkmatter.api.coders import inference, keeps_codes
from darkmatter.api.contexts import Activations, store
from darkmatter.api.grid import Grid
from darkmatter.api.masks import Mask, PaddingWatch, every_row, read_mask
from darkmatter.api.progress import Progress
from darkmatter.api.result import Decomposed
from darkmatter.api.survey import Survey
from darkmatter.decomposition.passes import write_sums
from darkmatter.decomposition.results import ESTIMATES, MOMENTS, estimate_sae, regressions
from darkmatter.decomposition.samples import Rebuilt, SaeSample
from darkmatter.decomposition.shared_moments import read_prepared, write_moments
from darkmatter.models.device import usable
from darkmatter.params.decomposition import Decomposition
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json


def split_error(
    activations: Activations,
    sae: Any,
    reconstructions: Activations | None,
    mask: Mask | None,
    cut: dict[str, Any],
    settings: Decomposition,
    max_fvu: float,
    threads: int | None,
    device: str,
    work_folder: str | Path | None,
    progress: bool,
    source: dict[str, Any],
) -> Decomposed:
    """What `decompose` does, whose docstring names the arguments.

    Args:
        cut: `context_ids`, `context_length` and `contexts`.
        settings: splits, regression and bootstrap.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: data or SAE cannot be decomposed; says what is wrong and what to do, before the long work.
    """
    start = time.perf_counter()
    place = usable(device)
    if sae is None and reconstructions is None:
        raise ArtifactError("give an SAE, or Sae(x) as reconstructions")
    shape = getattr(activations, "shape", None)
    if shape is not None and len(shape) in (2, 3):
        check_declared(sae, shape[-1])
    with tempfile.TemporaryDirectory(prefix="decompose-", dir=work_folder) as name, use_threads(threads):
        work = Path(name)
        cut = {"mask": read_mask(mask), **cut}
        survey = Survey(None if every_row(mask) else PaddingWatch(masked=mask is not None))
        x = store(activations, work / "activations.npy", **cut, survey=survey)
        kept = survey.kept(settings.outlier_norm_ratio, x)
        notes = survey.notes(x, kept)
        splits = check_enough(*x.shape, settings, kept)
        sample = spread(x.rows, x.of_rows(kept))
        given = None
        if reconstructions is not None:
            given = store(reconstructions, work / "reconstructions.npy", "reconstructions", **cut)
            if given.shape != x.shape or not np.array_equal(given.present, x.present):
                raise ArtifactError(f"reconstructions are {described(given)}, activations {described(x)}")
            check_fvu(sample, spread(given.rows, x.of_rows(kept)), max_fvu)
        with inference(sae):
            limit = math.inf if given is not None else max_fvu
            opened = None if sae is None else checked_sae(sae, sample, limit)
            anew = given is None and not keeps_codes(opened)
            watch = Progress(len(x), opened.d_sae / x.shape[2] if opened is not None else 0, anew, progress)
            firings, rebuilt = sae_rows(opened, x, kept, given, work, watch.tick)
            moments = work / MOMENTS
            moments.parent.mkdir()
            write_moments(moments.parent, x, splits, settings.eigen_cutoff, place)
            watch.tick(len(x))
            rows = SaeSample(
                engine.ProgressGrid(x, watch.tick), rebuilt, splits, read_prepared(moments.parent, splits, place)
            )
            (decomposed := work / "decomposed").mkdir()
            nothing = engine.FiringCounts(x, kept, 0)  # of a given Sae(x) no latents are known
            write_sums(decomposed, rows, (firings or nothing).of_contexts)
            (estimated := work / "estimates").mkdir()
            estimate_sae(estimated, moments.as_posix(), decomposed.as_posix(), **settings.bootstrap.model_dump())
            watch.bar.close()
        result = read_json(estimated / ESTIMATES)
        return Decomposed(
            rows=int(kept.sum()),
            dropped_rows=int((x.present & ~kept).sum()),
            masked_rows=x.masked,
            contexts=x.shape[0],
            d_model=x.shape[2],
            d_sae=None if firings is None else len(firings.fired),
            l0=None if firings is None else result["l0"],
            dead_latents=None if firings is None else result["dead_latents"],
            estimates=result["estimates"],
            regressions=regressions(read_arrays(moments)),
            settings=settings.model_dump(),
            source=source,
            notes=notes,
            seconds=time.perf_counter() - start,
        )


def sae_rows(
    sae: engine.AnySae | None,
    x: Grid,
    kept: Bool[np.ndarray, "context position"],
    given: Grid | None,
    work: Path,
    tick: engine.Tick,
) -> tuple[engine.FiringCounts | None, Rebuilt]:
    """What fires on the rows, and where Sae(x) of them comes from."""
    if sae is None:
        return None, engine.GivenReconstruction(given)
    firings = engine.FiringCounts(x, kept, sae.d_sae)
    if given is not None:
        engine.encode_all(sae, x, firings, None, tick)
        return firings, engine.GivenReconstruction(given)
    if not keeps_codes(sae):
        return firings, engine.Anew(sae, x, firings)
    stored = engine.StoredCodes(work)
    engine.encode_all(sae, x, firings, stored, tick)
    return firings, engine.FromCodes(sae, stored, x)


def described(grid: Grid) -> str:
    """[context, position, d_model], and how many rows."""
    return f"{list(grid.shape)} with {len(grid.rows):,} rows"


@contextlib.contextmanager
def use_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
