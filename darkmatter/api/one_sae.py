"""The error of one SAE on rows whose moments are there already: encode, make the passes, estimate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from darkmatter.api import engine
from darkmatter.api.checks import Opened
from darkmatter.api.coders import keeps_codes
from darkmatter.api.core_facts import row_means, sparsity
from darkmatter.api.parts import PartsWriter, RowParts
from darkmatter.api.result import Decomposed
from darkmatter.api.rows import GivenRows
from darkmatter.decomposition.passes import TABLE, Keep, write_sums
from darkmatter.decomposition.results import ESTIMATES, MOMENTS, estimate_sae, regressions
from darkmatter.decomposition.samples import Rebuilt, SaeSample
from darkmatter.decomposition.shared_moments import (
    Prepared,
    float32_mean,
    read_prepared,
    read_x_sums,
    without_factors,
    write_moments,
)
from darkmatter.params.decomposition import Decomposition
from darkmatter.regression.context_sums import RowSums
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays


@dataclass(frozen=True)
class SharedMoments:
    """What all SAEs of one call share: the factors of S_xx, and the sums of what they are to give.

    Attributes:
        sums: .npz that the estimates read: rows, rank, and the sums of y.
    """

    prepared: Prepared
    sums: Path
    settings: Decomposition
    place: torch.device

    @classmethod
    def of(
        cls, rows: GivenRows, settings: Decomposition, place: torch.device, work: Path, tick: engine.Tick
    ) -> "SharedMoments":
        file = work / MOMENTS
        file.parent.mkdir()
        write_moments(file.parent, engine.ProgressGrid(rows.x, tick), rows.splits, settings.eigen_cutoff, place)
        sums = file
        if rows.has_targets:
            sums = work / "targets.npz"
            write_arrays(sums, without_factors(read_arrays(file)) | target_sums(rows))
        return cls(read_prepared(file.parent, rows.splits, place), sums, settings, place)


def target_sums(rows: GivenRows) -> dict[str, np.ndarray]:
    """Σ ỹ and Σ ỹ² of each context, in place of those of x: the variance that a transcoder is to explain."""
    shift = float32_mean(rows.y, rows.kept, "targets")
    row_sets = torch.from_numpy(rows.splits.row_sets()).double()
    total, square = (RowSums(row_sets, rows.y.shape[2]) for _ in range(2))
    for context in range(len(rows.y)):
        shifted = torch.from_numpy(np.array(rows.y[context])).double() - shift
        total.update(context, shifted)
        square.update(context, shifted**2)
    return {"x_sum": total.numpy(), "x_square": square.numpy()}


def decompose_one(
    opened: Opened | None,
    rows: GivenRows,
    shared: SharedMoments,
    work: Path,
    tick: engine.Tick,
    parts: Path | None,
    source: dict[str, Any],
) -> Decomposed:
    """The whole result of one SAE, of a transcoder with a skip connection also without it.

    Args:
        opened: None where Sae(x) came without its SAE.
        parts: folder in which the parts of each row are kept.
    """
    firings, rebuilt = sae_rows(None if opened is None else opened.sae, rows, work, tick)
    skip = None if opened is None else opened.skip
    whole, kept = rebuilt, None
    if skip is not None and rows.given is None:
        whole = engine.WithSkip(rebuilt, rows.x, skip)
    writer = None if parts is None else PartsWriter(parts, rows)
    facts = one_pass(whole, firings, rows, shared, work / "whole", tick, writer)
    if writer is not None:
        kept = writer.close(read_arrays(work / "whole" / TABLE))
    without = None
    if skip is not None:
        bare = rebuilt if rows.given is None else engine.WithSkip(rebuilt, rows.x, -skip)
        facts_without = one_pass(bare, firings, rows, shared, work / "without", tick, None)
        without = result_of(facts_without, firings, rows, shared, None, None, {})
    return result_of(facts, firings, rows, shared, without, kept, source)


def one_pass(
    rebuilt: Rebuilt,
    firings: engine.FiringCounts | None,
    rows: GivenRows,
    shared: SharedMoments,
    folder: Path,
    tick: engine.Tick,
    keep: Keep | None,
) -> dict[str, Any]:
    """The estimates of one Sae(x), and means over rows."""
    folder.mkdir(parents=True)
    x = engine.ProgressGrid(rows.x, tick)
    sample: SaeSample = SaeSample(x, rebuilt, rows.splits, shared.prepared)
    if rows.has_targets:
        sample = engine.TargetSample(x, rebuilt, rows.splits, shared.prepared, rows.y)
    nothing = engine.FiringCounts(rows.x, rows.kept, 0)  # of a given Sae(x) no latents are known
    write_sums(folder, sample, read_x_sums(shared.sums), (firings or nothing).of_contexts, keep)
    estimate_sae(folder, shared.sums.as_posix(), folder.as_posix(), **shared.settings.bootstrap.model_dump())
    result = read_json(folder / ESTIMATES)
    return result | {"core": row_means(read_arrays(folder / TABLE), rows)}


def result_of(
    facts: dict[str, Any],
    firings: engine.FiringCounts | None,
    rows: GivenRows,
    shared: SharedMoments,
    without_skip: Decomposed | None,
    parts: RowParts | None,
    source: dict[str, Any],
) -> Decomposed:
    known = firings is not None
    return Decomposed(
        rows=int(rows.kept.sum()),
        dropped_rows=int((rows.x.present & ~rows.kept).sum()),
        masked_rows=rows.x.masked,
        contexts=rows.x.shape[0],
        d_model=rows.x.shape[2],
        d_out=rows.y.shape[2] if rows.has_targets else None,
        d_sae=len(firings.rows_of_latent) if known else None,
        l0=facts["l0"] if known else None,
        dead_latents=facts["dead_latents"] if known else None,
        estimates=facts["estimates"],
        core=facts["core"] | (sparsity(firings, int(rows.kept.sum())) if known else {}),
        regressions=regressions(read_arrays(shared.sums)),
        settings=shared.settings.model_dump(),
        source=source,
        notes=rows.notes,
        without_skip=without_skip,
        parts=parts,
        seconds=0.0,
    )


def sae_rows(
    sae: engine.AnySae | None, rows: GivenRows, work: Path, tick: engine.Tick
) -> tuple[engine.FiringCounts | None, Rebuilt]:
    """What fires on the rows, and where Sae(x) of them comes from."""
    if sae is None:
        return None, engine.GivenReconstruction(rows.given)
    firings = engine.FiringCounts(rows.x, rows.kept, sae.d_sae)
    if rows.given is not None:
        engine.encode_all(sae, rows.x, firings, None, tick)
        return firings, engine.GivenReconstruction(rows.given)
    if not keeps_codes(sae):
        return firings, engine.Anew(sae, rows.x, firings)
    stored = engine.StoredCodes(work)
    engine.encode_all(sae, rows.x, firings, stored, tick)
    return firings, engine.FromCodes(sae, stored, rows.x)
