"""The level of each of several intervals that hold together (Bonferroni): no torch.

A claim with m judged components promises its level for all of them at once, so each interval misses with
(1 − level)/m. Components are counted as the rule judges them: every element of an `every:` list is one.
"""

import math
from collections.abc import Mapping
from typing import Any

BEYOND = 10  # resamples beyond each end of an interval; the ends of fewer jump with the seed


def joint_level(level: float, components: int) -> float:
    """The level of each of `components` intervals that hold together at `level`.

    Raises:
        ValueError: there is no component, or the level is no probability.
    """
    if components < 1 or not 0 < level < 1:
        raise ValueError(f"no joint level of {components} components at {level}")
    return 1 - (1 - level) / components


def joint(bootstrap: Mapping[str, Any], components: int) -> dict[str, Any]:
    """The bootstrap of each of several intervals that hold together: its level, and resamples enough for its ends.

    Args:
        bootstrap: `resamples`, `level` and `seed` of a single interval; none at all counts as one component.
    """
    if components <= 1:
        return dict(bootstrap)
    level = joint_level(bootstrap["level"], components)
    return {**bootstrap, "level": level, "resamples": max(bootstrap["resamples"], math.ceil(2 * BEYOND / (1 - level)))}


def stating(level: float, components: Mapping[str, Any]) -> dict[str, Any]:
    """The same components, each estimate with the `level` that its interval has."""
    return {
        name: [{**item, "level": level} for item in found] if isinstance(found, list) else {**found, "level": level}
        for name, found in components.items()
    }
