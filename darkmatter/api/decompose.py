"""`from darkmatter import decompose`: the decomposition of an SAE's error, on activations and an SAE in memory.

No torch until it is called: `split_error` has what it does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from darkmatter.params.decomposition import Bootstrap, Decomposition
from darkmatter.storage.artifacts import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor

    from darkmatter.api.contexts import Activations
    from darkmatter.api.masks import Mask
    from darkmatter.api.result import Decomposed
    from darkmatter.api.results import DecomposedSaes

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
    targets: Activations | None = None,
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
    parts: str | Path | None = None,
    progress: bool = False,
    source: dict[str, Any] | None = None,
) -> Decomposed | DecomposedSaes:
    """Split an SAE's error e = x − Sae(x) into a linear function of x and the rest (sections 4 and 5.1).

    The same engine, splits and intervals as the pipeline's `decomposition` stage. Memory holds one context of
    activations and the moments ((4 · folds) · d_model² float64); codes go to the work folder, error vectors nowhere.

    Args:
        activations: [context, position, d_model], or [row, d_model] with `context_ids`, `context_length` or `mask`:
            array, tensor, memory map, path of a file or folder (`api.containers`), or an iterator of
            [position, d_model]. Contexts may differ in length.
        sae: an object with `encode` and `decode` on [row, d_model] (sae-lens's, `saes.published`'s, your own),
            or the pair of functions. They get float32 tensors, in the SAE's own dtype and on its device where it says
            them. `decode` need not be linear in the codes; it is then called anew in each of two passes. A mapping of
            names to SAEs decomposes all of them on the same rows, and gives a mapping of names to results.
        targets: of a transcoder, what it is to give for the same rows, in the form of the activations; e is then
            targets − T(x), still as a function of x. With a skip connection (`W_skip` of sae-lens's objects) the result
            has the error without it too.
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
        parts: folder to be made, for e and its two parts of each row, which the result then maps (`api.parts`); of many
            SAEs it has a folder for each.
        progress: show a bar with the time left, on standard error where that is a terminal.
        source: kept in the result as it is; of many SAEs by name.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: data or SAE cannot be decomposed; says what is wrong and what to do, before the long work.
    """
    from darkmatter.api.split_error import split_error

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
    cut = {"context_ids": context_ids, "context_length": context_length, "mask": mask, "contexts": contexts}
    return split_error(
        activations,
        sae,
        targets,
        reconstructions,
        cut,
        settings,
        max_fvu=max_fvu,
        threads=threads,
        device=device,
        work_folder=work_folder,
        parts=parts,
        progress=progress,
        source=source or {},
    )


def settings_of(resamples: int, level: float, seed: int, **own: float | None) -> Decomposition:
    """The parameters of the `decomposition` stage, checked as those of a profile are."""
    bootstrap = {"resamples": resamples, "level": level, "seed": seed}
    try:
        return Decomposition(**own, bootstrap=bootstrap)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(f"{first['loc'][-1]} = {first['input']!r}: {first['msg']}") from None
