"""What one architecture of a supernet is worth, with batch statistics of its own.

The running statistics of a supernet are a mixture over all paths that passed through a layer, and fit none of them.
Before an architecture is scored they are estimated again from training batches, on a copy: the supernet is only read.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Self

import torch
from torch import nn
from torch.nn import functional as F

from ogive._errors import DivergedError
from ogive.training.data import Batches, batch_bounds
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_data import Stream, val_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ogive.spaces.base import Genotypes
    from ogive.tasks.base import SplitName, Task
    from ogive.training.supernet import Supernet
    from ogive.training.supernet_config import Statistics

_SCORE_BATCH = 512


class Scorer:
    """Scores architectures of a supernet on one part of a task, each once for as long as the weights stay.

    Parameters
    ----------
    supernet : Supernet
    task : Task
    which : {"val", "test", "train"}
    rows : ndarray of int, optional
        Examples of the split; all by default.
    statistics : {"recalibrated", "running", "batch"}
        What batch normalisation uses; see `SupernetConfig`. Networks without it give the same score with all three.
    recalibrate : int
        Training batches that statistics are estimated from, without augmentation; the same ones for every architecture.
    batch_size : int
        Examples of such a batch.
    """

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        *,
        which: SplitName = "val",
        rows: NDArray[np.intp] | None = None,
        statistics: Statistics = "recalibrated",
        recalibrate: int = 10,
        batch_size: int = 64,
    ) -> None:
        self.supernet, self.task, self.which, self.rows = supernet, task, which, rows
        self.statistics, self.recalibrate, self.batch_size = statistics, recalibrate, batch_size
        self._known: dict[bytes, dict[str, float]] = {}

    @classmethod
    def of(cls, supernet: Supernet, task: Task, config: SupernetConfig | None = None) -> Self:
        """Return the scorer of a recipe, on the part of the validation split that a search may see."""
        config = config or SupernetConfig()
        return cls(
            supernet,
            task,
            rows=val_parts(task, config.anchors)[0],
            statistics=config.statistics,
            recalibrate=config.recalibrate,
            batch_size=config.batch_size,
        )

    def __call__(self, genotype: Genotypes) -> dict[str, float]:
        """Return ``accuracy`` (percent) and ``loss`` (mean cross-entropy, nats) of one genotype ``(n_choices,)``.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        key = self.supernet.space.keys(genotype[None])[0]
        if key not in self._known:
            found = score_examples(self.prepared(genotype), *self._examples)
            if not math.isfinite(found["loss"]):
                raise DivergedError(f"the loss inside the supernet is {found['loss']}; train it with a lower rate")
            self._known[key] = found
        return dict(self._known[key])

    def forget(self) -> None:
        """Forget the scores: the weights have changed."""
        self._known.clear()

    def prepared(self, genotype: Genotypes) -> nn.Module:
        """Return a copy of one architecture's network, ready to be scored."""
        model = self.supernet.extract(genotype).eval()
        if self.statistics == "recalibrated":
            recalibrate(model, self._calibration)
        elif self.statistics == "batch":
            for norm in _batch_norms(model):
                norm.train()
        return model

    @cached_property
    def _calibration(self) -> list[Tensor]:
        stream = Stream(Batches(self.task, "train", self.supernet.device), self.batch_size, seed=0)
        return [stream[i][0] for i in range(self.recalibrate)]

    @cached_property
    def _examples(self) -> tuple[Tensor, Tensor]:
        return examples(self.task, self.which, self.rows, self.supernet.device)


def score(
    supernet: Supernet,
    genotype: Genotypes,
    task: Task,
    *,
    which: SplitName = "val",
    mode: Statistics = "recalibrated",
    batches: int = 10,
    rows: NDArray[np.intp] | None = None,
) -> dict[str, float]:
    """Return ``accuracy`` (percent) and ``loss`` (nats) of one architecture; for many of them, keep a `Scorer`."""
    scorer = Scorer(supernet, task, which=which, rows=rows, statistics=mode, recalibrate=batches)
    return scorer(genotype)


def examples(
    task: Task, which: SplitName, rows: NDArray[np.intp] | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return normalised examples of a split and their classes; those of some rows, where given."""
    batches = Batches(task, which, device)
    at = slice(None) if rows is None else torch.as_tensor(rows, device=device)
    return batches.normalised(batches.x[at]), batches.y[at]


def score_examples(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """Return ``accuracy`` (percent) and ``loss`` (nats) of a network as it is, without any change of mode."""
    bounds = batch_bounds(len(y), _SCORE_BATCH)
    with torch.inference_mode():
        logits = torch.cat([model(x[start:stop]) for start, stop in bounds]).double()
    accuracy = 100.0 * float((logits.argmax(dim=1) == y).double().mean())
    return {"accuracy": accuracy, "loss": float(F.cross_entropy(logits, y))}


def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of a network's batch normalisations by the means over some batches, in place.

    Every batch counts the same. All layers see the batches normalised by the batch's own statistics, as in training.
    Networks without batch normalisation are not run.

    Parameters
    ----------
    model : Module
        Left in evaluation mode.
    batches : iterable of Tensor, (n, *input_shape)
        Normalised examples.
    """
    norms = _batch_norms(model.eval())
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to ask for the plain mean over batches
        norm.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
