"""Small networks trained side by side to order pairs, each on its own share of the measurements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ogive._errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ogive.predictors.base import Floats

SETS, ROWS = 4, 32
_BLOCK = 16_384


class PairEnsemble:
    """Networks of two hidden layers, their weights stacked so that one matrix product serves all members.

    Parameters
    ----------
    members, inputs, width : int
    seed : int
        Fixes the initial weights and the sets drawn in `learn`.
    """

    def __init__(self, members: int, inputs: int, width: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        shapes = [(inputs, width), (width, width), (width, 1)]
        self._weights = [self._uniform((members, a, b), math.sqrt(6.0 / max(a, 1))) for a, b in shapes[:2]]
        self._weights.append(self._uniform((members, width, 1), math.sqrt(1.0 / width)))
        self._biases = [torch.zeros(members, 1, b, requires_grad=True) for _, b in shapes[:2]]

    def _uniform(self, shape: tuple[int, ...], bound: float) -> Tensor:
        draw = self._rng.uniform(-bound, bound, shape)
        return torch.tensor(draw, dtype=torch.float32, requires_grad=True)

    def __call__(self, x: Floats) -> Floats:
        """Return the output of every member for the same rows ``(n, inputs)``, ``(members, n)``."""
        rows = torch.as_tensor(x, dtype=torch.float64)
        # In float64, so that the answer does not depend on which rows are asked for together.
        weights, biases = ([p.detach().double() for p in part] for part in (self._weights, self._biases))
        members = len(weights[0])
        blocks = [
            _forward(rows[i : i + _BLOCK].expand(members, -1, -1), weights, biases) for i in range(0, len(x), _BLOCK)
        ]
        return torch.cat(blocks, dim=1).numpy()

    def learn(
        self,
        features: Floats,
        tasks: Floats,
        scores: Floats,
        train: NDArray[np.bool_],
        *,
        steps: int,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        """Minimise the logistic loss of all pairs within sets of 32 rows of one task, 4 sets a step and member.

        Parameters
        ----------
        features : ndarray of float64, (n, d)
        tasks : ndarray of float64, (t, k)
            With d + k = inputs.
        scores : ndarray of float64, (t, n)
            Higher is better; read where `train` is set.
        train : ndarray of bool, (members, t, n)
            What each member may see. Tasks count alike, however many measurements they have.

        Raises
        ------
        InputError
            If a member has no task with two measurements.
        """
        draws = self._draw(train, steps)
        x, e = (torch.as_tensor(a, dtype=torch.float32) for a in (features, tasks))
        y = torch.as_tensor(scores)
        parameters = [*self._weights, *self._biases]
        optimiser = torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for task, rows in zip(*map(torch.as_tensor, draws), strict=True):
            inputs = torch.cat([x[rows], e[task][:, :, None].expand(-1, -1, ROWS, -1)], dim=-1)
            g = _forward(inputs.flatten(1, 2), self._weights, self._biases).reshape(*task.shape, ROWS)
            value = y[task[..., None], rows]
            order = torch.sign(value[..., :, None] - value[..., None, :]).float()
            loss = torch.nn.functional.softplus(-order * (g[..., :, None] - g[..., None, :])) * order.abs()
            optimiser.zero_grad()
            # A sum over members, so that none feels how many there are.
            (loss.sum(dim=(1, 2, 3)) / order.abs().sum(dim=(1, 2, 3)).clamp(min=1)).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()

    def _draw(self, train: NDArray[np.bool_], steps: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the task of every set, ``(steps, members, SETS)``, and its rows, ``(steps, members, SETS, ROWS)``."""
        count = train.sum(axis=2)
        usable = count >= 2
        if not usable.any(axis=1).all():
            raise InputError("a fold leaves no task with two measurements to learn from; measure more, or fewer folds")
        own = np.arange(len(train))[:, None]
        nth = (self._rng.random((steps, len(train), SETS)) * usable.sum(axis=1)[:, None]).astype(np.intp)
        task = np.argsort(~usable, axis=1, kind="stable")[own, nth]
        which = self._rng.random((*task.shape, ROWS)) * count[own, task][..., None]
        rows = np.argsort(~train, axis=2, kind="stable")[own[..., None], task[..., None], which.astype(np.intp)]
        return task, rows


def _forward(x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    """Return the output of every member, ``(members, n)``, for its own rows ``(members, n, inputs)``."""
    for weight, bias in zip(weights, biases, strict=False):
        x = torch.nn.functional.silu(torch.baddbmm(bias, x, weight))
    return (x @ weights[-1])[..., 0]
