"""How much of an SAE's error do the SAEs of earlier components explain (section 6.2, Eq. 16)?

Each activation of the residual stream is the sum of its parents:

    resid_post.L = resid_post.(L−1) + attn_out.L + mlp_out.L

(Gemma 2 normalises the last two first; its hookpoints stand behind those norms.) An SAE may also be that of attn_z.L,
the heads before the output projection, as Gemma Scope's are: what it reconstructs then goes through the projection and
the norm (`attention_output`). From what the SAE of each parent
reconstructs, from all of them together, and from Sae(x) itself, the error of the SAE at resid_post.L and both of its
parts are predicted by least squares. A part predicted on the held-out rows of a split comes from the map b* of that
same split: LinearError = b*·x, NonlinearError = x − Sae(x) − b*·x. In the published code's convention neither b* nor
the prediction has an intercept.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.decomposition.passes import error_maps
from darkmatter.decomposition.samples import SaeSample, open_sample
from darkmatter.decomposition.shared_moments import Prepared
from darkmatter.experiments.components.attention_output import AttentionOutput, load_attention_output
from darkmatter.models.activation_files import open_activations, spacing
from darkmatter.params.types import ParamsError
from darkmatter.regression.held_out_regression import FIT_SETS, Derive, derived_sums, regress, through_origin
from darkmatter.saes.reconstructions import open_reconstructions
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays

MAPS = "maps.npz"  # `FIT SET/CONVENTION`: weights of b*, with intercept or through the origin, [d_model, d_model]
TARGET_SUMS = "target_sums.npz"  # `held_out_regression.derived_sums` of the error and its parts
SUMS = "sums.npz"  # `held_out_regression.HeldOut.sums` of one regression, and `rank/FIT SET`

CHECKED_CONTEXTS = 3
# Spacings of the model's numbers. Two additions round twice, the output projection and its norm three times, each by
# half a spacing; the model may add in another order than we do.
SUM_TOLERANCE = 4


def parents_of(hookpoint: str) -> tuple[str, str, str]:
    """The hookpoints that `hookpoint` is the sum of, in the order in which the block adds them.

    Raises:
        ParamsError: it is no resid_post, or that of block 0, whose parent is the embedding.
    """
    kind, _, layer = hookpoint.partition(".")
    if kind != "resid_post" or int(layer) == 0:
        raise ParamsError(
            f"components: Eq. 16 is about resid_post.1 and later, figures.main_hookpoint is {hookpoint}; fix conf/ "
            "and run `darkmatter params`"
        )
    return f"resid_post.{int(layer) - 1}", f"attn_out.{layer}", f"mlp_out.{layer}"


def check_parents(hookpoint: str, parents: list[str]) -> None:
    """Refuse SAEs (HOOKPOINT/NAME) that are not one for each parent of `hookpoint`."""
    expected = parents_of(hookpoint)
    results = [path.split("/")[0] for path in parents]
    if sorted(name.replace("attn_z.", "attn_out.") for name in results) != sorted(expected):
        raise ParamsError(
            f"components.parents must hold one SAE at each of {', '.join(expected)}, of which {hookpoint} is the sum "
            f"(Eq. 16; attn_z may stand for attn_out); it has {', '.join(results)}. Fix conf/ and run `darkmatter "
            "params`."
        )


def check_sum(activations: Path, parents: list[Path], attention: AttentionOutput | None = None) -> None:
    """Hold some contexts of the activations against the sum of the parents', to the rounding of the model's numbers.

    Args:
        attention: takes the parent at attn_z, if one is, to what attention adds.

    Raises:
        ArtifactError: they differ, or have other shapes.
    """
    x = open_activations(activations)
    through = [attention if path.name.startswith("attn_z.") else None for path in parents]
    shapes = [x.shape if after is None else (*x.shape[:2], after.d_z) for after in through]
    parts = [open_activations(path, shape) for path, shape in zip(parents, shapes, strict=True)]
    for context in np.unique(np.linspace(0, len(x) - 1, CHECKED_CONTEXTS).astype(int)):
        rows = [part[context].astype(np.float64) for part in parts]
        added = [row if f is None else f(torch.from_numpy(row)).numpy() for f, row in zip(through, rows, strict=True)]
        sizes = [np.abs(row) if f is None else f.magnitude(torch.from_numpy(row)).numpy()
                 for f, row in zip(through, rows, strict=True)]  # fmt: skip
        gap = np.abs(x[context] - sum(added))
        if (gap > SUM_TOLERANCE * spacing(x) * sum(sizes)).any():
            raise ArtifactError(
                f"context {context} of {activations} is not the sum of {', '.join(map(str, parents))} (Eq. 16): they "
                f"differ by up to {gap.max():.2g}. Were they extracted from the same model and tokens? Run `dvc repro "
                "-f activations`."
            )


def write_targets(out: Path, **sample: Any) -> None:
    """Write what all regressions share (a unit of the components stage): MAPS and TARGET_SUMS.

    Args:
        sample: arguments of `samples.open_sample`.
    """
    opened = open_sample(**sample)
    fitted = error_maps(opened)
    maps = {f"{name}/paper": fitted[name].weight.cpu().numpy() for name in FIT_SETS}
    maps |= {f"{name}/authors": through_origin(fitted[name]).cpu().numpy() for name in FIT_SETS}
    write_arrays(out / MAPS, maps)
    derive = parts(maps, opened.prepared)
    write_arrays(out / TARGET_SUMS, derived_sums(lambda context: error_and_x(opened, context), opened.splits, derive))


def error_and_x(sample: SaeSample, context: int) -> Float[Tensor, "position twice_d_model"]:
    x, sae = sample.context(context)
    return torch.cat([x - sae, x], 1)


def explain(
    out: Path,
    regressors: list[dict[str, Any]],
    targets: str,
    cutoff: float,
    **sample: Any,
) -> None:
    """Predict the error and its parts from Sae outputs; write what is left of them (a unit of the components stage).

    Args:
        regressors: `codes` and `sae` of each SAE whose output is a regressor, on the same tokens; `attention` of one
            of z, the arguments of `load_attention_output`.
        targets: folder written by `write_targets` for the same sample.
        cutoff: as in `held_out_regression.regress`.
        sample: arguments of `samples.open_sample`.
    """
    opened = open_sample(**sample)
    contexts, positions, _ = opened.x.shape
    sources = [open_regressor(**files, contexts=contexts, positions=positions) for files in regressors]

    def rows(context: int) -> tuple[Tensor, Tensor]:
        x = torch.cat([source(context) for source in sources], 1)
        return x.to(opened.prepared.device), error_and_x(opened, context)

    derive = parts(read_arrays(Path(targets) / MAPS), opened.prepared)
    result = regress(rows, opened.splits, cutoff, opened.prepared.products, derive)
    write_arrays(out / SUMS, result.sums | {f"rank/{name}": np.array(rank) for name, rank in result.rank.items()})


def open_regressor(
    codes: str, sae: str, contexts: int, positions: int, attention: dict[str, Any] | None = None
) -> Callable[[int], Float[Tensor, "position d_model"]]:
    """What an SAE makes of one context, as it enters the sum of Eq. 16."""
    opened = open_reconstructions(codes, sae, contexts, positions)
    if attention is None:
        return opened.context
    after = load_attention_output(**attention)
    if opened.decoder.d_model != after.d_z:
        raise ArtifactError(
            f"{sae} decodes to {opened.decoder.d_model} dimensions, the heads side by side are {after.d_z}: it "
            "is no SAE of z"
        )
    return lambda context: after(opened.context(context))


def parts(maps: dict[str, np.ndarray], prepared: Prepared) -> Derive:
    """(error, LinearError, NonlinearError) [row, 3·d_model] from (error, x) [row, 2·d_model], up to a constant."""
    weights = {name: torch.from_numpy(weight).to(prepared.device) for name, weight in maps.items()}

    def derive(fit_set: str, convention: str, base: Tensor) -> Tensor:
        error, x = base.chunk(2, 1)
        linear = x @ weights[f"{fit_set}/{convention}"].to(base.dtype)  # float64 where the regressors need it
        return torch.cat([error, linear, error - linear], 1)

    return derive
