"""What a supernet sees of a task: endless batches that depend on their number alone, and a validation split in two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ogive.tasks._splits import stratified
from ogive.training.data import batch_bounds, crop_flip
from ogive.training.seeding import derive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ogive.tasks.base import Task
    from ogive.training.data import Batches


class Stream:
    """Endless shuffled batches of a split; ``stream[j]`` is a function of the seed and j.

    Parameters
    ----------
    batches : Batches
    batch_size : int
    seed : int
    augment : str
        "crop-flip" or "none".
    rows : ndarray of int, optional
        Examples of the split to draw from; all by default.

    Attributes
    ----------
    per_epoch : int
        Batches in which each example comes once.
    """

    def __init__(
        self,
        batches: Batches,
        batch_size: int,
        *,
        seed: int,
        augment: str = "none",
        rows: NDArray[np.intp] | None = None,
    ) -> None:
        self.batches, self.seed, self.augment = batches, seed, augment
        self.rows = torch.arange(len(batches)) if rows is None else torch.as_tensor(rows)
        self._bounds = batch_bounds(len(self.rows), batch_size)
        self.per_epoch = len(self._bounds)
        self._epoch, self._order = -1, self.rows

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return normalised examples and their classes."""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derive(self.seed, epoch))
            order = self.rows[torch.randperm(len(self.rows), generator=generator)]
            self._epoch, self._order = epoch, order.to(self.batches.x.device)
        start, stop = self._bounds[place]
        rows = self._order[start:stop]
        x = self.batches.x[rows]
        if self.augment == "crop-flip":
            x = crop_flip(x, torch.Generator().manual_seed(derive(self.seed, epoch, place)))
        return self.batches.normalised(x), self.batches.y[rows]


def val_parts(task: Task, anchors: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut the validation split in two, by class: what the search may see, and what judges the supernet.

    Parameters
    ----------
    task : Task
    anchors : float
        Share of the second part, in [0, 1).

    Returns
    -------
    search, anchor : ndarray of int
        Rows of the validation split; the same ones whatever the seed of a run.
    """
    y = task.split("val").y
    search, anchor = stratified(y, (round(anchors * len(y)),), seed=0)
    return search, anchor
