"""Speed of spaces in CPU time: `pytest benchmarks/bench_spaces.py`. Ratios are against plain Python in the same run."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from ogive.metrics.base import Context
from ogive.metrics.evaluate import evaluate
from ogive.spaces.base import Shape, get_space

COUNTS = ["params", "macs", "relus", "depth"]
LARGE = 10_000


def cpu_seconds(action, repeats):
    """CPU seconds of one call, the least of five rounds."""
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        for _ in range(repeats):
            action()
        best = min(best, (time.process_time() - start) / repeats)
    return best


def python_mutate(parent, generator):
    """One mutation as a loop over plain lists would write it."""
    child = list(parent)
    place = generator.randrange(6)
    child[place] = generator.choice([o for o in range(5) if o != child[place]])
    return child


def moves(space, rows, rng):
    return {
        "sample": lambda: space.sample(len(rows), rng),
        "mutate": lambda: space.mutate(rows, rng),
        "crossover": lambda: space.crossover(rows, rows, rng),
    }


def test_counts_of_all_cells_of_nasbench201(benchmark):
    """Bar: 2 s for 15,625 cells."""
    space, context = get_space("nasbench201"), Context(task=Shape((3, 32, 32), 10))
    cells = space.enumerate()
    benchmark.pedantic(lambda: evaluate(COUNTS, space, cells, context), rounds=5)
    seconds = cpu_seconds(lambda: evaluate(COUNTS, space, cells, context), 1)
    benchmark.extra_info["cpu_seconds"] = seconds
    assert seconds < 2


@pytest.mark.parametrize("move", ["sample", "mutate", "crossover"])
@pytest.mark.parametrize(("locked", "bar"), [(False, 15), (True, 5)])
def test_moves_of_large_batches(benchmark, move, locked, bar):
    """Bar: so many times as many rows a second as plain Python mutates."""
    space, rng = get_space("nasbench201"), np.random.default_rng(0)
    if locked:
        space = space.restrict(lock={"0->1": "nor_conv_3x3"})
    action = moves(space, space.sample(LARGE, rng), rng)[move]
    benchmark.pedantic(action, rounds=5)
    parent, generator = [3, 1, 2, 0, 4, 1], random.Random(0)
    plain = cpu_seconds(lambda: python_mutate(parent, generator), 5000)
    ours = cpu_seconds(action, 20) / LARGE
    benchmark.extra_info |= {"us_a_row": 1e6 * ours, "times_python": plain / ours}
    assert plain / ours > bar


@pytest.mark.parametrize("move", ["sample", "mutate", "crossover"])
def test_moves_of_one_row(benchmark, move):
    """Bar: a batch of one costs at most 25 mutations in plain Python."""
    space, rng = get_space("nasbench201"), np.random.default_rng(0)
    action = moves(space, space.sample(1, rng), rng)[move]
    benchmark.pedantic(action, rounds=50, iterations=100)
    parent, generator = [3, 1, 2, 0, 4, 1], random.Random(0)
    plain = cpu_seconds(lambda: python_mutate(parent, generator), 5000)
    ours = cpu_seconds(action, 2000)
    benchmark.extra_info |= {"us": 1e6 * ours, "python_mutations": ours / plain}
    assert ours / plain < 25
