"""A space small enough to check a supernet's gradients by hand: two choices among linear maps, a skip and nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ogive.nn.supernet import Alternatives, SuperNetwork
from ogive.spaces.base import Choice, Space
from ogive.tasks.base import Split, Task

OPTIONS = ("linear", "skip_connect", "third")
WIDTH = 6


class Forget(nn.Module):
    """Keeps the first coordinate only."""

    def forward(self, x):
        return x * (torch.arange(WIDTH) == 0)


class Noise(nn.Module):
    """Has nothing to do with its input."""

    def forward(self, x):
        return 2 * torch.randn_like(x)


class Network(SuperNetwork):
    """Two places one after the other, batch normalisation, and a linear head."""

    def __init__(self, n_outputs, third):
        super().__init__()
        for i in range(2):
            place = Alternatives(dict(zip(OPTIONS, (nn.Linear(WIDTH, WIDTH), nn.Identity(), third()), strict=True)))
            setattr(self, f"place{i}", place)
            self.bind(i, place)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.head = nn.Linear(WIDTH, n_outputs)

    def forward(self, x):
        x = torch.relu(self.place0(x))
        return self.head(self.norm(torch.tanh(self.place1(x))))


class Tiny(Space):
    """Nine networks."""

    name = "tiny-supernet"
    choices = (Choice("first", OPTIONS), Choice("second", OPTIONS))
    buildable = True

    def __init__(self, third=Forget):
        self.third = third

    def supernet(self, task):
        return Network(task.n_outputs, self.third)


class Points(Task):
    """Points whose class is the sign pattern of two sums of their coordinates."""

    name = "tiny-points"
    input_shape = (WIDTH,)
    n_outputs = 4
    mean, std = (0.0,) * WIDTH, (1.0,) * WIDTH

    def split(self, which):
        n, seed = {"train": (96, 0), "val": (64, 1), "test": (16, 2)}[which]
        x = np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(np.float32)
        w = np.random.default_rng(9).normal(size=(WIDTH, 2))
        return Split(x, ((x @ w) > 0) @ np.array([1, 2]))
