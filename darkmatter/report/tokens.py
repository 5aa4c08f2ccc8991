"""The token view: each token of a few contexts with a step of the colour scale for each norm."""

import math
from typing import Any

import numpy as np

from darkmatter.report.numbers import digits

Content = dict[str, Any]

NORMS = {
    "error": ("‖SaeError‖²", "error_sq"),
    "linear": ("‖LinearError‖²", "linear_sq"),
    "nonlinear": ("‖NonlinearError‖²", "nonlinear_sq"),
}
STEPS = 7  # shades; the style sheet has one for each


def tokens_content(content: Content) -> Content | None:
    """Tokens with their steps, or None where there are none.

    One scale serves the three norms, so that switching compares them: its edges lie at equal ratios between the 5th
    and 95th percentile of all values shown.

    Args:
        content: of token_view.json.
    """
    if not content["contexts"]:
        return None
    edges = scale(np.array([context[key] for context in content["contexts"] for _, key in NORMS.values()]))
    return {
        "hookpoint": content["hookpoint"],
        "sae": content["sae"],
        "d_sae": content["d_sae"],
        "k": content["k"],
        "norms": [{"name": name, "label": label} for name, (label, _) in NORMS.items()],
        "steps": [
            {
                "step": step,
                "low": digits(edges[step - 1]) if step else None,
                "high": digits(edges[step]) if step < len(edges) else None,
            }
            for step in range(STEPS)
        ],
        "contexts": [context_content(context, edges) for context in content["contexts"]],
    }


def scale(values: np.ndarray) -> list[float]:
    """Edges between the steps; equal ratios."""
    positive = values[values > 0]
    low, high = np.percentile(positive, (5, 95)) if positive.size else (1.0, 2.0)
    return np.geomspace(low, max(high, 1.001 * low), STEPS - 1).tolist()


def context_content(context: Content, edges: list[float]) -> Content:
    return {
        "document": context["document"],
        "domain": context["domain"],
        "first": context["first_position"],
        "last": context["first_position"] + len(context["text"]) - 1,
        "tokens": [
            {
                "position": context["first_position"] + index,
                "text": text,
                "share": share(context, index),
                "norms": {name: digits(context[key][index]) for name, (_, key) in NORMS.items()},
                "steps": {name: step_of(context[key][index], edges) for name, (_, key) in NORMS.items()},
            }
            for index, text in enumerate(context["text"])
        ],
    }


def share(context: Content, index: int) -> str:
    """‖SaeError‖² over ‖x‖² of one token, per cent."""
    size = context["x_sq"][index]
    return f"{100 * context['error_sq'][index] / size:.0f} %" if size else "—"


def step_of(value: float, edges: list[float]) -> int:
    return int(np.searchsorted(edges, value, side="right")) if math.isfinite(value) else 0
