"""First-improvement local search, replayed proposal by proposal against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from ogive.spaces import get_space
from ogive.strategies import get_strategy
from ogive.testing.strategy import Box, Ruled, ask, score, tell


@pytest.mark.parametrize("space", [Box(), Ruled(), Box().restrict(exclude={"c1": ["b"]}), get_space("nasbench201")])
def test_every_proposal_follows_from_the_answers_before_it(space):
    strategy = get_strategy("local", space, seed=1)
    values = np.random.default_rng(2).normal(size=space.box)
    place, height, tried, starts = None, -np.inf, set(), 0
    for _ in range(3000):
        (row,) = strategy.ask(1)
        value = values[space.index(row[None])[0]]
        around = {tuple(r) for r in space.neighbours(place).tolist()} if place is not None else set()
        key = tuple(row.tolist())
        if place is None or tried == around:
            starts += 1
            near = place is not None and (row != place).sum() <= 1
            moved = not near or value > height
        else:
            assert key in around - tried, "neither an untried neighbour nor a start after all were tried"
            tried.add(key)
            moved = value > height
        if moved:
            place, height, tried = row, value, set()
        strategy.tell(row[None], np.array([[value]]))
    assert starts > 10


def test_the_first_neighbour_is_any_of_them_with_equal_chance():
    space = get_space("nasbench201")
    lanes = 12_000
    strategy = get_strategy("local", space, lanes=lanes, seed=3)
    start = strategy.ask(1)
    strategy.tell(start, np.ones((lanes, 1)))
    one = strategy.ask(1)
    strategy.tell(one, np.zeros((lanes, 1)))
    two = strategy.ask(1)
    for proposal in (one, two):
        changed = proposal != start
        assert (changed.sum(axis=1) == 1).all()
        column = changed.argmax(axis=1)
        rows = np.arange(lanes)
        turn = (proposal[rows, column].astype(int) - start[rows, column]) % 5
        assert chisquare(np.bincount(column * 5 + turn, minlength=30)[np.arange(30) % 5 > 0]).pvalue > 1e-4
    assert (one != two).any(axis=1).all()


def test_a_batch_holds_the_next_neighbours_and_moves_to_the_best_of_them():
    space = get_space("nasbench201")
    strategy = get_strategy("local", space, seed=4)
    start = strategy.ask(1)
    strategy.tell(start, np.array([[0.0]]))
    batch = strategy.ask(24)
    assert sorted(map(tuple, batch.tolist())) == sorted(map(tuple, space.neighbours(start[0]).tolist()))
    values = np.linspace(-1, 1, 24)[np.random.default_rng(0).permutation(24)]
    strategy.tell(batch, values[:, None])
    assert ((strategy.ask(24) != batch[values.argmax()]).sum(axis=1) == 1).all()


def test_late_answers_about_a_given_up_optimum_do_not_bring_it_back():
    space = get_space("nasbench201")
    strategy = get_strategy("local", space, seed=5)
    start = strategy.ask(1)
    strategy.tell(start, np.array([[10.0]]))
    neighbours = strategy.ask(24)
    strategy.tell(neighbours[:20], np.zeros((20, 1)))
    fresh = strategy.ask(1)
    assert (fresh != start).sum() > 1
    strategy.tell(neighbours[20:], np.zeros((4, 1)))
    strategy.tell(fresh, np.array([[1.0]]))
    assert (strategy.ask(10) != fresh).sum(axis=1).tolist() == [1] * 10


def test_a_better_architecture_from_elsewhere_becomes_the_place_unless_it_is_outside():
    space = get_space("nasbench201")
    strategy = get_strategy("local", space.restrict(exclude={"0->1": ["none"]}), seed=6)
    strategy.tell(strategy.ask(1), np.array([[0.0]]))
    given = np.array([[1, 2, 3, 4, 3, 2]], dtype=np.uint8)
    strategy.tell(given, np.array([[5.0]]))
    assert ((strategy.ask(23) != given).sum(axis=1) == 1).all()
    outside = np.array([[0, 2, 3, 4, 3, 2]], dtype=np.uint8)
    strategy.tell(outside, np.array([[9.0]]))
    assert (strategy.ask(50)[:, 0] != 0).all()


def test_a_new_restriction_makes_a_new_neighbourhood():
    space = get_space("nasbench201")
    strategy = get_strategy("local", space, seed=7)
    start = strategy.ask(1)
    strategy.tell(start, np.array([[3.0]]))
    strategy.ask(5)
    keep = space.format(start[0]).split("|")[1].split("~")[0]
    strategy.space = space.restrict(lock={"0->1": keep})
    batch = strategy.ask(20)
    expected = strategy.space.neighbours(start[0])
    assert sorted(map(tuple, batch.tolist())) == sorted(map(tuple, expected.tolist()))
    strategy.space = space.restrict(exclude={"0->1": [keep]})
    assert ((strategy.ask(4) != start).sum(axis=1) >= 1).all()
    assert strategy._starting.all()


def test_lanes_climb_apart_from_each_other():
    space = Box()
    lanes = 50
    strategy = get_strategy("local", space, lanes=lanes, seed=8)
    best = float(score(space, space.enumerate(), 1).max())
    found = np.full(lanes, -np.inf)
    for _ in range(200):
        g = ask(strategy, 1)
        found = np.maximum(found, score(space, g, 1)[:, 0])
        tell(strategy, g)
    assert (found == best).all()
