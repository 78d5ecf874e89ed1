"""BANANAS: its networks against finite differences, its search against chance."""

from __future__ import annotations

import numpy as np
import pytest

from ogive._errors import InputError
from ogive.spaces.base import get_space
from ogive.strategies import get_strategy
from ogive.strategies.bananas import _forward, _gradient


def test_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(7, 4)), rng.normal(size=7)
    weights = [rng.normal(size=(2, a + 1, b)) for a, b in ((4, 5), (5, 3), (3, 1))]

    def loss(member):
        return ((_forward(weights, X)[-1][member, :, 0] - y) ** 2).mean()

    for layer, gradient in zip(weights, _gradient(weights, X, y), strict=True):
        for at in [(0, 0, 0), (1, layer.shape[1] - 1, 0), (1, 1, layer.shape[2] - 1)]:
            kept = layer[at]
            layer[at] = kept + 1e-6
            up = loss(at[0])
            layer[at] = kept - 1e-6
            numeric = (up - loss(at[0])) / 2e-6
            layer[at] = kept
            assert gradient[at] == pytest.approx(numeric, rel=1e-4, abs=1e-7)


def worth(genotypes):
    """Convolutions count, and those behind another one count more."""
    g = np.asarray(genotypes)
    return ((g == 3) * np.array([1.0, 2.0, 1.5, 3.0, 2.5, 1.0])).sum(axis=1) - (g == 0).sum(axis=1)


def test_finds_what_chance_does_not():
    space = get_space("nasbench201")
    found = []
    for seed in range(3):
        strategy = get_strategy("bananas", space, seed=seed)
        best = -np.inf
        for _ in range(12):
            g = strategy.ask(5)
            strategy.tell(g, worth(g)[:, None])
            best = max(best, worth(g).max())
        found.append(best)
    drawn = worth(space.sample(60 * 500, np.random.default_rng(0))).reshape(500, 60).max(axis=1)
    assert np.mean(found) > np.quantile(drawn, 0.95)


def test_never_proposes_what_is_known():
    space = get_space("nasbench201").restrict(lock={"0->1": "none", "0->2": "none", "0->3": "none"})
    strategy = get_strategy("bananas", space, seed=0)
    seen = []
    for _ in range(20):
        g = strategy.ask(5)
        strategy.tell(g, worth(g)[:, None])
        seen += space.keys(g)
    assert len(set(seen[10:])) == len(seen[10:])


def test_bad_options():
    with pytest.raises(InputError, match="members"):
        get_strategy("bananas:members=1", get_space("nasbench201"))
