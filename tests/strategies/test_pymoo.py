"""The bridge to pymoo: its algorithms search with the space's own moves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ogive._errors import InputError, UnknownNameError
from ogive.spaces.base import get_space
from ogive.strategies import get_strategy
from ogive.strategies.pareto import hypervolume, pareto_mask

pytest.importorskip("pymoo")


def objectives(g):
    g = np.asarray(g)
    layers = (g == 3) * np.array([1.0, 2.0, 1.5, 3.0, 2.5, 1.0])
    return np.stack(
        [layers.sum(axis=1) - (g == 4).sum(axis=1), -(g >= 2).sum(axis=1) - 0.5 * (g == 3).sum(axis=1)], axis=1
    )


def reached(spec, steps, batch):
    space = get_space("nasbench201")
    strategy = get_strategy(spec, space, n_objectives=2, seed=2)
    seen = []
    for _ in range(steps):
        g = strategy.ask(batch)
        strategy.tell(g, objectives(g))
        seen.append(objectives(g))
    seen = np.concatenate(seen)
    return hypervolume(seen[pareto_mask(seen)], np.array([-7.0, -10.0]))


def test_multi_objective_algorithms_beat_chance():
    chance = reached("random", 30, 10)
    for spec in ("pymoo:NSGA2,pop_size=20", "pymoo:NSGA3,pop_size=31", "pymoo:SPEA2,pop_size=20"):
        assert reached(spec, 30, 10) > chance


@pytest.mark.parametrize("spec", ["pymoo:GA,pop_size=15", "pymoo:algorithm=DE,pop_size=15", "pymoo:PSO,pop_size=15"])
def test_single_objective_algorithms_climb(spec):
    space = get_space("nasbench201")
    strategy = get_strategy(spec, space, seed=0)
    means = []
    for _ in range(20):
        g = strategy.ask(15)
        space.check(g)
        worth = objectives(g)[:, :1]
        strategy.tell(g, worth)
        means.append(worth.mean())
    assert np.mean(means[-3:]) > np.mean(means[:3]) + 1


def test_a_generation_is_handed_out_once_and_waits_for_its_answers():
    space = get_space("nasbench201")
    strategy = get_strategy("pymoo:NSGA2,pop_size=8", space, n_objectives=2, seed=0)
    first = strategy.ask(8)
    extra = strategy.ask(4)  # mutants, because the generation is out
    assert (np.abs(extra[:, None].astype(int) - first[None]) > 0).sum(axis=2).min(axis=1).max() <= 1
    strategy.tell(first[:7], objectives(first[:7]))
    before = strategy._algorithm.n_gen
    strategy.tell(first[7:], objectives(first[7:]))
    assert strategy._algorithm.n_gen == before + 1
    assert {tuple(g) for g in strategy._algorithm.pop.get("X").astype(int)} == {tuple(g) for g in first}


def test_constraints_are_pymoos_own():
    space = get_space("nasbench201")
    strategy = get_strategy("pymoo:NSGA2,pop_size=10", space, n_objectives=2, seed=3)
    for _ in range(12):
        g = strategy.ask(10)
        excess = np.maximum((g == 3).sum(axis=1) - 2.0, 0)
        values = np.where(excess[:, None] > 0, -np.inf, objectives(g))
        strategy.tell(g, values, excess)
    assert ((strategy._algorithm.pop.get("X") == 3).sum(axis=1) <= 2).all()


def test_is_replayed_through_a_changed_restriction():
    space = get_space("nasbench201")
    strategy = get_strategy("pymoo:NSGA2,pop_size=6", space, n_objectives=2, seed=1)
    for step in range(8):
        if step == 4:
            strategy.space = space.restrict(lock={"0->1": "nor_conv_1x1"})
        g = strategy.ask(5)
        strategy.tell(g, objectives(g))
    other = get_strategy("pymoo:NSGA2,pop_size=6", space, n_objectives=2, seed=9)
    other.restore(json.loads(json.dumps(strategy.state())))
    other.space = strategy.space
    for _ in range(6):
        a, b = strategy.ask(5), other.ask(5)
        assert a.tolist() == b.tolist()
        assert (a[:, 0] == 2).all()
        for s in (strategy, other):
            s.tell(a, objectives(a))


def test_unknown_names_and_options():
    space = get_space("nasbench201")
    with pytest.raises(UnknownNameError, match="NSGA2"):
        get_strategy("pymoo:NSGA4", space)
    with pytest.raises(InputError, match="pop_size"):
        get_strategy("pymoo:NSGA2,populace=3", space)
