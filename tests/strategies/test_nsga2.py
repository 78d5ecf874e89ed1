"""NSGA-II against pymoo: who survives, and how good the front becomes on a real table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.optimize import minimize

from ogive.spaces import get_space
from ogive.spaces.base import Shape
from ogive.strategies import get_strategy
from ogive.strategies.pareto import crowding_distance, hypervolume, non_dominated_ranks


def parents_of(space, rows, values, violation=None, population=20):
    strategy = get_strategy(f"nsga2:population={population}", space, n_objectives=values.shape[1])
    strategy.tell(rows, values, violation)
    return strategy._parents


def distinct(space, n, seed):
    return space.from_index(np.sort(np.random.default_rng(seed).permutation(space.box)[:n]))


@pytest.mark.parametrize("m", [2, 3])
def test_survivors_are_pymoos(m):
    space = get_space("nasbench201")
    for seed in range(20):
        rows = distinct(space, 60, seed)
        values = np.random.default_rng(seed).normal(size=(60, m))
        population = Population.new("X", np.arange(60)[:, None], "F", -values)
        kept = RankAndCrowding().do(Problem(n_var=1, n_obj=m), population, n_survive=20)
        ours = np.searchsorted(space.index(rows), space.index(parents_of(space, rows, values)))
        # Which end of a cut front survives is chance in both; front and crowding of the survivors are not.
        ranks = non_dominated_ranks(values)
        merit = np.column_stack([ranks, -crowding_distance(values, ranks)])
        assert sorted(merit[ours].tolist()) == sorted(merit[kept.get("X")[:, 0]].tolist())


def test_infeasible_survive_only_where_feasible_are_missing_and_by_violation():
    space = get_space("nasbench201")
    rows = distinct(space, 30, 1)
    values = np.random.default_rng(1).normal(size=(30, 2))
    violation = np.where(np.arange(30) < 12, 0.0, np.arange(30) / 10)
    kept = {tuple(r) for r in parents_of(space, rows, values, violation).tolist()}
    assert kept == {tuple(r) for r in rows[:20].tolist()}


def test_no_child_repeats_a_parent_or_another_child():
    space = get_space("nasbench201")
    strategy = get_strategy("nsga2:population=25", space, n_objectives=2, seed=2)
    rng = np.random.default_rng(2)
    for _ in range(12):
        parents = space.keys(strategy._parents)
        children = strategy.ask(25)
        keys = space.keys(children)
        assert len(set(keys)) == 25
        assert not set(keys) & set(parents)
        strategy.tell(children, rng.normal(size=(25, 2)))


def test_children_mix_their_parents():
    space = get_space("nasbench201")
    strategy = get_strategy("nsga2:population=2,crossover=1,mutation=0", space, n_objectives=2, seed=3)
    parents = np.array([[0] * 6, [4] * 6], dtype=np.uint8)
    strategy.tell(parents, np.array([[1.0, 0.0], [0.0, 1.0]]))
    children = strategy.ask(12)
    assert set(np.unique(children)) == {0, 4}
    assert len(np.unique(children, axis=0)) == 12


def test_each_choice_changes_with_the_given_probability():
    space = get_space("nasbench201")
    parents = np.array([[0] * 6, [4] * 6], dtype=np.uint8)
    changes = []
    for seed in range(600):
        strategy = get_strategy("nsga2:population=2,crossover=0,mutation=0.3", space, n_objectives=2, seed=seed)
        strategy.tell(parents, np.array([[1.0, 0.0], [0.0, 1.0]]))
        changes += (strategy.ask(1)[:, None] != parents).sum(axis=2).min(axis=1).tolist()
    # Binomial(6, 0.3), without the unchanged copies, which are drawn again.
    assert np.mean(changes) == pytest.approx(6 * 0.3 / (1 - 0.7**6), rel=0.08)


@pytest.fixture(scope="module")
def problem(shared):
    """Validation accuracy up, parameters down, for all cells: values by mixed-radix index."""
    space = get_space("nasbench201")
    frame = pd.read_csv(shared / "nasbench201.csv.gz")
    everything = space.from_index(np.arange(space.box))
    values = np.empty((space.box, 2))
    values[space.index(space.parse(frame.arch.tolist())), 0] = frame.cifar10_val_accuracy
    values[:, 1] = -space.count(everything, Shape((3, 32, 32), 10))["params"] / 1e6
    return space, values


def volume(values):
    return hypervolume(values, np.array([80.0, -1.6]))


def test_front_on_a_real_table_is_as_good_as_pymoos(problem):
    space, values = problem
    runs, budget = 12, 1000

    class Table(Problem):
        def __init__(self):
            super().__init__(n_var=6, n_obj=2, xl=0, xu=4, vtype=int)

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = -values[space.index(x.astype(np.int64))]
            seen.append(-out["F"])

    ours, theirs, blind = [], [], []
    for seed in range(runs):
        strategy = get_strategy("nsga2", space, n_objectives=2, seed=seed)
        told = []
        for _ in range(budget // 50):
            g = strategy.ask(50)
            told.append(values[space.index(g)])
            strategy.tell(g, told[-1])
        ours.append(volume(np.concatenate(told)))
        seen = []
        algorithm = PymooNSGA2(
            pop_size=50,
            sampling=IntegerRandomSampling(),
            crossover=SBX(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
            mutation=PM(eta=3.0, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=True,
        )
        minimize(Table(), algorithm, ("n_eval", budget), seed=seed)
        theirs.append(volume(np.concatenate(seen)[:budget]))
        blind.append(volume(values[np.random.default_rng(seed).integers(0, space.box, budget)]))
    best = volume(values)
    ours, theirs, blind = (1 - np.array(v) / best for v in (ours, theirs, blind))
    error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / runs)
    assert ours.mean() < theirs.mean() + 3 * error, f"hypervolume gap {ours.mean():.4f}, pymoo {theirs.mean():.4f}"
    assert ours.mean() < 0.5 * blind.mean(), f"hypervolume gap {ours.mean():.4f}, random {blind.mean():.4f}"
