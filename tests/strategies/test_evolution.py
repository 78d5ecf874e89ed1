"""Ageing evolution does what algorithm 1 of Real et al. says, in every lane."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from ogive.spaces import get_space
from ogive.strategies import get_strategy


@pytest.fixture
def space():
    return get_space("nasbench201")


def grown(space, spec, lanes=1, seed=0, count=None):
    """A strategy whose first population has been told, member k with value k in every lane."""
    strategy = get_strategy(spec, space, lanes=lanes, seed=seed)
    count = strategy.population if count is None else count
    for k in range(count):
        strategy.tell(strategy.ask(1), np.full((lanes, 1), float(k)))
    return strategy


def distance(a, b):
    return (np.asarray(a) != np.asarray(b)).sum(axis=-1)


def test_a_child_is_one_change_away_from_the_best_of_a_sample_that_holds_everyone(space):
    strategy = grown(space, "evolution:population=5,sample=400")
    best = strategy.members[0][4, 0]
    children = strategy.ask(300)
    assert (distance(children, best) == 1).all()
    assert len(np.unique(children, axis=0)) == 24


def test_the_oldest_dies_however_good_it_is(space):
    strategy = get_strategy("evolution:population=5,sample=400", space)
    first = strategy.ask(5)
    strategy.tell(first, np.array([[9.0], [1.0], [2.0], [3.0], [4.0]]))
    assert (distance(strategy.ask(20), first[0]) == 1).all()
    strategy.tell(first[1:2], np.array([[0.0]]))
    assert (distance(strategy.ask(20), first[4]) == 1).all()


def test_winners_of_tournaments_have_the_law_of_sampling_with_replacement(space):
    lanes, population, sample = 20_000, 6, 3
    strategy = grown(space, f"evolution:population={population},sample={sample}", lanes=lanes)
    members = strategy.members[0]
    child = strategy.ask(1)
    near = np.stack([distance(child, members[k]) for k in range(population)]) == 1
    only = near.sum(axis=0) == 1
    won = np.bincount(near[:, only].argmax(axis=0), minlength=population)
    rank = np.arange(1, population + 1)
    law = (rank / population) ** sample - ((rank - 1) / population) ** sample
    assert only.mean() > 0.95
    assert chisquare(won, law * won.sum()).pvalue > 1e-4


def test_the_first_population_is_random_and_the_rest_is_not(space):
    strategy = get_strategy("evolution:population=30,sample=60", space, seed=3)
    parents = strategy.ask(30)
    strategy.tell(parents, np.arange(30.0)[:, None])
    mixed = get_strategy("evolution:population=30,sample=600", space, seed=3)
    mixed.tell(mixed.ask(20), np.arange(20.0)[:, None])
    best = mixed.members[0][19, 0]
    apart = distance(mixed.ask(40), best)
    assert (apart[10:] == 1).all()
    assert apart[:10].max() > 1


def test_more_answers_than_members_leave_the_last_ones(space):
    strategy = get_strategy("evolution:population=4,sample=2", space)
    rows = space.sample(11, np.random.default_rng(0))
    strategy.tell(rows, np.arange(11.0)[:, None])
    held, worth = strategy.members
    assert sorted(worth[:, 0].tolist()) == [7.0, 8.0, 9.0, 10.0]
    order = worth[:, 0].argsort()
    assert held[order, 0].tolist() == rows[7:].tolist()


def test_a_feasible_member_beats_any_infeasible_one(space):
    strategy = get_strategy("evolution:population=3,sample=300", space)
    rows = strategy.ask(3)
    strategy.tell(rows, np.array([[5.0], [-np.inf], [9.0]]), np.array([0.1, 0.0, 0.2]))
    assert (distance(strategy.ask(10), rows[1]) == 1).all()
    strategy.tell(rows[[0, 2, 0]], np.array([[-np.inf], [9.0], [9.0]]), np.array([0.1, 0.2, 0.3]))
    assert (distance(strategy.ask(10), rows[0]) == 1).all()


def test_lanes_do_not_mix(space):
    strategy = get_strategy("evolution:population=4,sample=200", space, lanes=3, seed=5)
    rows = strategy.ask(4)
    by_lane = rows.reshape(4, 3, -1)
    values = np.zeros((4, 3))
    for lane, best in enumerate((2, 0, 3)):
        values[best, lane] = 1.0
    strategy.tell(rows, values.reshape(-1, 1))
    children = strategy.ask(25).reshape(25, 3, -1)
    for lane, best in enumerate((2, 0, 3)):
        assert (distance(children[:, lane], by_lane[best, lane]) == 1).all()
