"""`from darkmatter import decompose`: the decomposition of an SAE's error, on activations and an SAE in memory."""

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import torch
from jaxtyping import Bool
from torch import Tensor

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
from darkmatter.params.decomposition import Bootstrap, Decomposition
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json

# Those of conf/profile/smollm2.yaml, where the reasons stand.
DEFAULTS = Decomposition(
    fit_share=0.6072874493927125,
    folds=5,
    split_seed=0,
    eigen_cutoff=1e-12,
    bootstrap=Bootstrap(resamples=2000, level=0.95, seed=0),
)


def decompose(
    activations: Activations,
    sae: Any = None,
    *,
    reconstructions: Activations | None = None,
    mask: Mask | None = None,
    context_ids: np.ndarray | Tensor | str | Path | None = None,
    context_length: int | None = None,
    contexts: int | None = None,
    fit_share: float = DEFAULTS.fit_share,
    folds: int = DEFAULTS.folds,
    split_seed: int = DEFAULTS.split_seed,
    eigen_cutoff: float = DEFAULTS.eigen_cutoff,
    outlier_norm_ratio: float | None = None,
    resamples: int = DEFAULTS.bootstrap.resamples,
    level: float = DEFAULTS.bootstrap.level,
    seed: int = DEFAULTS.bootstrap.seed,
    max_fvu: float = 1.0,
    threads: int | None = None,
    device: str = "cpu",
    work_folder: str | Path | None = None,
    progress: bool = False,
    source: dict[str, Any] | None = None,
) -> Decomposed:
    """Split an SAE's error e = x − Sae(x) into a linear function of x and the rest (sections 4 and 5.1).

    The same engine, splits and intervals as the pipeline's `decomposition` stage. Memory holds one context of
    activations and the moments ((4 · folds) · d_model² float64); codes go to the work folder, error vectors nowhere.

    Args:
        activations: [context, position, d_model], or [row, d_model] with `context_ids`, `context_length` or `mask`:
            array, tensor, memory map, path of a file or folder (`api.containers`), or an iterator of
            [position, d_model]. Contexts may differ in length.
        sae: an object with `encode` and `decode` on [row, d_model] (sae-lens's, `saes.published`'s, your own),
            or the pair of functions. They get float32 tensors, in the SAE's own dtype and on its device where it says
            them. `decode` need not be linear in the codes; it is then called anew in each of two passes.
        reconstructions: Sae(x) in the form of the activations, where you have it; `sae` then gives L0 only.
        mask: [context, position] or [row], 1 (or true) for each row that counts, as a tokenizer's attention_mask:
            array, tensor or path of an .npy. The others take part in nothing and may hold anything. Without a mask,
            rows that look like padding are refused; "none" takes them as rows.
        context_ids: [row], the context of each row (array or path). Intervals and the context split rest on it.
        contexts: use the first so many.
        fit_share, folds, split_seed: share of rows (or contexts) that fit; folds of the cross-fitted probe.
        eigen_cutoff: directions whose eigenvalue is below so much of the largest are not fitted.
        outlier_norm_ratio: leave out rows with more than so many median norms, such as attention sinks; None keeps all.
        resamples, level, seed: of the bootstrap over contexts.
        max_fvu: refuse an SAE whose FVU on a sample of rows is so much or more.
        threads: of torch; 1 gives the stages' very bits, None leaves torch as it is.
        device: cpu, cuda or cuda:N, for the passes over the rows; an SAE computes where it is.
        work_folder: where copies and codes are kept meanwhile (default: the system's temporary folder).
        progress: show a bar with the time left, on standard error where that is a terminal.
        source: kept in the result as it is.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: data or SAE cannot be decomposed; says what is wrong and what to do, before the long work.
    """
    start = time.perf_counter()
    place = usable(device)
    settings = settings_of(
        resamples,
        level,
        seed,
        fit_share=fit_share,
        folds=folds,
        split_seed=split_seed,
        eigen_cutoff=eigen_cutoff,
        outlier_norm_ratio=outlier_norm_ratio,
    )
    if sae is None and reconstructions is None:
        raise ArtifactError("give an SAE, or Sae(x) as reconstructions")
    shape = getattr(activations, "shape", None)
    if shape is not None and len(shape) in (2, 3):
        check_declared(sae, shape[-1])
    with tempfile.TemporaryDirectory(prefix="decompose-", dir=work_folder) as name, use_threads(threads):
        work = Path(name)
        cut = {"mask": read_mask(mask), "context_ids": context_ids, "context_length": context_length}
        cut["contexts"] = contexts
        survey = Survey(None if every_row(mask) else PaddingWatch(masked=mask is not None))
        x = store(activations, work / "activations.npy", **cut, survey=survey)
        kept = survey.kept(outlier_norm_ratio, x)
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
            source=source or {},
            notes=notes,
            seconds=time.perf_counter() - start,
        )


def settings_of(resamples: int, level: float, seed: int, **own: float | None) -> Decomposition:
    """The parameters of the `decomposition` stage, checked as those of a profile are."""
    bootstrap = {"resamples": resamples, "level": level, "seed": seed}
    try:
        return Decomposition(**own, bootstrap=bootstrap)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(f"{first['loc'][-1]} = {first['input']!r}: {first['msg']}") from None


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
