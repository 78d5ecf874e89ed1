"""The order of answers, the state's way through JSON, and the errors of names and options."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive import OgiveError
from ogive.strategies import get_strategy
from ogive.strategies.base import worth
from ogive.testing.strategy import Box

values = st.one_of(st.just(-math.inf), st.floats(-1e12, 1e12))
violations = st.one_of(st.just(0.0), st.just(math.inf), st.floats(1e-9, 1e9))


@given(st.lists(st.tuples(values, violations), min_size=2, max_size=8))
def test_worth_orders_as_constraint_domination(rows):
    v, broken = map(np.array, zip(*rows, strict=True))
    w = worth(v[:, None], broken)
    assert np.isfinite(w).all()
    for i in range(len(rows)):
        for j in range(len(rows)):
            if broken[i] == broken[j] == 0:
                assert (w[i] > w[j]) == (v[i] > v[j])
            elif broken[j] > 0:
                better = broken[i] == 0 or broken[i] < broken[j] * (1 - 1e-6)
                assert not better or w[i] >= w[j]
                assert broken[i] > 0 or w[i] > w[j]


def test_smaller_violation_is_worth_more():
    w = worth(np.zeros((5, 1)), np.array([3.0, 0.2, 0.1, 1e6, math.inf]))
    assert np.argsort(-w).tolist() == [2, 1, 0, 3, 4]
    assert w[3] > w[4]


def test_without_violations_worth_is_the_value():
    assert worth(np.array([[2.5], [-1.0]])).tolist() == [2.5, -1.0]


@pytest.mark.parametrize(
    ("v", "broken", "message"),
    [
        (np.array([[np.nan]]), None, "value is NaN"),
        (np.array([[1.0]]), np.array([np.nan]), "violation is NaN"),
        (np.ones((2, 2)), None, r"shape \(n, 1\)"),
        (np.ones(2), None, r"shape \(n, 1\)"),
    ],
)
def test_worth_refuses_what_is_no_score(v, broken, message):
    with pytest.raises(OgiveError, match=message):
        worth(v, broken)


@pytest.mark.parametrize("name", ["evolution", "local", "nsga2"])
def test_no_strategy_takes_nan_for_a_score(name):
    strategy = get_strategy(name, Box())
    g = strategy.ask(2)
    with pytest.raises(OgiveError, match="NaN"):
        strategy.tell(g, np.array([[1.0], [np.nan]]))


def test_infinities_and_exact_floats_survive_json():
    strategy = get_strategy("nsga2", Box(), n_objectives=2, seed=1)
    g = strategy.ask(3)
    told = np.array([[0.1 + 0.2, -np.inf], [1e-300, 5.0], [-np.inf, -np.inf]])
    strategy.tell(g, told, np.array([0.0, np.inf, 1e-17]))
    other = get_strategy("nsga2", Box(), n_objectives=2, seed=2)
    other.restore(json.loads(json.dumps(strategy.state())))
    assert json.dumps(other.state()) == json.dumps(strategy.state())
    assert other._values.tolist() == told.tolist()
    assert other._violation.tolist() == [0.0, np.inf, 1e-17]


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("evolutoin", {}, "unknown strategy 'evolutoin'; did you mean 'evolution'"),
        ("evolution:populaton=3", {}, "unknown option of strategy 'evolution' 'populaton'; did you mean 'population'"),
        ("evolution:lanes=3", {}, "unknown option"),
        ("nsga2:seed=3", {}, "unknown option"),
        ("evolution:population=1", {}, "whole number population >= 2, not 1"),
        ("evolution:population=2.5", {}, "whole number population"),
        ("evolution:population=99999", {}, "60,000"),
        ("evolution:sample=many", {}, "whole number sample"),
        ("nsga2:crossover=2", {}, "crossover between 0 and 1"),
        ("nsga2:mutation=x", {}, "mutation between 0 and 1"),
        ("local", {"n_objectives": 2}, "'local' has one objective, not 2"),
        ("nsga2", {"lanes": 2}, "got an unexpected keyword argument 'lanes'|one search at a time"),
    ],
)
def test_wrong_names_and_options_are_one_line(spec, options, message):
    with pytest.raises(OgiveError, match=message) as caught:
        get_strategy(spec, Box(), **options)
    assert "\n" not in str(caught.value)
