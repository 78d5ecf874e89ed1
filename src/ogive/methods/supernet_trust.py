"""Ask a supernet for its ranking, train a few of the architectures alone, and see how well the two agree.

The supernet ranks by loss on the part of the validation split that a search sees; the anchors are trained on the
training split and judged on the other part. The test split is not read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.metrics.trust import Trust, choose_anchors, judge

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space
    from ogive.training.config import TrainConfig
    from ogive.training.supernet_trainer import SupernetTrainer


@dataclass(frozen=True)
class Anchor:
    """One architecture that was trained alone.

    Attributes
    ----------
    arch : str
    why : str
        "top", "spread", "pinned" or "random"; see `choose_anchors`.
    loss : float
        Inside the supernet, in nats.
    accuracy : tuple of float
        Of each training alone, percent on the anchor part of validation.
    """

    arch: str
    why: str
    loss: float
    accuracy: tuple[float, ...]


def examine(
    trainer: SupernetTrainer,
    config: TrainConfig,
    *,
    anchors: int = 12,
    repeated: int = 4,
    candidates: int = 200,
    pinned: Sequence[str] = (),
    seed: int = 0,
    known: MutableMapping[tuple[str, int], float] | None = None,
    progress: Callable[[], Any] = lambda: None,
) -> tuple[list[Anchor], Trust]:
    """Judge a supernet by anchors.

    Parameters
    ----------
    trainer : SupernetTrainer
        Only read.
    config : TrainConfig
        Recipe of the trainings alone, the same for all.
    anchors : int
        Architectures to train alone.
    repeated : int
        How many of them are trained with a second seed, for the ceiling; spread over the list.
    candidates : int
        Architectures that anchors are chosen from: all of a space that has no more, else random ones.
    pinned : sequence of str
        Architectures that must be among the anchors.
    seed : int
        Fixes candidates, anchors and trainings.
    known : mapping, optional
        Accuracies by architecture string and seed of trainings that were done before with the same recipe; new ones
        are added.
    progress : callable
        Called after every training.

    Returns
    -------
    list of Anchor
    Trust
        The score is the negative loss, the truth the accuracy in percent.

    Raises
    ------
    InputError
        If the supernet's recipe leaves no part of validation for anchors, or a pinned one does not exist.
    DivergedError
        If a training alone diverges.
    """
    from ogive.training.supernet_data import val_parts

    rows = val_parts(trainer.task, trainer.config.anchors)[1]
    if not len(rows):
        raise InputError("this supernet was trained with anchors=0: no part of validation is left to judge it by")
    space = trainer.supernet.space
    known = {} if known is None else known
    pool = _pool(space, candidates, seed)
    wanted = space.parse(list(pinned)) if pinned else pool[:0]
    pool = _unique(space, np.concatenate([wanted, pool]))
    losses = np.array([trainer.scorer(g)["loss"] for g in pool])
    chosen = choose_anchors(-losses, pinned=range(len(_unique(space, wanted))), m=anchors, seed=seed)
    twice = set(np.linspace(0, len(chosen) - 1, min(repeated, len(chosen))).round().astype(int).tolist())
    truth, found = np.full((len(chosen), 2), np.nan), []
    for i, (at, why) in enumerate(chosen):
        arch = space.format(pool[at].tolist())
        for run in range(2 if i in twice else 1):
            if (arch, seed + run) not in known:
                known[arch, seed + run] = _alone(trainer, pool[at], config, seed + run, rows)
                progress()
            truth[i, run] = known[arch, seed + run]
        accuracy = tuple(value for value in truth[i].tolist() if not math.isnan(value))
        found.append(Anchor(arch, why, float(losses[at]), accuracy))
    return found, judge(-losses[[at for at, _ in chosen]], truth, seed=seed)


def _pool(space: Space, n: int, seed: int) -> Genotypes:
    allowed = space.restriction.allowed.sum(axis=1)
    if math.prod(allowed.tolist()) <= n:
        return space.enumerate()
    return space.sample(n, np.random.Generator(np.random.PCG64(seed)))


def _unique(space: Space, genotypes: Genotypes) -> Genotypes:
    """Return the architectures in their order, the first of those that are equal."""
    first: dict[bytes, int] = {}
    for i, key in enumerate(space.keys(space.canonical(genotypes))):
        first.setdefault(key, i)
    return np.asarray(genotypes[list(first.values())])


def _alone(
    trainer: SupernetTrainer, genotype: Genotypes, config: TrainConfig, seed: int, rows: NDArray[np.intp]
) -> float:
    from ogive.training.recalibration import examples, score_examples
    from ogive.training.seeding import seeded
    from ogive.training.trainer import train

    task, device = trainer.task, trainer.device
    with seeded(seed):
        model = trainer.supernet.space.build(genotype, task)
    train(model, task, config, seed=seed, device=str(device))
    return score_examples(model.eval(), *examples(task, "val", rows, device))["accuracy"]
