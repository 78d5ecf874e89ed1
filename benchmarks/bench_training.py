"""The training loop against the plain one everybody writes: same network, data, optimizer and epochs.

Run: pytest benchmarks/bench_training.py --benchmark-timer=time.process_time
As a program it measures recipes on random cells: python benchmarks/bench_training.py "" epochs=20 epochs=6
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ogive.spaces.base import get_space
from ogive.tasks import get_task
from ogive.training.config import TrainConfig
from ogive.training.seeding import seeded
from ogive.training.trainer import score, train

torch.set_num_threads(1)
SPACE, TASK = get_space("nasbench201:C=8,N=1"), get_task("digits")
ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
CONFIG = TrainConfig(epochs=6, schedule="constant", warmup=0.0, validate_every=6)


def build() -> nn.Module:
    with seeded(0):
        return SPACE.build(SPACE.parse(ARCH), TASK)


def baseline() -> None:
    """DataLoader, SGD, one item() a step."""
    model, split = build().train(), TASK.split("train")
    x = (torch.tensor(split.x).float() - TASK.mean[0]) / TASK.std[0]
    loader = DataLoader(TensorDataset(x, torch.tensor(split.y)), batch_size=CONFIG.batch_size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=CONFIG.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for _ in range(CONFIG.epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            loss.item()


def cpu_seconds(function) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def test_loop_costs_no_more_than_the_plain_one(benchmark):
    plain = min(cpu_seconds(baseline) for _ in range(3))
    benchmark.pedantic(lambda: train(build(), TASK, CONFIG), rounds=3, warmup_rounds=1)
    ratio = benchmark.stats.stats.min / plain
    benchmark.extra_info["ratio_to_plain_loop"] = ratio
    assert ratio < 1.05


@pytest.mark.parametrize("batch_size", [32, 64, 128, 256])
def test_epoch_by_batch_size(benchmark, batch_size):
    config = TrainConfig(epochs=2, batch_size=batch_size, validate_every=2)
    benchmark.pedantic(lambda: train(build(), TASK, config), rounds=3, warmup_rounds=1)


def measure_recipe(text: str, n: int) -> dict[str, float]:
    """Train `n` random cells (generator seed 7, weights seed 0) with a recipe; accuracies in percent, CPU-seconds."""
    config, rows = TrainConfig.parse(text), []
    for genotype in SPACE.sample(n, np.random.default_rng(7)):
        with seeded(0):
            model = SPACE.build(genotype, TASK)
        began = time.process_time()
        result = train(model, TASK, config)
        seconds = time.process_time() - began
        rows.append((result.accuracy, score(model, TASK, "test")["accuracy"], seconds))
    val, test, seconds = np.array(rows).T
    half = 1.96 / np.sqrt(n)
    return {
        "val": val.mean(), "val_ci": half * val.std(ddof=1), "val_min": val.min(), "val_max": val.max(),
        "test": test.mean(), "test_ci": half * test.std(ddof=1),
        "cpu": seconds.mean(), "cpu_max": seconds.max(),
    }  # fmt: skip


if __name__ == "__main__":
    for text in sys.argv[1:] or [""]:
        found = measure_recipe(text, 24)
        print(text or "default", " ".join(f"{k}={v:.2f}" for k, v in found.items()), flush=True)
