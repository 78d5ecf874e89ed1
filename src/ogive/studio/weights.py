"""The trained weights that a run keeps: those of its supernet, and those of what was trained alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.study.anchors import weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from ogive.spaces.base import Genotypes
    from ogive.study.config import StudyConfig
    from ogive.study.directory import RunDirectory
    from ogive.study.problem import Problem
    from ogive.training.supernet_trainer import SupernetTrainer

_ONE_AT_A_TIME = threading.Lock()
"""A supernet computes one architecture after another."""


def saved_supernet(folder: Path, config: StudyConfig) -> Path | None:
    """Return the folder of the newest supernet that a run has saved or was given, None where there is none."""
    given = (config.supernet or {}).get("folder")
    saved = sorted((folder / "checkpoints").glob("supernet-*"))
    return saved[-1] if saved else given


def scores(
    folder: Path, config: StudyConfig, problem: Problem, genotypes: Genotypes, metric: str
) -> NDArray[np.float64]:
    """Return a metric of each architecture with the saved weights of the run's supernet, NaN where there are none."""
    import torch

    out = np.full(len(genotypes), np.nan)
    source = saved_supernet(folder, config)
    if source is None:
        return out
    with _ONE_AT_A_TIME:
        torch.set_num_threads(1)  # The search beside it needs the others.
        trainer = _trainer(source, problem)
        # One forward pass an architecture: each has its own batch statistics.
        for i, genotype in enumerate(genotypes):
            out[i] = trainer.scorer(genotype)[metric.partition("@")[0]]
    return out


def _trainer(source: Path, problem: Problem) -> SupernetTrainer:
    from ogive.metrics.supernet import find_trainer, identity

    trainer = find_trainer({"folder": source}, "accuracy@supernet", problem.context.task, problem.context.device)
    if identity(trainer.supernet.space) != identity(problem.space):
        raise InputError("the supernet saved last is of another drawing; wait until it has been trained on this one")
    return trainer


def network(problem: Problem, genotype: Genotypes) -> nn.Module:
    """Return the network of an architecture, its weights initialised as the run's seed says.

    Raises
    ------
    InputError
        If the run has no task, or its space only names architectures.
    """
    from ogive.training.seeding import seeded

    if problem.context.task is None:
        raise InputError("this run has no task, so the shapes of a network are not known; only json can be exported")
    if not problem.space.buildable:
        raise InputError(f"space '{problem.space.name}' cannot build networks; only json can be exported")
    with seeded(problem.context.seed):
        return problem.space.build(genotype, problem.context.task)


def trained(
    directory: RunDirectory,
    config: StudyConfig,
    problem: Problem,
    genotype: Genotypes,
    anchors: Sequence[dict[str, Any]],
) -> tuple[nn.Module, str]:
    """Return the network of an architecture with the best weights there are, and where they come from.

    Parameters
    ----------
    directory : RunDirectory
    config : StudyConfig
    problem : Problem
    genotype : ndarray of int, (n_choices,)
    anchors : sequence of dict
        What was trained alone, oldest first; the last training of this architecture is taken. Without one, the weights
        it shares in the supernet saved last are.

    Raises
    ------
    InputError
        If it cannot be built, or has no trained weights.
    """
    from ogive.training.export import load_weights

    model, arch = network(problem, genotype), problem.space.format(genotype)
    for anchor in reversed(anchors):
        file = weights_of(directory, anchor["command"])
        if anchor["arch"] == arch and "accuracy" in anchor and file.is_file():
            return load_weights(model, file), f"trained alone, seed {anchor['seed']}"
    source = saved_supernet(directory.path, config)
    if source is None:
        raise InputError(f"'{arch}' has no trained weights in this run; train it alone first")
    with _ONE_AT_A_TIME:
        return _trainer(source, problem).scorer.prepared(genotype), "shared in the supernet"
