"""A task and networks small enough to train in milliseconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ogive.tasks.base import Split, Task


class Blobs(Task):
    """Four noisy patches of 4 x 4 pixels: linearly separable, 101 training examples, a prime."""

    name = "blobs"
    input_shape = (2, 4, 4)
    n_outputs = 4
    mean = (100.0, 100.0)
    std = (60.0, 60.0)
    augment = "none"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sizes = {"train": 101, "val": 40, "test": 40}

    def split(self, which):
        self.asked.append(which)
        n, seed = self.sizes[which], ("train", "val", "test").index(which)
        rng = np.random.default_rng(seed)
        y = np.arange(n) % 4
        centres = np.random.default_rng(9).integers(0, 200, (4, 2, 4, 4))
        x = centres[y] + rng.normal(0, 25, (n, 2, 4, 4))
        return Split(np.clip(x, 0, 255).astype(np.uint8), y.astype(np.int64))


def network(dropout: float = 0.2) -> nn.Module:
    """Convolution, batch normalisation over single pixels, dropout, linear head."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(2, 8, 4, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8, 4),
        )


@pytest.fixture
def blobs():
    return Blobs()


@pytest.fixture
def make():
    return network
