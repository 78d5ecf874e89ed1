"""Pairs of options: what was planted is found, what is noise is not, and R² is that of left-out evaluations."""

from __future__ import annotations

import numpy as np
import pytest

from ogive.spaces.base import get_space
from ogive.strategies.interactions import interactions

SPACE = get_space("nasbench201")


def drawn(seed, n=300):
    rng = np.random.default_rng(seed)
    g = SPACE.sample(n, rng)
    weights = rng.normal(size=SPACE.encode(g).shape[1])
    return g, SPACE.encode(g) @ weights, rng


def test_a_planted_pair_is_the_strongest():
    g, additive, rng = drawn(0)
    values = additive + 6.0 * ((g[:, 0] == 3) & (g[:, 4] == 1)) + 0.3 * rng.normal(size=len(g))
    found = interactions(SPACE, g, values)
    a, b, effect = found.pairs[0]
    names = {SPACE.part_names[a], SPACE.part_names[b]}
    assert names == {
        (SPACE.choices[0].name, SPACE.choices[0].options[3]),
        (SPACE.choices[4].name, SPACE.choices[4].options[1]),
    }
    assert effect > 0


def test_what_only_pairs_decide_is_predicted_by_pairs_only():
    g, _, rng = drawn(5, 400)
    same_half = (g[:, 0] < 2) == (g[:, 4] < 2)
    found = interactions(SPACE, g, same_half + 0.2 * rng.normal(size=len(g)))
    assert found.r2 > 0.3
    assert found.r2_parts < 0.1


def test_parts_without_interaction_are_predicted_by_parts():
    g, additive, _ = drawn(1)
    # A monotone map of few levels bends the sum: take what is nearly the rank itself.
    found = interactions(SPACE, g, additive)
    assert found.r2_parts > 0.9


def test_noise_shows_a_pair_in_few_of_many_searches():
    shown = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = interactions(SPACE, SPACE.sample(120, rng), rng.normal(size=120), seed=seed)
        assert found.r2 < 0.2
        shown += bool(found.pairs)
    # 5 % are meant to; eight of forty would be one in ten thousand at that rate.
    assert shown < 8


@pytest.mark.parametrize("n", [0, 5, 23])
def test_few_evaluations_say_nothing(n):
    g, values, _ = drawn(2, max(n, 1))
    found = interactions(SPACE, g[:n], values[:n])
    assert (found.r2, found.r2_parts, found.pairs) == (None, None, ())


def test_equal_values_say_nothing():
    g, _, _ = drawn(3, 50)
    assert interactions(SPACE, g, np.zeros(50)).r2 is None


def test_failures_count_as_the_worst():
    g, values, _ = drawn(4)
    values[g[:, 2] == 0] = -np.inf
    assert np.isfinite(interactions(SPACE, g, values).r2)
