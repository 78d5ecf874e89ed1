"""The bridge to Optuna proposes what Optuna itself would."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ogive._errors import InputError, UnknownNameError
from ogive.spaces.base import get_space
from ogive.strategies import get_strategy
from ogive.testing.strategy import Ruled

optuna = pytest.importorskip("optuna")


def worth(g):
    return float((g == 3).sum() - (g == 0).sum() * 0.5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("spec", "make"),
    [
        ("optuna:TPESampler,multivariate=true", lambda **o: optuna.samplers.TPESampler(multivariate=True, **o)),
        ("optuna:NSGAIISampler,population_size=5", lambda **o: optuna.samplers.NSGAIISampler(population_size=5, **o)),
        ("optuna:algorithm=RandomSampler", lambda **o: optuna.samplers.RandomSampler(seed=o["seed"])),
    ],
)
def test_proposes_what_optuna_would(spec, make):
    space = get_space("nasbench201")
    strategy = get_strategy(spec, space, seed=7)
    study = optuna.create_study(
        direction="maximize",
        sampler=make(seed=7, **({} if "Random" in spec else {"constraints_func": lambda _: (0.0,)})),
    )
    kinds = {c.name: optuna.distributions.CategoricalDistribution(list(range(5))) for c in space.choices}
    for _ in range(25):
        trial = study.ask(kinds)
        (row,) = strategy.ask(1)
        assert row.tolist() == [trial.params[c.name] for c in space.choices]
        study.tell(trial, worth(row))
        strategy.tell(row[None], np.array([[worth(row)]]))


def test_answers_nobody_asked_for_are_used():
    space = get_space("nasbench201")
    good = space.parse(
        ["|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"]
    )
    told = np.concatenate([space.sample(40, np.random.default_rng(0)), np.repeat(good, 10, axis=0)])
    knowing = get_strategy("optuna:TPESampler", space, seed=0)
    knowing.tell(told, np.array([[worth(g)] for g in told]))
    ignorant = get_strategy("optuna:TPESampler", space, seed=0)
    assert np.mean([worth(g) for g in knowing.ask(12)]) > np.mean([worth(g) for g in ignorant.ask(12)]) + 1.5


def test_broken_constraints_are_avoided():
    space = get_space("nasbench201")
    strategy = get_strategy("optuna:TPESampler,multivariate=true", space, seed=0)
    late = []
    for step in range(60):
        g = strategy.ask(1)
        excess = max(0.0, float((g == 3).sum()) - 2.0)
        strategy.tell(g, np.array([[worth(g) if excess == 0 else -np.inf]]), np.array([excess]))
        late += [excess > 0] * (step >= 30)
    assert np.mean(late) < 0.35


def test_a_changed_restriction_keeps_what_was_learned_and_is_replayed():
    space = get_space("nasbench201")
    strategy = get_strategy("optuna:NSGAIISampler,population_size=6", space, seed=1)
    for step in range(30):
        if step == 12:
            strategy.space = space.restrict(exclude={"0->1": ["none", "skip_connect"]}, weights={"1->2": {"none": 2.0}})
        g = strategy.ask(1)
        strategy.tell(g, np.array([[worth(g)]]))
    other = get_strategy("optuna:NSGAIISampler,population_size=6", space, seed=5)
    other.restore(json.loads(json.dumps(strategy.state())))
    other.space = strategy.space
    for _ in range(15):
        a, b = strategy.ask(1), other.ask(1)
        assert a.tolist() == b.tolist()
        for s in (strategy, other):
            s.tell(a, np.array([[worth(a)]]))


def test_invalid_points_of_the_box_never_come_out():
    strategy = get_strategy("optuna:RandomSampler", Ruled(), seed=0)
    assert Ruled().valid(strategy.ask(100)).all()


def test_unknown_names_and_options():
    space = get_space("nasbench201")
    with pytest.raises(UnknownNameError, match="TPESampler"):
        get_strategy("optuna:TPESampel", space)
    with pytest.raises(UnknownNameError, match="multivariate"):
        get_strategy("optuna:TPESampler,multivariat=true", space)
    with pytest.raises(InputError, match="search_space"):
        get_strategy("optuna:GridSampler", space)
