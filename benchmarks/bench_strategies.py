"""Speed of table search in CPU time: `pytest benchmarks/bench_strategies.py`. Ratios are against peers in the same run.

The table has all 15,625 cells of NAS-Bench-201 with made-up values; only its size matters here.
"""

from __future__ import annotations

import random
import time
from collections import deque

import numpy as np
import optuna
import pandas as pd
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from ogive.metrics import tables
from ogive.metrics.tables import Column, Table
from ogive.spaces import get_space
from ogive.strategies import get_strategy
from ogive.strategies.pareto import hypervolume, non_dominated_ranks
from ogive.study.bench import choices

EVOLUTION = "evolution:population=30,sample=10"
optuna.logging.set_verbosity(optuna.logging.ERROR)


def rate(evaluations, action, rounds=3):
    """Evaluations in a CPU second, the best of some rounds."""
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return evaluations / best


@pytest.fixture(scope="module")
def table():
    space = get_space("nasbench201")
    values = np.random.default_rng(0).normal(size=(2, space.size))
    return Table("made-up", space, space.enumerate(), [Column("a"), Column("b")], values)


def python_evolution(values, evaluations, generator, population=30, sample=10):
    """Ageing evolution as a loop over plain lists would write it."""
    alive = deque()
    for _ in range(evaluations):
        if len(alive) < population:
            child = [generator.randrange(5) for _ in range(6)]
        else:
            child = list(max(generator.choices(alive, k=sample))[1])
            place = generator.randrange(6)
            child[place] = (child[place] + generator.randrange(1, 5)) % 5
            alive.popleft()
        index = 0
        for option in child:
            index = index * 5 + option
        alive.append((values[index], child))


def optuna_search(values, evaluations, sampler):
    study = optuna.create_study(directions=["maximize"] * values.shape[1], sampler=sampler)
    options = {str(i): optuna.distributions.CategoricalDistribution(tuple(range(5))) for i in range(6)}
    for _ in range(evaluations):
        trial = study.ask(options)
        index = 0
        for i in range(6):
            index = index * 5 + trial.params[str(i)]
        study.tell(trial, values[index].tolist())


def pymoo_search(table, values, evaluations, population):
    class Lookup(Problem):
        def __init__(self):
            super().__init__(n_var=6, n_obj=2, xl=0, xu=4, vtype=int)

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = -values[table.rows(x.astype(np.int64))]

    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=3.0, vtype=float, repair=RoundingRepair()),
    )
    minimize(Lookup(), algorithm, ("n_eval", evaluations), seed=0)


def our_search(table, values, spec, evaluations, batch):
    strategy = get_strategy(spec, table.space, n_objectives=values.shape[1])
    for _ in range(evaluations // batch):
        genotypes = strategy.ask(batch)
        strategy.tell(genotypes, values[table.rows(genotypes)])


@pytest.mark.parametrize("spec", ["random", EVOLUTION, "local"])
def test_many_seeds_in_lock_step(benchmark, table, spec):
    """Bar: five million evaluations a second on the machine of the bars, 8 times plain Python evolution anywhere."""
    lanes, budget = 2048, 500
    action = lambda: choices(table, "a", spec, [50, budget], lanes)  # noqa: E731
    benchmark.pedantic(action, rounds=3)
    ours = rate(lanes * budget, action)
    values = table.values("a").tolist()
    plain = rate(50_000, lambda: python_evolution(values, 50_000, random.Random(0)))
    benchmark.extra_info |= {"evaluations_a_second": ours, "plain_python": plain, "times_python": ours / plain}
    assert ours / plain > 8


@pytest.mark.parametrize("spec", ["random", EVOLUTION])
def test_one_search_asked_in_batches(benchmark, table, spec):
    """Bar: 200,000 evaluations a second, 43 times Optuna's random sampler in memory."""
    values = np.stack([table.values("a")], axis=1)
    action = lambda: our_search(table, values, spec, 100_000, 250)  # noqa: E731
    benchmark.pedantic(action, rounds=3)
    ours = rate(100_000, action)
    peer = rate(1000, lambda: optuna_search(values, 1000, optuna.samplers.RandomSampler(0)))
    benchmark.extra_info |= {"evaluations_a_second": ours, "optuna_random": peer, "times_optuna": ours / peer}
    assert ours / peer > 43


@pytest.mark.parametrize("spec", ["random", EVOLUTION, "local", "nsga2"])
def test_one_search_asked_one_by_one(benchmark, table, spec):
    """Bar: twice Optuna's random sampler."""
    values = np.stack([table.values("a")], axis=1)
    action = lambda: our_search(table, values, spec, 5000, 1)  # noqa: E731
    benchmark.pedantic(action, rounds=3)
    ours = rate(5000, action)
    peer = rate(1000, lambda: optuna_search(values, 1000, optuna.samplers.RandomSampler(0)))
    benchmark.extra_info |= {"evaluations_a_second": ours, "optuna_random": peer, "times_optuna": ours / peer}
    assert ours / peer > 2


@pytest.mark.parametrize("population", [50, 100])
def test_nsga2_with_two_objectives(benchmark, table, population):
    """Bar: 100,000 evaluations a second, 5 times pymoo's."""
    values = np.stack([table.values("a"), table.values("b")], axis=1)
    action = lambda: our_search(table, values, f"nsga2:population={population}", 20_000, population)  # noqa: E731
    benchmark.pedantic(action, rounds=3)
    ours = rate(20_000, action)
    pymoo = rate(2000, lambda: pymoo_search(table, values, 2000, population))
    peer = rate(500, lambda: optuna_search(values, 500, optuna.samplers.NSGAIISampler(seed=0)), rounds=1)
    benchmark.extra_info |= {"evaluations_a_second": ours, "times_pymoo": ours / pymoo, "times_optuna": ours / peer}
    assert ours / pymoo > 5


def test_opening_a_table(benchmark, monkeypatch, tmp_path):
    """Bar: 50 ms and 10 MB for ten columns of NAS-Bench-201."""
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))
    space = get_space("nasbench201")
    columns = [Column(f"c{i}") for i in range(10)]
    values = np.random.default_rng(0).normal(size=(10, space.size))
    Table("ten", space, space.enumerate(), columns, values).save()
    everything = space.enumerate()
    pd.DataFrame({"arch": space.format(everything), **{f"c{i}": v for i, v in enumerate(values)}}).to_csv(
        tmp_path / "ten.csv.gz", index=False
    )

    def opened():
        tables._opened.cache_clear()
        table = Table.open("ten")
        table.lookup("c0", everything[:1])
        return table

    table = benchmark.pedantic(opened, rounds=10)
    seconds = 1 / rate(1, opened, rounds=10)
    csv = 1 / rate(1, lambda: pd.read_csv(tmp_path / "ten.csv.gz"))
    held = table.genotypes.nbytes + table._dense.nbytes + sum(table.values(c).nbytes for c in table.columns)
    benchmark.extra_info |= {"cpu_ms": 1e3 * seconds, "megabytes": held / 1e6, "times_pandas": csv / seconds}
    assert seconds < 0.05
    assert held < 10e6


@pytest.mark.parametrize("m", [2, 3])
def test_fronts(benchmark, m):
    """No bar: ranks of 1,000 rows and the hypervolume of a front of 500."""
    rows = np.random.default_rng(0).normal(size=(1000, m))
    front = np.abs(rows[:500]) / np.linalg.norm(rows[:500], axis=1, keepdims=True)
    benchmark.pedantic(lambda: non_dominated_ranks(rows), rounds=5)
    benchmark.extra_info |= {
        "ranks_ms": 1e3 / rate(1, lambda: non_dominated_ranks(rows)),
        "hypervolume_ms": 1e3 / rate(1, lambda: hypervolume(front, np.zeros(m))),
    }
