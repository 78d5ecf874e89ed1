"""Speed of one study, in CPU time, beside Optuna in the same process.

Run: pytest benchmarks/bench_study.py --benchmark-only
"""

from __future__ import annotations

import time

import optuna
import pytest

from ogive.study import Study
from ogive.study.events import MemoryLog, SqliteLog

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
BARS = {
    "memory, batch 1000": 200_000,
    "durable, batch 50": 5_000,
    "durable, one transaction a trial": 1_000,
}
"""Trials per CPU-second each way must reach."""


def cpu_rate(call, trials):
    """Return trials per CPU-second, the median of three."""
    rates = []
    for _ in range(3):
        began = time.process_time()
        call()
        rates.append(trials / (time.process_time() - began))
    return sorted(rates)[1]


def study(trials, log, **more):
    options = {"strategy": "random", "repeats": "count", "log": log, "seed": 1}
    return Study("nasbench201", "digits", maximize=["params"], **(options | more)).run(trials)


def optuna_rate(trials, storage=None):
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def call():
        searched = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1), storage=storage() if storage else None
        )
        for _ in range(trials):
            trial = searched.ask()
            code = [OPS.index(trial.suggest_categorical(f"e{i}", OPS)) for i in range(6)]
            searched.tell(trial, float(sum(code)))

    return cpu_rate(call, trials)


@pytest.mark.parametrize("way", BARS)
def test_trials_per_cpu_second(benchmark, tmp_path, way):
    trials = {"memory, batch 1000": 200_000, "durable, batch 50": 20_000}.get(way, 3_000)
    batch = {"memory, batch 1000": 1000, "durable, batch 50": 50}.get(way, 1)
    count = iter(range(100))

    def log():
        return MemoryLog() if way.startswith("memory") else SqliteLog(tmp_path / f"{next(count)}.db")

    rate = cpu_rate(lambda: study(trials, log(), batch=batch), trials)
    if way.startswith("memory"):
        peer = optuna_rate(2_000)
    else:
        files = iter(range(100))
        journal = optuna.storages.journal
        peer = optuna_rate(
            300,
            lambda: optuna.storages.JournalStorage(journal.JournalFileBackend(str(tmp_path / f"{next(files)}.log"))),
        )
    benchmark.extra_info |= {"trials_per_cpu_s": rate, "optuna_trials_per_cpu_s": peer, "times_optuna": rate / peer}
    benchmark.pedantic(lambda: study(trials // 10, log(), batch=batch), rounds=1)
    assert rate >= BARS[way]
