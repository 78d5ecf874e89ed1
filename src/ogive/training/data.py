"""A split as two tensors on the device, cut into batches, normalised and augmented there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.tasks.base import SplitName, Task


class Batches:
    """A whole split on the device.

    Parameters
    ----------
    task : Task
    which : {"train", "val", "test"}
    device : torch.device
    """

    def __init__(self, task: Task, which: SplitName, device: torch.device) -> None:
        split = task.split(which)
        self.x = torch.tensor(np.ascontiguousarray(split.x), device=device)
        self.y = torch.tensor(np.ascontiguousarray(split.y), dtype=torch.int64, device=device)
        shape = (1, -1, *[1] * (self.x.ndim - 2))
        self.mean = torch.tensor(task.mean, dtype=torch.float32, device=device).reshape(shape)
        self.scale = 1.0 / torch.tensor(task.std, dtype=torch.float32, device=device).reshape(shape)

    def __len__(self) -> int:
        return len(self.y)

    def normalised(self, x: Tensor) -> Tensor:
        """Return raw examples as float32 with zero mean and unit variance over the training split."""
        return (x.float() - self.mean) * self.scale

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised examples and their classes, in the split's order."""
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            yield self.normalised(self.x[rows]), self.y[rows]

    def shuffled(self, batch_size: int, augment: str, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each example once, in random order, normalised and augmented; see `batch_bounds`."""
        order = torch.randperm(len(self), generator=generator).to(self.x.device)
        for start, stop in batch_bounds(len(self), batch_size):
            rows = order[start:stop]
            x = self.x[rows]
            yield self.normalised(crop_flip(x, generator) if augment == "crop-flip" else x), self.y[rows]


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return start and stop of every batch; a last batch of one example joins the one before it."""
    starts = list(range(0, n, batch_size))
    if n % batch_size == 1 and len(starts) > 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def crop_flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return a batch of raw images, each cropped at random and mirrored left to right with even chance.

    Parameters
    ----------
    x : Tensor, (n, c, h, w)
        The border is padded with black, an eighth of the height wide: 4 pixels for CIFAR.
    generator : torch.Generator
        On the CPU, so that every device sees the same draws.

    Returns
    -------
    Tensor, (n, c, h, w)
    """
    n, _, h, w = x.shape
    pad = max(1, h // 8)
    at = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).to(x.device)
    # All crops are views of the padded batch; indexing picks one for each example.
    crops = F.pad(x, (pad, pad, pad, pad)).unfold(2, h, 1).unfold(3, w, 1)
    out = crops[torch.arange(n, device=x.device), :, at[0], at[1]]
    mirror = (torch.rand(n, generator=generator) < 0.5).to(x.device)
    return torch.where(mirror[:, None, None, None], out.flip(3), out)
