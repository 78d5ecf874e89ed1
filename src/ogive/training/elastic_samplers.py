"""Samplers for spaces whose options go from small to large: the sandwich rule and progressive shrinking.

Sources: Yu et al., "BigNAS: Scaling Up Neural Architecture Search with Big Single-Stage Models", ECCV 2020; Cai et al.,
"Once-for-All: Train One Network and Specialize It for Efficient Deployment", ICLR 2020.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.training.samplers import SAMPLERS, Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ogive.spaces.base import Choice, Genotypes, Space
    from ogive.training.supernet_trainer import SupernetTrainer


class Elastic(Sampler):
    """Base of the samplers that need to know which option is larger: options must be numbers, smallest first.

    Raises
    ------
    InputError
        If a choice of the space has other options.
    """

    def __init__(self, space: Space, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        for choice in space.choices:
            if not _rises(choice):
                raise InputError(
                    f"sampler '{self.name}' needs options that are numbers from small to large; choice '{choice.name}' "
                    f"of space '{space.name}' has {', '.join(choice.options[:4])}; use 'fair' or 'uniform'"
                )

    def extreme(self, largest: bool) -> Genotypes:
        """Return the largest, or the smallest, architecture that the restriction allows, ``(n_choices,)``."""
        allowed = self.space.restriction.allowed
        codes = allowed.shape[1] - 1 - allowed[:, ::-1].argmax(axis=1) if largest else allowed.argmax(axis=1)
        return np.asarray(self.space.check(codes)[0])


class Sandwich(Elastic):
    """The sandwich rule: every step trains the largest, the smallest and some random architectures.

    The largest learns from the labels, and the others, where `distill` is set, from its soft predictions for the same
    images, without gradient (BigNAS, section 3.1: sandwich rule and in-place distillation).

    Parameters
    ----------
    space : Space
    seed : int
    random : int
        Random architectures a step; 2 as published.
    distill : bool

    Raises
    ------
    InputError
        If an option is out of range, or the space is not ordered.
    """

    name = "sandwich"

    def __init__(self, space: Space, *, seed: int = 0, random: int = 2, distill: bool = True) -> None:
        super().__init__(space, seed=seed)
        self.random, self.distill = _count(self.name, "random", random, low=0), distill
        if not isinstance(distill, bool):
            raise InputError(f"sampler 'sandwich' needs distill=true or false, not {distill}")

    def paths(self, step: int) -> Genotypes:
        """Return the largest, the smallest and the random architectures, in this order."""
        ends = [self.extreme(largest=True), self.extreme(largest=False)]
        return np.vstack([*ends, self.space.sample(self.random, self.rng(step))])

    def train_step(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> Tensor:
        """Add the gradients of one step; see `Sampler.train_step`."""
        if not self.distill:
            return super().train_step(trainer, x, y)
        paths = self.paths(trainer.steps_done)
        logits = trainer.supernet.forward(x, paths[0])
        losses = [trainer.loss(logits, y) / len(paths)]
        losses[0].backward()  # type: ignore[no-untyped-call]
        soft = logits.detach().softmax(dim=1)
        for path in paths[1:]:
            losses.append(F.cross_entropy(trainer.supernet.forward(x, path), soft) / len(paths))
            losses[-1].backward()  # type: ignore[no-untyped-call]
        trainer.supernet.count(paths)
        return sum(loss.detach() for loss in losses[1:]) + losses[0].detach()


class Progressive(Elastic):
    """Progressive shrinking: train the largest architecture, then let kernels, depths and widths become smaller.

    Phases of equal length: all choices at their largest; all kernels; then one smaller depth a phase; then one smaller
    width a phase. A resolution is free from the start (Once-for-All, section 3.3). A choice whose name starts with
    neither "kernel", "depth" nor "resolution" is a width. Unlike in the published training, phases are equally long,
    nothing is distilled from the largest network, and channels are not sorted by importance before widths open.

    Parameters
    ----------
    space : Space
        Its weights are those of the draws.
    seed : int
    paths : int
        Architectures a step.
    steps : int
        Steps of all phases together; 0 stands for those of the trainer. What follows is as the last phase.

    Raises
    ------
    InputError
        If an option is out of range, or the space is not ordered.
    """

    name = "progressive"

    def __init__(self, space: Space, *, seed: int = 0, paths: int = 1, steps: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.n_paths = _count(self.name, "paths", paths, low=1)
        self.steps = _count(self.name, "steps", steps, low=0)

    def phases(self) -> list[NDArray[np.bool_]]:
        """Return what each phase allows, ``(n_choices, max options)``."""
        allowed = self.space.restriction.allowed
        # Rank 0 is the largest option that is allowed.
        rank = np.cumsum(allowed[:, ::-1], axis=1)[:, ::-1] - 1
        kinds = np.array([_kind(choice) for choice in self.space.choices])
        opened = np.where(kinds == "resolution", rank.max(), 0)
        phases = [opened]
        for kind in ("kernel", "depth", "width"):
            last = int(rank[kinds == kind].max(initial=0))
            for smaller in range(last if kind == "kernel" and last else 1, last + 1):
                opened = np.where(kinds == kind, smaller, opened)
                phases.append(opened)
        return [allowed & (rank <= opened[:, None]) for opened in phases]

    def paths(self, step: int) -> Genotypes:
        """Return architectures drawn from what the phase of the step allows.

        Raises
        ------
        InputError
            If the number of steps is not known yet.
        """
        if not self.steps:
            raise InputError("sampler 'progressive' needs steps=... where no trainer says how many there are")
        phases = self.phases()
        now = phases[min(step * len(phases) // self.steps, len(phases) - 1)]
        closed = {
            choice.name: [option for option, free in zip(choice.options, row, strict=False) if not free]
            for choice, row in zip(self.space.choices, now.tolist(), strict=True)
        }
        return self.space.restrict(exclude=closed).sample(self.n_paths, self.rng(step))

    def train_step(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> Tensor:
        """Add the gradients of one step; see `Sampler.train_step`."""
        self.steps = self.steps or trainer.total_steps
        return super().train_step(trainer, x, y)


def _rises(choice: Choice) -> bool:
    try:
        return all(small < large for small, large in pairwise(map(float, choice.options)))
    except ValueError:
        return False


def _kind(choice: Choice) -> str:
    return next((kind for kind in ("kernel", "depth", "resolution") if choice.name.startswith(kind)), "width")


def _count(sampler: str, option: str, value: Any, *, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"sampler '{sampler}' needs a whole number {option} >= {low}, not {value}")
    return value


for _sampler in (Sandwich, Progressive):
    SAMPLERS.add(_sampler.name, _sampler)
