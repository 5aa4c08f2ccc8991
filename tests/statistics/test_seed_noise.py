"""What another training seed does to a number, against simulated seeds and against the algebra."""

import numpy as np
import pytest

from darkmatter.statistics.paired_r2 import slope
from darkmatter.statistics.seed_noise import UNDEFINED, SeedNoise, moved_term, own_moves, seed_fact, seed_groups


def sae(seed: int, **more) -> dict:
    return {"architecture": "topk", "d_sae": 64, "k": 4, "train_tokens": 9, "seed": seed} | more


def test_groups_differ_in_their_seed_alone():
    saes = [sae(0), sae(1), sae(0, d_sae=128), sae(2, train_tokens=5), sae(3, k=8), sae(4, k=8), sae(3, k=8)]
    groups = seed_groups(saes, lambda one, key: one[key])
    assert [[one["seed"] for one in group] for group in groups] == [[0, 1], [3, 4, 3]]
    assert seed_groups([sae(0), sae(0)], lambda one, key: one[key]) == []


def test_a_pair_gives_half_the_square_of_its_difference():
    fact = seed_fact([7.0], [[1.0, 1.6]])["of_seed"]
    assert fact == {"deviation": pytest.approx(0.6 / 2**0.5), "freedom": 1}
    assert seed_fact([7.0], []) == {}


def test_means_and_slopes_have_the_noise_of_each_sae():
    groups = [[1.0, 1.3, 1.1], [4.0, 4.4]]
    variance = (np.var(groups[0]) * 3 + np.var(groups[1]) * 2) / 3
    x = np.array([0.0, 1.0, 4.0])
    for combine, weights in (
        (lambda values: values.mean(0), np.full(3, 1 / 3)),
        (lambda values: slope(x, values), (x - x.mean()) / np.square(x - x.mean()).sum()),
    ):
        fact = seed_fact([1.0, 2.0, 5.0], groups, combine)["of_seed"]
        assert fact["deviation"] == pytest.approx((variance * np.square(weights).sum()) ** 0.5)
        assert fact["freedom"] == 3


def test_replicates_are_averaged_by_their_weights():
    noise = SeedNoise.of([[1.0, 2.0]])
    once = moved_term(np.zeros(2), own_moves(2, noise), lambda values: values.sum(0), 1)
    twice = [np.concatenate([move, move], axis=1) for move in own_moves(2, noise)]
    assert moved_term(np.zeros(2), twice, lambda values: values.sum(0), 1, np.full(4, 0.5)) == once


def test_an_undefined_number_has_no_term():
    assert seed_fact([1.0], [[1.0, None]]) == {"of_seed": {"reason": UNDEFINED}}
    assert seed_fact([1.0], [[1.0, np.nan]]) == {"of_seed": {"reason": UNDEFINED}}
    lost = lambda values: np.where(values[0] < 0, np.nan, values[0])  # noqa: E731
    assert moved_term(np.ones(1), [np.array([[0.0, -2.0]])], lost, 1) == UNDEFINED
