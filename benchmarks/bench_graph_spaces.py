"""Speed of the graph spaces in CPU time: `pytest benchmarks/bench_graph_spaces.py`. Ratios are against plain Python."""

from __future__ import annotations

import hashlib
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from ogive.spaces.base import Shape, get_space
from ogive.spaces.nasbench101 import EDGES

CIFAR = Shape((3, 32, 32), 10)
TEMPLATE = Path(__file__).parents[1] / "examples" / "templates" / "small.yaml"


def cpu_seconds(action, rounds=5):
    """CPU seconds of one call, the least of some rounds."""
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best


def plain_hash(row):
    """The published graph hash of one pruned cell, as a loop over vertices would write it."""
    on = [edge for edge, bit in zip(EDGES, row, strict=False) if bit]
    ahead, behind = {0}, {6}
    for s, t in on:
        ahead |= {t} if s in ahead else set()
    for s, t in reversed(on):
        behind |= {s} if t in behind else set()
    live = sorted(ahead & behind)
    on = [(s, t) for s, t in on if s in live and t in live]
    label = {0: -1, 6: -2, **{v: int(row[20 + v]) for v in range(1, 6)}}
    colour = {
        v: hashlib.md5(str((sum(s == v for s, _ in on), sum(t == v for _, t in on), label[v])).encode()).hexdigest()
        for v in live
    }
    for _ in live:
        colour = {
            v: hashlib.md5(
                "|".join(
                    [
                        "".join(sorted(colour[s] for s, t in on if t == v)),
                        "".join(sorted(colour[t] for s, t in on if s == v)),
                        colour[v],
                    ]
                ).encode()
            ).hexdigest()
            for v in live
        }
    return hashlib.md5(str(sorted(colour.values())).encode()).hexdigest()


def plain_canonical(row):
    """The smallest renaming of the inner vertices of one cell."""
    on = [edge for edge, bit in zip(EDGES, row, strict=False) if bit]
    best = None
    for inner in itertools.permutations(range(1, 6)):
        to = (0, *inner, 6)
        edges = sorted((to[s], to[t]) for s, t in on)
        if all(s < t for s, t in edges):
            best = min(best or (edges, ()), (edges, tuple(row[20 + v] for v in inner)))
    return best


@pytest.mark.parametrize(("method", "plain", "bar"), [("canonical", plain_canonical, 100), ("hash", plain_hash, 1)])
def test_identity_of_nasbench101_cells(benchmark, method, plain, bar):
    """Bar: so many times as many cells a second as plain Python; the hash is defined on texts, so no faster."""
    space = get_space("nasbench101")
    g = space.sample(10_000, np.random.default_rng(0))
    action = getattr(space, method)
    benchmark.pedantic(lambda: action(g[:2000]), rounds=5)
    rows = g[:300].tolist()
    if method == "hash":
        assert action(g[:300]) == [plain(row) for row in rows]
    ours = cpu_seconds(lambda: action(g)) / len(g)
    theirs = cpu_seconds(lambda: [plain(row) for row in rows]) / len(rows)
    benchmark.extra_info |= {"us_a_cell": 1e6 * ours, "times_python": theirs / ours}
    assert theirs / ours > bar


@pytest.mark.parametrize("spec", ["nasbench101", "darts", "nats_sss"])
def test_closed_forms(benchmark, spec):
    """Bar: 1,000 times faster than building the network without weights and counting it."""
    import torch

    from ogive.metrics.counts import count_module

    space = get_space(spec)
    g = space.sample(5000, np.random.default_rng(0))

    def one():
        with torch.device("meta"):
            count_module(space.build(g[0], CIFAR), CIFAR.input_shape)

    benchmark.pedantic(lambda: space.count(g, CIFAR), rounds=5)
    ours, built = cpu_seconds(lambda: space.count(g, CIFAR)) / len(g), cpu_seconds(one)
    benchmark.extra_info |= {"us_an_architecture": 1e6 * ours, "times_faster": built / ours}
    assert built / ours > 1000


def test_liveness_of_a_template(benchmark):
    """Bar: 100,000 architectures of the small example a CPU second, checked, pruned and made canonical."""
    space = get_space(f"template:path={TEMPLATE}")
    g = space.sample(20_000, np.random.default_rng(0))
    benchmark.pedantic(lambda: space.canonical(g), rounds=5)
    ours = cpu_seconds(lambda: (space.valid(g), space.canonical(g)))
    benchmark.extra_info["architectures_a_second"] = len(g) / ours
    assert len(g) / ours > 100_000
