"""A small probe network, trained on the spot, for task embeddings where no pretrained network is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ogive.nn.blocks import ResidualBlock
from ogive.tasks.embedding import as_images
from ogive.training.config import TrainConfig
from ogive.training.schedule import learning_rate
from ogive.training.seeding import derive, seeded
from ogive.training.trainer import find_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ogive.tasks.base import Task

_BATCH = 64
_RECIPE = TrainConfig(lr=0.1, weight_decay=5e-4)


class Probe(nn.Module):
    """A residual network of three stages, 16 to `width` channels.

    Parameters
    ----------
    n_outputs : int
        Classes of all tasks it is trained on together.
    width : int
        Filters of its last convolution, and so the length of embeddings.
    """

    def __init__(self, n_outputs: int, width: int = 128) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            ResidualBlock(16, 32, 2),
            ResidualBlock(32, 64, 2),
            ResidualBlock(64, width, 2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, 3, h, w)`` to logits ``(n, n_outputs)``."""
        y: Tensor = self.head(self.body(x))
        return y


def train_probe(
    tasks: Sequence[Task], *, steps: int = 600, width: int = 128, side: int = 16, seed: int = 0, device: str = "cpu"
) -> Probe:
    """Train one probe on the training splits of one or several tasks together, and return it in evaluation mode.

    Every batch is of one task, the tasks take turns, and each has its own outputs of the last layer. For a search
    whose targets are unknown, give it the source alone.

    Parameters
    ----------
    tasks : sequence of Task
        Of images.
    steps : int
        Batches of 64 examples; 600 take about ten CPU seconds.
    width : int
        Filters of the last convolution.
    side : int
        Height and width that images are resized to, as `fisher_embedding` must be told too.
    seed : int
    device : str

    Raises
    ------
    InputError
        If examples are no images, or the device is not there.
    DataMissingError
        If the files of a task are not on this machine.
    """
    where = find_device(device)
    first = np.cumsum([0, *(task.n_outputs for task in tasks)]).tolist()
    with seeded(derive(seed, 0), where):
        probe = Probe(first[-1], width).to(where).train()
        optimizer = torch.optim.SGD(
            probe.parameters(), _RECIPE.lr, _RECIPE.momentum, weight_decay=_RECIPE.weight_decay, nesterov=True
        )
        streams = [_batches(task, side, derive(seed, 1, i), where) for i, task in enumerate(tasks)]
        for step in range(steps):
            turn = step % len(tasks)
            x, y = next(streams[turn])
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(_RECIPE, step, steps)
            loss = F.cross_entropy(probe(x)[:, first[turn] : first[turn + 1]], y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return probe.eval()


def _batches(task: Task, side: int, seed: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of the training split for ever, in a new random order whenever all examples were seen."""
    split, rng = task.split("train"), np.random.default_rng(seed)
    while True:
        for rows in np.array_split(rng.permutation(len(split)), max(len(split) // _BATCH, 1)):
            yield as_images(task, split.x[rows], side).to(device), torch.tensor(split.y[rows], device=device)
