"""What a worker process can be asked to do, given the configuration of its study."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._registry import load_plugin
from ogive.metrics.base import Context
from ogive.spaces.base import Space, get_space
from ogive.study.config import StudyConfig
from ogive.study.final import train_and_test
from ogive.study.problem import Problem
from ogive.tasks.base import Task, get_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ogive.study.problem import Measured


def problem_of(
    config: StudyConfig, space: Space | None = None, task: Task | None = None, supernet: Any = None
) -> Problem:
    """Return the problem a configuration describes, after loading its plug-ins.

    Parameters
    ----------
    config : StudyConfig
    space, task : optional
        Used instead of what the configuration names, for objects that are not registered.
    supernet : optional
        What ``@supernet`` metrics read, where the study trains its own.

    Raises
    ------
    InputError
        If it names something that does not exist.
    """
    for source in config.plugins:
        load_plugin(source)
    space = restricted(get_space(config.space), config) if space is None else space
    if task is None and config.task is not None:
        task = get_task(config.task)
    options: dict[str, Any] = {}
    if config.train is not None:
        from ogive.training.config import TrainConfig

        options["train"] = TrainConfig.from_dict(config.train)
    if supernet is not None or config.supernet is not None:
        options["supernet"] = config.supernet if supernet is None else supernet
    context = Context(task=task, seed=config.seed, device=config.device, options=options)
    return Problem(space, config.objectives, config.maximize, config.where, context, screen=config.screen)


def restricted(space: Space, config: StudyConfig) -> Space:
    """Return the space with the sampling weights of the configuration."""
    if config.weights is None:
        return space
    table = zip(space.choices, config.weights, strict=True)
    return space.restrict(weights={c.name: dict(zip(c.options, row, strict=False)) for c, row in table})


def measure(problem: Problem, genotype: Sequence[int]) -> dict[str, Any]:
    """Return the dear metrics of one genotype as the fields of `Measured`."""
    found: Measured = problem.measure(np.array(genotype, dtype=problem.space.dtype))
    return asdict(found)


def retrain(problem: Problem, genotype: Sequence[int], seed: int, weights: str | None) -> dict[str, Any]:
    """Train an architecture anew and return its accuracies; see `ogive.study.final.train_and_test`."""
    return dict(train_and_test(problem, np.array(genotype, dtype=problem.space.dtype), seed, weights))


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"measure": measure, "retrain": retrain}


def caller(config: Mapping[str, Any], *, threads: int) -> Callable[[str, Sequence[Any]], dict[str, Any]]:
    """Return a function of a job's name and arguments that runs it on the problem of `config`."""
    problem = problem_of(StudyConfig.from_dict(config))
    if any("weights" in m.needs or "data" in m.needs for m in problem.info.values()):
        import torch

        torch.set_num_threads(threads)

    def call(name: str, args: Sequence[Any]) -> dict[str, Any]:
        return JOBS[name](problem, *args)

    return call
