"""Random search draws what the space draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from ogive.strategies import get_strategy
from ogive.testing.strategy import Ruled


def test_draws_are_uniform_over_valid_architectures():
    space = Ruled()
    strategy = get_strategy("random", space, seed=1)
    drawn = space.index(strategy.ask(27_000))
    counts = np.bincount(drawn, minlength=space.box)[space.index(space.enumerate())]
    assert counts.sum() == 27_000
    assert chisquare(counts).pvalue > 1e-4


def test_weights_steer_the_draws():
    strategy = get_strategy("random", Ruled(), seed=2)
    strategy.space = strategy.space.restrict(weights={"c3": {"a": 8.0}})
    assert (strategy.ask(4000)[:, 3] == 0).mean() == pytest.approx(0.8, abs=0.03)


def test_answers_change_nothing():
    one, two = (get_strategy("random", Ruled(), n_objectives=2, seed=3) for _ in range(2))
    two.tell(two.space.enumerate()[:2], np.array([[1.0, 2.0], [-np.inf, -np.inf]]), np.array([0.0, 1.0]))
    assert one.ask(20).tolist() == two.ask(20).tolist()
