"""ArchLock: CPU time of the exhaustive look-up, beside pandas and moocore at the same work, of the published loop, and
of a search of 300 evaluations beside `bo`.

pytest benchmarks/bench_archlock.py --benchmark-only --benchmark-timer=time.process_time
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from ogive.methods._lock_legacy import CoinFlip, run_legacy
from ogive.methods._lock_oracle import Landscape
from ogive.methods._lock_problem import Gate, LockProblem
from ogive.metrics import tables
from ogive.metrics.tables import Table, import_table
from ogive.strategies import get_strategy

SHARED = Path(os.environ.get("OGIVE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
FILES = {
    "transnas_micro": "transnasbench101_micro.csv.gz",
    "transnas_macro": "transnasbench101_macro.csv.gz",
    "nasbench201": "nasbench201.csv.gz",
}
TASKS = ("class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder")
COLUMNS = [f"{t}_val" for t in TASKS] + [f"{t}_val_accuracy" for t in ("cifar10", "cifar100", "imagenet16_120")]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Every source of every complete table: its table, its column, and its targets, the table's other tasks."""
    if not SHARED.is_dir():
        pytest.skip(f"no data extracts at {SHARED}; set OGIVE_SHARED to their folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OGIVE_DATA", str(tmp_path_factory.mktemp("data")))
        found = []
        for space, file in FILES.items():
            table = import_table(SHARED / file, space, space)
            tasks = [c for c in COLUMNS if c in table.columns]
            found += [(space, source, [t for t in tasks if t != source]) for source in tasks]
        yield found


def ours(sources) -> list[tuple[float, int, float]]:
    """Return the best lock's aggregate, the size of the front and its hypervolume for each source."""
    tables._opened.cache_clear()
    found = []
    for name, source, targets in sources:
        x = Landscape(LockProblem.from_table(name, Table.open(name).space, source, targets))
        found.append((float(x.aggregate[x.best]), len(x.front), x.hypervolume()))
    return found


def by_pandas_and_moocore(sources) -> list[tuple[float, int, float]]:
    import moocore

    tables._opened.cache_clear()
    found = []
    for name, source, targets in sources:
        table = Table.open(name)
        ranks = 100 * pd.DataFrame({c: table.values(c) for c in (source, *targets)}).rank(pct=True)
        points = np.stack([-ranks[source], ranks[targets].mean(axis=1).round(9)], axis=1)
        front = points[moocore.is_nondominated(points)]
        found.append((points[points[:, 0] <= -98, 1].min(), len(front), moocore.hypervolume(front, ref=[-90, 100])))
    return found


def test_best_lock_and_front_of_every_source(benchmark, sources):
    np.testing.assert_allclose(ours(sources), by_pandas_and_moocore(sources), rtol=1e-9)
    benchmark.group = f"oracle and front of {len(sources)} sources"
    benchmark(ours, sources)


def test_by_pandas_and_moocore(benchmark, sources):
    benchmark.group = f"oracle and front of {len(sources)} sources"
    benchmark(by_pandas_and_moocore, sources)


def test_two_hundred_runs_of_the_published_loop(benchmark, sources):
    space = Table.open("nasbench201").space
    source, target = "cifar100_val_accuracy", "imagenet16_120_val_accuracy"
    problem = LockProblem.from_table("nasbench201", space, source, [target], gate=Gate("value", 71.0), budget=10**6)
    benchmark.group = "published loop, 200 runs of 40 steps"
    benchmark.pedantic(lambda: run_legacy(problem, CoinFlip(), 71.0, runs=200), rounds=3)


@pytest.mark.parametrize("strategy", ["lock:gate=54.329", "bo"])
def test_a_search_of_300_evaluations(benchmark, sources, strategy):
    assert sources
    table = Table.open("transnas_micro")
    values = np.column_stack([table.values("class_scene_val"), -table.values("jigsaw_val")])

    def search():
        # On one thread: threads of linear algebra that wait for each other count as CPU time where cores are busy.
        with threadpool_limits(1):
            began = time.process_time()
            asked = get_strategy(strategy, table.space, n_objectives=2, seed=0)
            for _ in range(75):
                genotypes = asked.ask(4)
                asked.tell(genotypes, values[table.rows(genotypes)])
            return time.process_time() - began

    benchmark.group = "two tasks of TransNAS-Bench-101 micro, 300 evaluations"
    assert benchmark.pedantic(search, rounds=1) < 20
