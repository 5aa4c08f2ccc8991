"""Accuracy in each decile from what was predicted of each latent, with intervals clustered by latent: no torch.

The accuracy of a decile is the share of its windows in which the judge said that the latent fires; that of the
silent windows, the share in which it said that it does not. Examples of one latent share one explanation, so latents
are resampled (BCa), those of each part on their own: the parts' SAEs have different latents. A latent that was not
answered is counted and left out.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.error_saes.names import PARTS
from darkmatter.experiments.interpretability.latent_examples import ExampleCounts, lacking
from darkmatter.statistics.bootstrap import ContextBootstrap, bca
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import joint, with_ends

Sums = Mapping[str, np.ndarray]
Table = np.ndarray  # accuracy, [latent, 1 + deciles]; column 0 is of the silent windows
Number = Callable[[Table], np.ndarray]  # [latent, …] → [latent]


def accuracies(sums: Sums, deciles: int) -> Table:
    """Each answered latent's accuracy in each decile, from `record_arrays`."""
    answered = sums["unanswered"] == ""
    table = []
    for decile, predicted in zip(sums["decile"][answered], sums["prediction"][answered], strict=True):
        right = predicted == (decile > 0)
        table.append([right[decile == number].mean() for number in range(deciles + 1)])
    return np.array(table).reshape(-1, deciles + 1)


def mean_of_latents(values: Sequence[np.ndarray], examples: int, bootstrap: dict[str, Any]) -> Estimate:
    """Mean over latents of one array, or that of the first minus that of the second; `examples` of each latent."""
    counts = [len(part) for part in values]
    facts = {"rows": examples * sum(counts), "latents": counts if len(counts) > 1 else counts[0]}
    if min(counts) < 2:
        reason = f"{min(counts)} latents answered; an interval over latents needs two"
        return {"value": None, "low": None, "high": None, **facts, "reason": reason}
    sign = (1.0, -1.0)
    value = sum(s * part.mean() for s, part in zip(sign, values, strict=False))
    resampled, left_out = np.zeros(bootstrap["resamples"]), []
    for number, part in enumerate(values):
        seed = bootstrap["seed"] + number  # one part's latents are drawn apart from the other's
        units = ContextBootstrap(len(part), bootstrap["resamples"], bootstrap["level"], seed)
        resampled += sign[number] * (units.weights @ part) / len(part)
        without = (part.sum() - part) / (len(part) - 1)
        left_out.append(value + sign[number] * (without - part.mean()))
    low, high = bca(value, np.sort(resampled), np.concatenate(left_out), bootstrap["level"])
    return {"value": float(value), "low": low, "high": high, **facts}


def results(
    own: Mapping[str, Sums], windows: int, plan: ExampleCounts, asked: int, bootstrap: dict[str, Any]
) -> dict[str, Any]:
    """Both parts, their difference (linear − nonlinear) and the claim's estimand.

    Args:
        own: part → its `record_arrays`, and `fired` [latent of the SAE]: in how many of the windows each fires.
        asked: latents that were asked for.
        bootstrap: `resamples`, `level` and `seed`.
    """
    deciles, examples_per_decile, negatives = plan.deciles, plan.examples_per_decile, plan.negatives
    tables = {part: accuracies(own[part], deciles) for part in PARTS}
    numbers: list[tuple[str, dict[str, Any], Number, int]] = [
        ("mean", {}, lambda table: table[:, 1:].mean(1), deciles * examples_per_decile),
        ("silent", {}, lambda table: table[:, 0], negatives),
        (
            "balanced",
            {},
            lambda table: (table[:, 0] + table[:, 1:].mean(1)) / 2,
            deciles * examples_per_decile + negatives,
        ),
        *(
            ("decile", {"decile": number}, lambda table, number=number: table[:, number], examples_per_decile)
            for number in range(1, deciles + 1)
        ),
    ]

    def estimates(chosen: Sequence[str], bootstrap: dict[str, Any] = bootstrap) -> dict[str, Any]:
        result: dict[str, Any] = {"decile": []}
        for name, key, number, examples in numbers:
            one = key | mean_of_latents([number(tables[part]) for part in chosen], examples, bootstrap)
            if name == "decile":
                result["decile"].append(one)
            else:
                result[name] = one
        return result

    difference = estimates(PARTS)
    parts = {
        part: {
            "asked": asked,
            "found": len(own[part]["latent"]),
            "latents": len(own[part]["fired"]),
            "skipped": {
                reason: {"latents": int(mask.sum()), "share": float(mask.mean())}
                for reason, mask in lacking(own[part]["fired"], windows, plan).items()
            },
            "answered": len(tables[part]),
            "unanswered": dict(Counter(reason for reason in own[part]["unanswered"].tolist() if reason)),
            "accuracy": estimates([part]),
        }
        for part in PARTS
    }
    together = joint(bootstrap, deciles + 1)  # the mean and each decile are judged together
    judged = estimates(PARTS, together)
    levels = bootstrap["level"], together["level"]
    claim = {key: with_ends(difference[key], judged[key], *levels) for key in ("mean", "decile")}
    return {"parts": parts, "difference": difference, "estimands": {"error_sae_interpretability": claim}}
