"""Elastic paths against the plain network of the same genotype: training steps, CPU-time of the same run.

Run: pytest benchmarks/bench_elastic.py --benchmark-timer=time.process_time
As a program it prints the ratio for several random genotypes: python benchmarks/bench_elastic.py
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ogive.spaces.base import Shape
from ogive.training.supernet import Supernet

if TYPE_CHECKING:
    from collections.abc import Callable

torch.set_num_threads(1)
TASK = Shape((3, 32, 32), 10)
BATCH = 32
CASES = {"nats_sss": TASK, "mobilenetv3:width=0.5": Shape((3, 96, 96), 10)}
ROUNDS = 5


def steps(spec: str, seed: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a forward and backward pass of one random genotype, inside its supernet and alone."""
    supernet = Supernet(spec, CASES[spec])
    (path,) = supernet.space.sample(1, np.random.default_rng(seed))
    plain = supernet.extract(path).train()
    supernet.network.train()
    x, y = torch.randn(BATCH, *CASES[spec].input_shape), torch.arange(BATCH) % 10

    def inside() -> None:
        supernet.network.zero_grad()
        F.cross_entropy(supernet.forward(x, path), y).backward()

    def alone() -> None:
        plain.zero_grad()
        F.cross_entropy(plain(x), y).backward()

    return inside, alone


def cpu_seconds(function: Callable[[], None]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def ratio(spec: str, seed: int) -> float:
    """Return the CPU-time inside over that alone: the least of each over rounds in turn."""
    inside, alone = steps(spec, seed)
    inside(), alone()
    times = np.array([(cpu_seconds(inside), cpu_seconds(alone)) for _ in range(ROUNDS)])
    return float(np.divide(*times.min(axis=0)))


@pytest.mark.parametrize("spec", CASES)
def test_a_path_costs_little_more_than_the_plain_network(benchmark, spec):
    inside, _ = steps(spec, 0)
    benchmark.pedantic(inside, rounds=ROUNDS, warmup_rounds=1)
    found = float(np.median([ratio(spec, seed) for seed in range(3)]))
    benchmark.extra_info["ratio_to_plain_network"] = found
    assert found < 1.15


if __name__ == "__main__":
    for name in CASES:
        found = [ratio(name, seed) for seed in range(8)]
        print(f"{name}: {np.median(found):.3f} (of 8 genotypes, {min(found):.3f} to {max(found):.3f})")
