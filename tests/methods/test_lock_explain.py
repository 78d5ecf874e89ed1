"""Effects against plain averages and planted ones, Shapley values against every order of the choices."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from ogive.methods._lock_explain import explain, shapley
from ogive.spaces.base import Choice, Space, get_space


class Small(Space):
    """Three choices; with `rule`, the first and last option of the first two do not go together."""

    name = "small"
    choices = (Choice("a", ("x", "y", "z")), Choice("b", ("x", "y")), Choice("c", ("p", "q", "r", "s")))
    rule = False

    def valid(self, genotypes):
        g = np.asarray(genotypes)
        return ~((g[:, 0] == 0) & (g[:, 1] == 1)) if self.rule else np.ones(len(g), dtype=bool)


class Ruled(Small):
    rule = True


def by_orders(space, chosen, genotypes, values):
    """Shapley values from their definition: the mean gain of a choice over all orders in which choices are fixed."""
    k = space.n_choices

    def worth(fixed):
        same = (genotypes[:, list(fixed)] == chosen[list(fixed)]).all(axis=1)
        return values[same].mean()

    orders = list(itertools.permutations(range(k)))
    gains = np.zeros(k)
    for order in orders:
        for i, c in enumerate(order):
            gains[c] += worth(order[: i + 1]) - worth(order[:i])
    return gains / len(orders)


@pytest.mark.parametrize("kind", [Small, Ruled])
def test_shapley_values_are_the_mean_over_all_orders(kind):
    space, rng = kind(), np.random.default_rng(0)
    every = space.enumerate()
    values = rng.normal(size=len(every))
    for chosen in every[::5]:
        found = shapley(space, chosen, every, values)
        assert np.allclose(found, by_orders(space, chosen, every, values))
        mine = values[(every == chosen).all(axis=1)][0]
        assert found.sum() == pytest.approx(mine - values.mean())


def test_exact_effects_are_averages_and_have_no_interval():
    space = get_space("transnas_micro")
    every = space.enumerate()
    gap = np.random.default_rng(1).normal(size=len(every)) + 5.0 * (every[:, 2] == 3)
    found = explain(space, every[7], every, gap, exact=True)
    assert (found.exact, found.n) == (True, 4096)
    assert found.gap == gap[7]
    assert found.mean == pytest.approx(gap.mean())
    assert sum(found.shapley.values()) == pytest.approx(gap[7] - gap.mean())
    for e in found.effects:
        c = [choice.name for choice in space.choices].index(e.choice)
        having = every[:, c] == space.choices[c].options.index(e.option)
        assert e.effect == pytest.approx(gap[having].mean() - gap.mean())
        assert e.low == e.effect == e.high
        assert (e.count, e.chosen) == (1024, bool(having[7]))


def planted(space, n, seed, noise):
    """Return a random sample whose gap is a sum of option effects and noise, and those effects."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 4, size=m) for m in space.cardinalities]
    every = space.enumerate()
    genotypes = every[rng.choice(len(every), n, replace=False)]
    gap = sum(w[genotypes[:, c]] for c, w in enumerate(weights)) + rng.normal(0, noise, n)
    return genotypes, gap, np.concatenate([w - w.mean() for w in weights])


def test_intervals_of_a_sample_hold_the_planted_effects_as_often_as_they_say():
    space = get_space("transnas_micro")
    inside, width = [], []
    for seed in range(30):
        genotypes, gap, truth = planted(space, 120, seed, noise=6.0)
        found = explain(space, genotypes[0], genotypes, gap, exact=False)
        low, high = (np.array([getattr(e, side) for e in found.effects]) for side in ("low", "high"))
        inside.append((low <= truth) & (truth <= high))
        width.append((high - low).mean())
    # 720 intervals: 95 % of them, give or take three standard errors.
    assert 0.92 <= np.mean(inside) <= 0.98
    genotypes, gap, _ = planted(space, 1200, 0, noise=6.0)
    more = explain(space, genotypes[0], genotypes, gap, exact=False)
    assert np.mean([e.high - e.low for e in more.effects]) < 0.5 * np.mean(width)


def test_a_sample_of_a_real_table_gives_nearly_the_shares_of_the_whole(shared):
    table = pd.read_csv(shared / "transnasbench101_micro.csv.gz")
    space = get_space("transnas_micro")
    every = space.parse(table["arch"].tolist())
    ranks = table.filter(like="_val").rank(pct=True) * 100
    gap = (ranks["autoencoder_val"] - ranks.drop(columns="autoencoder_val").mean(axis=1)).to_numpy()
    at = np.random.default_rng(0).choice(len(every), 150, replace=False)
    similar = []
    for chosen in every[at[:8]]:
        found = explain(space, chosen, every[at], gap[at], exact=False)
        assert found.gap - found.mean == pytest.approx(sum(found.shapley.values()))
        truth = explain(space, chosen, every, gap, exact=True)
        similar.append(np.corrcoef(list(found.shapley.values()), list(truth.shapley.values()))[0, 1])
    assert np.mean(similar) > 0.9


def test_a_large_space_has_effects_but_no_shapley_values():
    space = get_space("darts")
    genotypes = space.sample(40, np.random.default_rng(0))
    found = explain(space, genotypes[3], genotypes, np.arange(40.0), exact=False)
    assert found.shapley is None
    assert found.gap == 3.0
    assert len(found.effects) > 20


def test_an_option_nobody_has_is_left_out():
    space = Small()
    some = space.enumerate()
    some = some[some[:, 2] != 3]
    found = explain(space, some[0], some, np.arange(float(len(some))), exact=False)
    assert ("c", "s") not in [(e.choice, e.option) for e in found.effects]
