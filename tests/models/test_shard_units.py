"""How the activations of a profile are cut into shards."""

import itertools

import pytest
from profiles import profile_params

from stages.activations import shard_units


@pytest.mark.parametrize("profile", ["smoke", "smollm2"])
@pytest.mark.parametrize("split", ["train", "eval"])
def test_shards_of_each_hookpoint_follow_one_another_to_its_last_context(profile, split):
    params = profile_params(profile)
    units = shard_units(params, split, 1, "float32")
    for name, data in params.hookpoints.items():
        ends = [
            (unit.arguments["start"], unit.arguments["stop"]) for unit in units if name in unit.arguments["hookpoints"]
        ]
        wanted = params.tokens.eval_contexts if split == "eval" else data.train_contexts
        assert (ends[0][0], ends[-1][1]) == (0, wanted) if wanted else not ends
        assert all(one[1] == other[0] for one, other in itertools.pairwise(ends))
        assert all(0 < stop - start <= params.activations.shard_contexts for start, stop in ends)
