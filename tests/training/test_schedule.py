"""Learning rates agree with PyTorch's own schedulers and the closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ogive.training.config import TrainConfig
from ogive.training.schedule import learning_rate


def rates(config, total):
    return [learning_rate(config, step, total) for step in range(total)]


def test_cosine_without_warmup_is_pytorchs():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(TrainConfig(schedule="cosine", warmup=0.0, lr=0.3), 20) == pytest.approx(expected, rel=1e-9)


def test_one_cycle_rises_and_falls_in_straight_lines():
    found = rates(TrainConfig(schedule="one-cycle", warmup=0.25, lr=1.0), 20)
    assert found[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert found[5:] == pytest.approx([1 - k / 15 for k in range(15)])


@given(
    schedule=st.sampled_from(["one-cycle", "cosine", "constant"]),
    warmup=st.floats(0, 0.99),
    total=st.integers(1, 200),
)
def test_every_rate_is_positive_and_at_most_the_highest(schedule, warmup, total):
    config = TrainConfig(schedule=schedule, warmup=warmup, lr=0.7)
    found = rates(config, total)
    assert all(0 < r <= 0.7 * (1 + 1e-12) and math.isfinite(r) for r in found)
    turn = math.ceil(warmup * total)
    assert found[:turn] == sorted(found[:turn])
    assert found[turn:] == sorted(found[turn:], reverse=True)
