"""A step of a supernet against a step of the same cell alone: same skeleton, batch, optimizer and clipping.

Run: pytest benchmarks/bench_supernet_step.py --benchmark-timer=time.process_time

Steps of both sides alternate. Step k of the supernet trains the cell that uniform sampling draws for it; beside it the
same cell, built alone and trained for one step before, does a step on the same batch. So both sides are means over the
same cells, and the ratio of the CPU-times is what sharing the weights costs.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from ogive.spaces.base import get_space
from ogive.tasks.base import Split, Task
from ogive.training.data import Batches
from ogive.training.seeding import seeded
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_data import Stream
from ogive.training.supernet_trainer import SupernetTrainer

torch.set_num_threads(1)
CONFIG = SupernetConfig(sampler="uniform", schedule="constant", warmup=0.0, lr=0.01, augment="crop-flip")
WARM = 40
BAR = 1.15


class Noise(Task):
    """Random images in ten classes; what they show does not matter to the clock."""

    name = "noise"
    n_outputs = 10
    mean, std = (127.0,) * 3, (60.0,) * 3

    def __init__(self, side: int) -> None:
        self.input_shape = (3, side, side)

    def split(self, which: str) -> Split:
        rng = np.random.default_rng(len(which))
        x = rng.integers(0, 256, (512, *self.input_shape), dtype=np.uint8)
        return Split(x, (np.arange(512) % 10).astype(np.int64))


class Alone:
    """Plain training of one cell, with the supernet's recipe."""

    def __init__(self, trainer: SupernetTrainer, genotype: np.ndarray, data: Stream) -> None:
        with seeded(0):
            self.model = trainer.supernet.space.build(genotype, trainer.task).train()
        self.data = data
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=CONFIG.lr, momentum=0.9, nesterov=True, weight_decay=5e-4, foreach=True
        )

    def step(self, number: int) -> None:
        x, y = self.data[number]
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        loss.item()
        nn.utils.clip_grad_norm_(self.model.parameters(), CONFIG.clip_norm)
        self.optimizer.step()


def cpu_seconds(function) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


@pytest.mark.parametrize(
    ("spec", "side", "steps"),
    [("nasbench201:C=8,N=1", 8, 300), ("nasbench201:C=8,N=1", 32, 100), ("nasbench201:C=16,N=5", 16, 40)],
)
def test_a_step_costs_hardly_more_than_one_of_the_cell_alone(benchmark, spec, side, steps):
    task = Noise(side)
    trainer = SupernetTrainer(Supernet(get_space(spec), task), task, CONFIG)
    data = Stream(Batches(task, "train", torch.device("cpu")), CONFIG.batch_size, seed=0, augment=CONFIG.augment)
    trainer.run(WARM)

    def compare() -> np.ndarray:
        rows = []
        for number in range(trainer.steps_done, trainer.steps_done + steps):
            alone = Alone(trainer, trainer.sampler.paths(number)[0], data)
            alone.step(number)
            rows.append((cpu_seconds(trainer.step), cpu_seconds(lambda a=alone, n=number: a.step(n))))
        return np.array(rows)

    seconds = benchmark.pedantic(compare, rounds=1)
    shared, alone = seconds.sum(axis=0)
    draws = np.random.default_rng(0).integers(0, steps, (1000, steps))
    low, high = np.quantile(np.divide(*seconds[draws].sum(axis=1).T), [0.05, 0.95])
    benchmark.extra_info |= {
        "steps_per_cpu_second": round(steps / shared, 2),
        "alone_steps_per_cpu_second": round(steps / alone, 2),
        "ratio": round(shared / alone, 4),
        "ratio_90_percent": [round(low, 4), round(high, 4)],
    }
    assert shared / alone < BAR
