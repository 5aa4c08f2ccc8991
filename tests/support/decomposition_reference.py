"""A naive, dense reference of the decomposition: scipy.linalg.lstsq on all rows at once, in float64."""

import numpy as np
import scipy.linalg


def regress(x, t, fitted, intercept=True):
    """Predictions for every row of the least-squares map fitted on the rows `fitted`."""
    design = np.column_stack([x, np.ones(len(x))]) if intercept else x
    return design @ scipy.linalg.lstsq(design[fitted], t[fitted])[0]


def r2(t, predicted, scored):
    """Mean over dimensions of 1 − SSE/SST on the rows `scored`."""
    t, predicted = t[scored], predicted[scored]
    left = ((t - predicted) ** 2).sum(0)
    return float(np.mean(1 - left / ((t - t.mean(0)) ** 2).sum(0)))


def fvu(x, approximation, scored):
    """Pooled SSE/SST on the rows `scored`."""
    x, approximation = x[scored], approximation[scored]
    return float(((x - approximation) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


def sq(vectors):
    return (vectors**2).sum(1)


def reference(x, sae, splits, split, convention):
    """Every number of one split and convention, the long way. Rows are flattened to [row, dim]."""
    fitted = splits.fits_on(split).ravel()
    held_out, everything = ~fitted, np.ones_like(fitted)
    intercept = convention == "paper"
    error = x - sae
    linear = regress(x, error, fitted, intercept)
    scored = held_out if convention == "paper" else everything
    parts_map = linear if convention == "paper" else regress(x, error, everything, intercept=False)
    targets = {"x": x, "sae": sae, "error": error, "linear": parts_map, "nonlinear": error - parts_map}
    norm_test = {
        name: r2(sq(t)[:, None], regress(x, sq(t)[:, None], fitted, intercept), held_out) for name, t in targets.items()
    }
    return {
        "norm_test": norm_test,
        "norm_r2": norm_test["error"],
        "vector_r2": r2(error, linear, held_out),
        "fvu": fvu(x, sae, scored),
        "fvu_nonlinear": fvu(x, sae + linear, scored),
        "fvu_per_dim": 1 - r2(x, sae, scored),
        "fvu_nonlinear_per_dim": 1 - r2(x, sae + linear, scored),
        "norm_ratio": float(np.sqrt(sq(sae))[held_out].mean() / np.sqrt(sq(x))[held_out].mean()),
        "cos_linear_x": float(((parts_map * x).sum(1) / np.sqrt(sq(parts_map) * sq(x)))[held_out].mean()),
        "linear_norm_sq": float(sq(parts_map)[held_out].mean()),
        "nonlinear_norm_sq": float(sq(error - parts_map)[held_out].mean()),
    }


def reference_cross_fit(x, sae, splits, positions):
    """R² of the norm probes of both parts, every row predicted by maps and probes that never saw its fold."""
    fold = np.repeat(splits.fold, positions)
    error = x - sae
    linear = np.empty_like(error)
    for number in range(splits.fold.max() + 1):
        inside = fold == number
        linear[inside] = regress(x, error, ~inside)[inside]
    result = {}
    for name, part in {"linear": linear, "nonlinear": error - linear}.items():
        target = sq(part)[:, None]
        predicted = np.empty_like(target)
        for number in range(splits.fold.max() + 1):
            inside = fold == number
            predicted[inside] = regress(x, target, ~inside)[inside]
        result[name] = r2(target, predicted, np.ones(len(x), dtype=bool))
    return result
