"""Proposals of a trained distribution against a sort of the whole box."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive._errors import InputError
from ogive.spaces.base import get_space
from ogive.spaces.preference import preference
from ogive.strategies import get_strategy
from ogive.strategies._most_likely import most_likely
from ogive.testing.strategy import Box, Ruled


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4))
def test_combinations_come_in_the_order_of_a_full_sort(seed, n_choices, width):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n_choices, width)).round(1)  # with ties
    logits[rng.random(logits.shape) < 0.3] = -np.inf
    logits[np.arange(n_choices), rng.integers(0, width, n_choices)] = 0.5
    box = np.stack(np.meshgrid(*[np.arange(width)] * n_choices, indexing="ij"), axis=-1).reshape(-1, n_choices)
    sums = logits[np.arange(n_choices), box].sum(axis=1)
    listed = np.array(list(most_likely(logits)))
    assert len({tuple(row) for row in listed.tolist()}) == len(listed) == np.isfinite(sums).sum()
    np.testing.assert_allclose(
        logits[np.arange(n_choices), listed].sum(axis=1), np.sort(sums[np.isfinite(sums)])[::-1], atol=1e-12
    )


def test_a_long_genotype_is_no_trouble():
    logits = np.random.default_rng(0).normal(size=(60, 7))
    rows = most_likely(logits)
    sums = [logits[np.arange(60), next(rows)].sum() for _ in range(3000)]
    assert sums[0] == pytest.approx(logits.max(axis=1).sum())
    assert (np.diff(sums) <= 1e-12).all()


@pytest.mark.parametrize("space", [Box(), Ruled()])
def test_proposes_the_argmax_then_the_next_likely_and_none_twice(space):
    logits = np.random.default_rng(1).normal(size=(4, 3))
    strategy = get_strategy("gdas", space, seed=0)
    strategy.learn(logits)
    rows = space.enumerate()
    order = np.argsort(-logits[np.arange(4), rows].sum(axis=1))
    asked = np.concatenate([strategy.ask(n) for n in (1, 10, 0, len(rows) - 11)])
    np.testing.assert_array_equal(asked, rows[order])
    assert space.valid(strategy.ask(5)).all()  # nothing new is left


def test_what_was_told_is_not_asked():
    space = Box()
    strategy = get_strategy("darts", space)
    logits = np.random.default_rng(1).normal(size=(4, 3))
    strategy.learn(logits)
    best = logits.argmax(axis=1)[None]
    strategy.tell(best, np.ones((1, 1)))
    assert best[0].tolist() not in strategy.ask(80).tolist()
    strategy.learn(logits)  # another supernet, another measurement
    np.testing.assert_array_equal(strategy.ask(1), best)


def test_architectures_that_compute_the_same_are_proposed_once():
    space = get_space("nasbench201")
    strategy = get_strategy("darts", space, seed=3)
    asked = strategy.ask(3000)
    assert len(set(space.keys(space.canonical(asked)))) == 3000


def test_steering_acts_on_the_softmax():
    space = Box()
    strategy = get_strategy("pc-darts", space)
    strategy.learn(np.log([[1.0, 2.0, 3.0]] * 4))
    np.testing.assert_allclose(strategy.distribution()[0], [1 / 6, 2 / 6, 3 / 6])
    strategy.nudges[0, 0] = 1.0  # odds times four
    np.testing.assert_allclose(strategy.distribution()[0], [4 / 9, 2 / 9, 3 / 9])
    strategy.space = space.restrict(exclude={"c0": ["a"]}, lock={"c1": "b"}, weights={"c2": {"c": 2.0}})
    np.testing.assert_allclose(
        strategy.distribution(), [[0, 0.4, 0.6], [0, 1, 0], [1 / 9, 2 / 9, 6 / 9], [1 / 6, 2 / 6, 3 / 6]]
    )
    assert strategy.ask(1).tolist() == [[2, 1, 2, 2]]
    np.testing.assert_array_equal(np.isfinite(preference(strategy.space, strategy.nudges)), strategy.distribution() > 0)


def test_without_training_no_option_is_preferred():
    first = np.concatenate([get_strategy("enas", Box(), seed=seed).ask(1) for seed in range(300)])
    counts = np.stack([np.bincount(column, minlength=3) for column in first.T])
    assert (np.abs(counts - 100) < 35).all()  # over 4 standard deviations


def test_state_holds_what_was_learned():
    space = Box()
    strategy = get_strategy("gumbel", space, seed=1)
    strategy.learn(np.random.default_rng(2).normal(size=(4, 3)))
    strategy.nudges[1, 1] = -0.5
    strategy.ask(7)
    other = get_strategy("gumbel", space, seed=2)
    other.restore(json.loads(json.dumps(strategy.state())))
    np.testing.assert_array_equal(other.ask(90), strategy.ask(90))


def test_sampler_specs():
    specs = {name: get_strategy(name, Box()).sampler_spec for name in ("darts", "darts:order=2", "pc-darts", "enas")}
    assert list(specs.values()) == ["darts:order=1", "darts:order=2", "pc-darts", "enas"]


def test_bad_input():
    with pytest.raises(InputError, match="order=1 or order=2"):
        get_strategy("darts:order=3", Box())
    strategy = get_strategy("gdas", Box())
    with pytest.raises(InputError, match=r"shape \(4, 3\)"):
        strategy.learn(np.zeros((3, 4)))
    with pytest.raises(InputError, match="not finite"):
        strategy.learn(np.full((4, 3), np.nan))
