"""Speed of importing and opening benchmark tables, in CPU time: `pytest benchmarks/bench_importers.py`.

The sources are made-up files in the official layouts; ratios are against Python's own unpickler in the same run.
"""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
from tests.metrics.importers import big

from ogive._pickle import Unpickler
from ogive._pickle_stream import Bytes
from ogive.metrics import tables
from ogive.metrics.importers import import_tables
from ogive.metrics.tables import Column, Table
from ogive.spaces import get_space


@pytest.fixture(autouse=True)
def _own_data_home(monkeypatch, tmp_path):
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))


def cpu(action):
    """CPU seconds of a call, and what it returned."""
    start = time.process_time()
    value = action()
    return time.process_time() - start, value


def test_reading_a_pickle(benchmark, tmp_path):
    """Megabytes a CPU second of a plain pickle, beside the unpickler in C that is not safe and keeps everything."""
    path = big.write_nats(tmp_path / "x", 40)
    data = path.read_bytes()
    seconds = benchmark.pedantic(lambda: cpu(lambda: Unpickler(Bytes(path.open("rb")), "x").load())[0], rounds=3)
    python, _ = cpu(lambda: pickle.loads(data))
    megabytes = len(data) / 1e6
    benchmark.extra_info |= {"mb_per_s": megabytes / seconds, "times_c": seconds / python}
    assert seconds / python < 20


@pytest.mark.parametrize("kind", ["nats", "nasbench101"])
def test_importing(benchmark, tmp_path, kind):
    """Megabytes a CPU second from the file to the table in the data folder."""
    write, n = {"nats": (big.write_nats, 100), "nasbench101": (big.write_nasbench101, 10_000)}[kind]
    path = write(tmp_path / "x", n)
    seconds = benchmark.pedantic(lambda: cpu(lambda: import_tables(path, "x"))[0], rounds=1)
    benchmark.extra_info |= {"mb_per_s": path.stat().st_size / 1e6 / seconds}


@pytest.mark.parametrize(("name", "rows", "columns"), [("nasbench201", 15_625, 137), ("nasbench101", 423_624, 41)])
def test_opening(benchmark, name, rows, columns):
    """Bar: a table opens, and gives one column of all its rows, in 50 ms."""
    space = get_space(name)
    genotypes = space.from_index(np.arange(rows))
    values = np.random.default_rng(0).normal(size=(columns, rows))
    Table("made-up", space, genotypes, [Column(f"c{i}") for i in range(columns)], values).save()

    def opened():
        tables._opened.cache_clear()
        return Table.open("made-up").values("c7")

    opened()
    seconds, found = min((cpu(opened) for _ in range(5)), key=lambda pair: pair[0])
    benchmark.pedantic(opened, rounds=5)
    np.testing.assert_array_equal(found, values[7])
    benchmark.extra_info |= {"cpu_ms": 1e3 * seconds}
    assert seconds < 0.05
