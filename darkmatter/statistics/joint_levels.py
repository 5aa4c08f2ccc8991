"""The two levels of each of several intervals that one rule judges: no torch.

A claim agrees where the intervals of all its m components lie inside their regions. That is an intersection of tests:
it errs only where some component truly lies outside, whose own test errs with 1 − level. So each interval is at the
claim's level itself. It disagrees where *any* interval lies outside; m chances to err need intervals that hold together
(Bonferroni): each misses with (1 − level)/m. Those ends stand under `joint` of an estimate. Components are counted as
the rule judges them: every element of an `every:` list is one.
"""

import math
from collections.abc import Callable, Mapping
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


def at_both(make: Callable[[dict[str, Any]], Any], bootstrap: Mapping[str, Any], components: int) -> Any:
    """What `make` makes of a bootstrap, at the claim's level, with the ends at the joint level under `joint`.

    Args:
        make: gives an estimate, or a list or dict of what `make` may give, of one shape at every level.
    """
    own, together = dict(bootstrap), joint(bootstrap, components)
    result = make(own | {"resamples": together["resamples"]})
    return with_ends(result, make(together) if components > 1 else None, own["level"], together["level"])


def with_ends(value: Any, wide: Any, level: float, joint_level: float) -> Any:
    """`value` with its `level`, and the ends of `wide`, the same at the joint level, under `joint`."""
    if isinstance(value, list):
        return [with_ends(one, wide and wide[i], level, joint_level) for i, one in enumerate(value)]
    if "value" not in value:
        return {name: with_ends(one, wide and wide[name], level, joint_level) for name, one in value.items()}
    if value["value"] is None or wide is None:
        return value | {"level": level}
    return value | {"level": level, "joint": {"level": joint_level, "low": wide["low"], "high": wide["high"]}}
