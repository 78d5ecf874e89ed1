"""Coverage and bias are counts; checked on a space small enough to count by hand."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ogive.spaces.base import get_space
from ogive.spaces.template import Template
from ogive.strategies.coverage import bias, coverage
from ogive.testing.strategy import Box, Ruled

BRANCHES = Path(__file__).parents[2] / "examples" / "templates" / "branches.yaml"


def test_coverage_of_a_listed_space_is_exact():
    space = Ruled()
    g = space.parse(["0111", "0111", "1000"])
    found = coverage(space, g)
    assert (found.evaluated, found.allowed, found.exact) == (2, 54.0, True)
    assert found.log10 == pytest.approx(math.log10(2 / 54))
    pairs = {frozenset(p) for row in g.tolist() for p in combinations(enumerate(row), 2)}
    assert (found.pairs, found.unseen_pairs) == (6 * 9, 6 * 9 - len(pairs))
    locked = coverage(space.restrict(lock={"c0": "b"}), g)
    assert (locked.evaluated, locked.allowed) == (1, 18.0)
    assert (locked.pairs, locked.unseen_pairs) == (3 * 3 + 3 * 9, 3 * 3 + 3 * 9 - 6)


def test_equal_architectures_count_once():
    space = Template.load(BRANCHES)
    everything = space.enumerate()
    found = coverage(space, everything)
    assert found.evaluated == found.allowed == len(np.unique(space.canonical(everything), axis=0))
    assert (found.log10, found.unseen_pairs) == (0.0, 0)


def test_coverage_of_a_large_space_is_estimated():
    space = get_space("nasbench101")
    found = coverage(space, space.sample(5, np.random.default_rng(0)))
    assert not found.exact
    # 373,754,169 genotypes are architectures, as the space's own count says.
    assert abs(found.allowed / space.size - 1) < 0.05


def test_nothing_evaluated_is_no_coverage():
    space = Box()
    found = coverage(space, space.parse(["0000"])[:0])
    assert found.to_dict()["log10"] is None
    assert found.unseen_pairs == found.pairs == 54


def test_bias_is_relative_to_uniform_draws():
    space = Box()
    g = space.parse(["0000", "0100", "0200", "0110"])
    found = {b.choice: b for b in bias(space, space.parts(g).sum(axis=0))}
    assert found["c0"].share == {"a": 3.0, "b": 0.0, "c": 0.0}
    assert (found["c0"].ratio, found["c0"].red) == (math.inf, True)
    assert found["c0"].gini == pytest.approx(2 / 3)
    assert found["c1"].share == {"a": 0.75, "b": 1.5, "c": 0.75}
    assert (found["c1"].ratio, found["c1"].red) == (2.0, False)
    json.dumps([b.to_dict() for b in found.values()], allow_nan=False)
    steered = bias(space.restrict(lock={"c0": "a"}, exclude={"c1": ["b"]}), space.parts(g).sum(axis=0))
    assert [b.choice for b in steered] == ["c1", "c2", "c3"]
    assert steered[0].share == {"a": 1.0, "c": 1.0}
    assert bias(space, np.zeros(12, dtype=np.int64)) == []


def test_drawing_sets_uniformly_is_even():
    space = Template.load(BRANCHES)
    for found in bias(space, space.parts(space.enumerate()).sum(axis=0)):
        assert found.ratio == pytest.approx(1.0)
        assert found.gini == pytest.approx(0.0)
