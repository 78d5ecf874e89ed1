"""What the studio's server costs: reading a log of 50,000 candidates, laying out a large drawing.

Both as CPU time relative to a baseline in the same run: parsing the log's JSON, sorting the edges.

Run: pytest benchmarks/bench_studio.py --benchmark-only
"""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from ogive.studio.engines import Engine
from ogive.studio.layout import layout
from ogive.studio.reading import Reading
from ogive.study import SqliteLog, Study

N = 50_000


def cpu(call):
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A run whose log has one event a candidate, as one that measures has."""
    folder = tmp_path_factory.mktemp("large") / "run"
    study = Study("nasbench201", "digits", maximize=["params"], minimize=["macs"], out=folder, trials=N)
    genotypes = study.problem.space.sample(N, np.random.default_rng(0)).tolist()
    values = np.random.default_rng(1).random((N, len(study.problem.metrics))).tolist()
    entries = []
    for i, (genotype, row) in enumerate(zip(genotypes, values, strict=True)):
        metrics = {m: [v] for m, v in zip(study.problem.metrics, row, strict=True)}
        done = {"candidate": [i], "genotype": [genotype], "status": ["done"], "violation": [0.0], "seconds": [0.1]}
        entries.append(("eval.done", done | {"metrics": metrics}))
    with SqliteLog(folder / "run.db") as log:
        log.extend(entries)
    return folder


def test_reading_a_long_log(benchmark, large):
    baseline, _ = cpu(lambda: list(SqliteLog(large / "run.db", read_only=True).read()))
    reading = Reading(large, "run", Engine(large))
    seconds, _ = cpu(reading.update)
    answer, text = cpu(lambda: json.dumps(reading.candidates(), separators=(",", ":"), allow_nan=False))
    state, _ = cpu(reading.state)
    benchmark.extra_info |= {
        "reading_over_parsing": seconds / baseline,
        "answer_over_parsing": answer / baseline,
        "state_over_parsing": state / baseline,
        "megabytes": len(text) / 1e6,
        "cpu_seconds": [seconds, answer, state],
    }
    benchmark.pedantic(reading.candidates, args=(0,), rounds=3)
    assert seconds / baseline < 10


@pytest.mark.parametrize(("layers", "width", "degree"), [(6, 7, 3), (10, 24, 6), (20, 40, 8)])
def test_layout(benchmark, layers, width, degree):
    rng = np.random.default_rng(0)
    names = [[f"{i}.{j}" for j in range(width)] for i in range(layers)]
    pairs = [
        (s, names[i + 1][t])
        for i in range(layers - 1)
        for s in names[i]
        for t in rng.permutation(width)[:degree].tolist()
    ]
    drawn = {
        "nodes": [{"id": name} for layer in names for name in layer],
        "groups": [],
        "edges": [{"id": f"{s}->{t}", "source": s, "target": t} for s, t in pairs],
    }
    benchmark.extra_info |= {"nodes": layers * width, "edges": len(pairs)}
    benchmark.pedantic(layout, args=(drawn,), rounds=5)
