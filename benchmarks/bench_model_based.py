"""Overhead of strategies: CPU time of 100 asks and tells on NAS-Bench-201, beside Optuna and pymoo at the same work.

pytest benchmarks/bench_model_based.py --benchmark-only --benchmark-timer=time.process_time
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from ogive.spaces.base import get_space
from ogive.strategies import get_strategy

STEPS = 100
SPACE = get_space("nasbench201")
WORTH = (SPACE.enumerate() == 3).sum(axis=1) + np.random.default_rng(0).normal(0, 0.2, SPACE.box)


def drive(spec: str) -> float:
    """Run one search and return the best value it found."""
    strategy = get_strategy(spec, SPACE, seed=0)
    best = -np.inf
    for _ in range(STEPS):
        genotypes = strategy.ask(1)
        values = WORTH[SPACE.index(genotypes)]
        strategy.tell(genotypes, values[:, None])
        best = max(best, values[0])
    return best


@pytest.mark.parametrize(
    "spec",
    [
        "random",
        "evolution",
        "local",
        "nsga2",
        "reinforce",
        "bananas",
        "bo",
        "optuna:RandomSampler",
        "optuna:NSGAIISampler",
        "optuna:TPESampler,multivariate=true",
        "pymoo:NSGA2,pop_size=50",
    ],
)
def test_ours(benchmark, spec):
    drive(spec)
    benchmark.group = f"{STEPS} asks and tells"
    benchmark.pedantic(drive, args=(spec,), rounds=3)


@pytest.mark.parametrize("sampler", ["RandomSampler", "NSGAIISampler", "TPESampler", "GPSampler"])
def test_optuna_alone(benchmark, sampler):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {c.name: optuna.distributions.CategoricalDistribution(list(range(5))) for c in SPACE.choices}

    def search() -> None:
        options = {"multivariate": True} if sampler == "TPESampler" else {}
        study = optuna.create_study(direction="maximize", sampler=getattr(optuna.samplers, sampler)(seed=0, **options))
        for _ in range(STEPS):
            trial = study.ask(kinds)
            row = np.array([[trial.params[c.name] for c in SPACE.choices]])
            study.tell(trial, float(WORTH[SPACE.index(row)][0]))

    benchmark.group = f"{STEPS} asks and tells"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        benchmark.pedantic(search, rounds=1 if sampler == "GPSampler" else 3)


def test_pymoo_alone(benchmark):
    pytest.importorskip("pymoo")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    def search() -> None:
        repair = RoundingRepair()
        algorithm = NSGA2(
            pop_size=50,
            sampling=IntegerRandomSampling(),
            crossover=SBX(vtype=float, repair=repair),
            mutation=PM(vtype=float, repair=repair),
        )
        algorithm.setup(
            Problem(n_var=6, n_obj=1, xl=0, xu=4, vtype=int), seed=0, termination=("n_gen", 10), verbose=False
        )
        for _ in range(STEPS // 50):
            generation = algorithm.ask()
            generation.set("F", -WORTH[SPACE.index(generation.get("X").astype(int))][:, None])
            for individual in generation:
                individual.evaluated.add("F")
            algorithm.tell(infills=generation)

    search()
    benchmark.group = f"{STEPS} asks and tells"
    benchmark.pedantic(search, rounds=3)
