"""What each part of an SAE's error does to the model's cross-entropy (section 5.3).

At the kept positions of one hookpoint x is replaced by

    sae         Sae(x)
    linear      Sae(x) + LinearError(x)
    nonlinear   Sae(x) + NonlinearError(x)
    random_P    Sae(x) + ‖P(x)‖ u,  P one of the parts, u uniform on the unit sphere, drawn anew for every token

and the blocks above run on. The random vectors are the control for "any vector of that size". `clean` is x itself.
Outliers (`outliers`) keep x and are not averaged over. LinearError is that of the context split's map, intercept
included, and the contexts are among those it was not fitted on; NonlinearError is what remains: SaeError =
x − Sae(x) = LinearError + NonlinearError.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.decomposition.passes import error_maps
from darkmatter.decomposition.samples import SaeSample, open_sample
from darkmatter.experiments.downstream.model_pass import ModelPass, Rows
from darkmatter.models.device import usable
from darkmatter.storage.artifacts import read_arrays, sha256_bytes, write_arrays

MAP = "map.npz"  # b* of one SAE: weight [d_model, d_model], intercept [d_model], rank, rows
SUMS = "sums.npz"  # of one context: cross-entropies, norms, squares
PARTS = ("linear", "nonlinear")
SPLIT = "context"

open_once = functools.cache(open_sample)


def fit_map(out: Path, **sample: Any) -> None:
    """Write b* of one SAE (Eq. 11), fitted on the contexts of the context split (a unit of the downstream stage).

    Args:
        sample: arguments of `samples.open_sample`.

    Raises:
        ArtifactError: codes, decoder and activations do not fit together.
    """
    linear_map = error_maps(open_sample(**sample))[SPLIT]
    arrays = {"rank": np.array(linear_map.rank), "rows": np.array(linear_map.rows)}
    arrays |= {name: getattr(linear_map, name).cpu().numpy() for name in ("weight", "intercept")}
    write_arrays(out / MAP, arrays)


def splice_context(
    out: Path,
    model: str,
    tokens: str,
    hookpoint: str,
    first_position: int,
    context: int,
    activations: str,
    prepared: str,
    saes: list[dict[str, str]],
    controls: list[str],
    seed: int,
    fit_share: float,
    folds: int,
    split_seed: int,
    device: str = "cpu",
) -> None:
    """Write the sums of one context over all its splices (a unit of the downstream stage).

    Args:
        model: folder of the model.
        tokens: .npy, int32 [context, context_length].
        context: which context of `tokens` and `activations`.
        prepared: folder written by `shared_moments.prepare` for the activations.
        saes: `name`, and the paths `codes`, `sae` (as `samples.open_sample`) and `map` (as `fit_map` writes it).
        controls: parts whose norms random vectors take.
        device: where the model runs and the vectors are made.

    `sums.npz` holds, summed over the kept positions but outliers, in float64: `rows`; `ce/clean`; `x_sum` and
    `x_square` [d_model], shifted; `residual_gap`, the largest relative distance of a row from the stored activation;
    and for each SAE `NAME/ce/SPLICE` (nats), `NAME/norm/VECTOR` (norms, unsquared) and `NAME/left/SPLICE` [d_model],
    the squares of what the splice leaves of x.

    Raises:
        ArtifactError: the residual is not the stored one, files do not fit together, or a loss is not finite.
    """
    place = usable(device)
    one = ModelPass.of(model, tokens, hookpoint, first_position, context, activations, prepared, place)
    kept = one.kept
    clean = one.loss_of(one.residual, "clean")
    sums = {"rows": np.array(float(kept.sum())), "residual_gap": np.array(one.residual_gap), "ce/clean": clean}
    for entry in saes:
        name = entry["name"]
        sample = open_once(activations, prepared, entry["codes"], entry["sae"], fit_share, folds, split_seed)
        parts = split_context(sample, context, read_arrays(Path(entry["map"])), place)
        x = parts["x"]
        if "x_sum" not in sums:
            shifted = x[kept].double() - sample.prepared.x_shift.to(place)
            sums |= {"x_sum": shifted.sum(0).cpu().numpy(), "x_square": shifted.square().sum(0).cpu().numpy()}
        sums |= {f"{name}/norm/{part}": norms(rows[kept]).sum().cpu().numpy() for part, rows in parts.items()}
        for splice, rows in replacements(parts, controls, (seed, context, f"{hookpoint}/{name}")).items():
            sums[f"{name}/left/{splice}"] = (x[kept].double() - rows[kept].double()).square().sum(0).cpu().numpy()
            sums[f"{name}/ce/{splice}"] = one.cross_entropy(rows, x, f"{name}/{splice}")
    write_arrays(out / SUMS, sums)


def split_context(
    sample: SaeSample, context: int, linear_map: dict[str, np.ndarray], place: torch.device
) -> dict[str, Rows]:
    """x, Sae(x), SaeError and its two parts at the kept positions of one context, on a device.

    The sample stays on the CPU: of what it holds, the regressions' factors among it, no splice needs more than this.
    """
    x, sae = (part.to(place) for part in sample.context(context))
    weight, intercept = (torch.from_numpy(linear_map[name]).to(x) for name in ("weight", "intercept"))
    linear = (x - sample.prepared.x_shift.to(x)) @ weight + intercept
    error = x - sae
    return {"x": x, "sae": sae, "error": error, "linear": linear, "nonlinear": error - linear}


def replacements(parts: dict[str, Rows], controls: list[str], seed: tuple[int, int, str]) -> dict[str, Rows]:
    """What takes the place of x in each splice.

    Args:
        seed: seed, context and SAE; each control draws from its own stream, whatever the others.
    """
    rows = {"sae": parts["sae"]} | {part: parts["sae"] + parts[part] for part in PARTS}
    for part in controls:
        rows[f"random_{part}"] = parts["sae"] + random_directions(parts[part], *seed, part)
    return rows


def random_directions(vectors: Rows, seed: int, context: int, *names: str) -> Rows:
    """Vectors of uniform random direction, each of the norm of its row of `vectors`."""
    stream = [int(sha256_bytes(name.encode())[:16], 16) for name in names]
    draws = np.random.default_rng([seed, context, *stream]).standard_normal(tuple(vectors.shape))
    directions = torch.from_numpy(draws / np.linalg.norm(draws, axis=1, keepdims=True)).to(vectors.device)
    return (norms(vectors)[:, None] * directions).to(vectors.dtype)


def norms(vectors: Rows) -> Float[Tensor, " position"]:
    """Norm of each row, float64."""
    return vectors.double().norm(dim=1)
