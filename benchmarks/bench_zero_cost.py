"""CPU seconds of all zero-cost proxies of one network: `pytest benchmarks/bench_zero_cost.py -s`.

NAS-Bench-201 networks at C=16, N=5, batch 64 of 3 x 32 x 32, one thread. The baseline, in the same run, is the same
proxies computed one at a time, each with its own passes.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from ogive.metrics.zero_cost import PROXIES, score_network
from ogive.spaces.base import Shape, get_space

PROXY_NAMES = [name for name, p in PROXIES.items() if not p.alias]
CELLS = 9
BAR = 2.5


@pytest.fixture(scope="module")
def networks():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = get_space("nasbench201")
    cells = space.sample(CELLS, np.random.default_rng(0))
    return [space.build(g, Shape((3, 32, 32), 10)) for g in cells]


def batch():
    g = torch.Generator().manual_seed(0)
    return torch.randn(64, 3, 32, 32, generator=g), torch.randint(0, 10, (64,), generator=g)


def cpu_seconds(action):
    start = time.process_time()
    action()
    return time.process_time() - start


def test_all_proxies_of_one_network(benchmark, networks):
    x, y = batch()
    score_network(networks[0], x, y, PROXY_NAMES)  # warms the convolution kernels
    together = [cpu_seconds(lambda m=m: score_network(m, x, y, PROXY_NAMES)) for m in networks]
    alone = {q: [cpu_seconds(lambda m=m, q=q: score_network(m, x, y, [q])) for m in networks] for q in PROXY_NAMES}
    one_by_one = np.sum(list(alone.values()), axis=0)
    benchmark.pedantic(score_network, args=(networks[0], x, y, PROXY_NAMES), rounds=1)
    benchmark.extra_info |= {
        "cpu_seconds": float(np.median(together)),
        "cpu_seconds_one_by_one": float(np.median(one_by_one)),
        "ratio": float(np.median(one_by_one / together)),
    }
    print(f"\nall {len(PROXY_NAMES)} proxies, median of {CELLS} random cells: {np.median(together):.2f} CPU-s")
    print(f"one at a time: {np.median(one_by_one):.2f} CPU-s, {np.median(one_by_one / together):.2f} times as much")
    for name, seconds in alone.items():
        print(f"  {name:9s} {np.median(seconds):.3f}")
    assert np.median(together) <= BAR
    assert np.median(one_by_one / together) > 1.5
