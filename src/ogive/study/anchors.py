"""Anchors: single architectures trained from scratch beside the search, on request, to judge estimates by.

They take no part in the search: nothing is told to the strategy, and no candidate changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.study.config import StudyConfig
from ogive.study.final import judged
from ogive.study.jobs import problem_of
from ogive.study.journal import ANCHOR, APPLIED
from ogive.study.workers import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ogive.study.directory import RunDirectory
    from ogive.study.engine import Engine
    from ogive.study.events import EventLog
    from ogive.study.problem import Problem


class Anchors:
    """Trainings on request, one after another in a process of their own.

    Parameters
    ----------
    log : EventLog
        Trainings that were asked for in it and never finished are begun again.
    directory : RunDirectory, optional
        Where the weights go, as ``anchors/ID.safetensors``.
    """

    def __init__(self, log: EventLog, directory: RunDirectory | None) -> None:
        self._directory = directory
        self._pool: Pool | None = None
        self._line: dict[str, dict[str, Any]] = {}
        self._now: str | None = None
        for event in log.read(kinds=(APPLIED, ANCHOR)):
            if event.kind == APPLIED and event.data["op"] == "train_alone":
                self._line[event.data["id"]] = event.data["anchor"]
            elif event.kind == ANCHOR:
                self._line.pop(event.data["command"], None)

    def ask(self, command: str, config: StudyConfig, problem: Problem, args: Mapping[str, Any]) -> dict[str, Any]:
        """Put a training in line and return what the log has to know of it.

        Parameters
        ----------
        command : str
            Id of the command.
        config : StudyConfig
            Names the present space.
        problem : Problem
        args : mapping
            ``arch``, and if given ``epochs`` and ``seed``.

        Raises
        ------
        InputError
            If there is no task to train on, or no such architecture.
        """
        problem.context.need_task("train_alone")
        if not problem.space.buildable:
            raise InputError(f"space '{problem.space.name}' cannot build networks; it only names architectures")
        genotype = problem.space.check(problem.space.parse(args["arch"]))[0]
        if "epochs" in args:
            config = replace(config, train={**(config.train or {}), "epochs": args["epochs"]})
        facts = {"genotype": genotype.tolist(), "arch": problem.space.format(genotype)}
        facts |= {"seed": args.get("seed", config.seed), "setup": config.to_dict()}
        self._line[command] = facts
        return facts

    def cancel(self, command: str, engine: Engine) -> None:
        """Call a training off.

        Raises
        ------
        InputError
            If it is not in line.
        """
        if command not in self._line:
            raise InputError(f"no training of command '{command}' is in line or under way")
        facts = self._line.pop(command)
        if self._now == command:
            self._now = None
            self.close()
        engine.journal.append([(ANCHOR, _entry(command, facts, {"reason": "cancelled"}))])

    def tend(self, engine: Engine) -> bool:
        """Log what has finished, begin what is next, and return whether something is left to do."""
        if self._now is None and self._line:
            self._begin(next(iter(self._line)))
        command = self._now
        if command is None or self._pool is None:
            return False
        for found in self._answers(self._pool):
            self._now = None
            engine.journal.append([(ANCHOR, _entry(command, self._line.pop(command), found))])
        return bool(self._line)

    @staticmethod
    def _answers(pool: Pool) -> list[dict[str, Any]]:
        try:
            return [{"reason": a.reason} if a.result is None else a.result for a in pool.wait(0.0)]
        except InputError as error:
            return [{"reason": str(error)}]

    def _begin(self, command: str) -> None:
        facts = self._line[command]
        self.close()
        self._pool = Pool(1, facts["setup"], jobs="ogive.study.anchors")
        weights = None
        if self._directory is not None:
            weights = weights_of(self._directory, command)
            weights.parent.mkdir(exist_ok=True)
        self._now = command
        self._pool.submit(0, "train_alone", facts["genotype"], facts["seed"], weights and str(weights))

    def close(self) -> None:
        """Stop what is under way; another round begins it again."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def weights_of(directory: RunDirectory, command: str) -> Path:
    """Return the file of an anchor's weights."""
    return directory.path / "anchors" / f"{command}.safetensors"


def _entry(command: str, facts: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {"command": command, **{k: facts[k] for k in ("arch", "genotype", "seed")}, **found}


def train_alone(problem: Problem, genotype: Sequence[int], seed: int, weights: str | None) -> dict[str, float]:
    """Train one architecture by the study's recipe; return validation accuracy (%), loss (nats) and seconds.

    The test split is not read.
    """
    from ogive.training.export import save_weights
    from ogive.training.seeding import seeded
    from ogive.training.trainer import train

    context = problem.context
    task = context.need_task("train_alone")
    with seeded(seed):
        model = problem.space.build(np.array(genotype, dtype=problem.space.dtype), task)
    result = train(model, task, context.options.get("train"), seed=seed, device=context.device)
    if weights is not None:
        save_weights(model, weights)
    return judged(problem, model, result) | {"seconds": result.seconds}


def caller(config: Mapping[str, Any], *, threads: int) -> Callable[[str, Sequence[Any]], dict[str, float]]:
    """Return the function that trains one anchor in a worker; see `ogive.study.workers.Pool`."""
    import torch

    torch.set_num_threads(threads)
    problem = problem_of(StudyConfig.from_dict(config))
    return lambda name, args: train_alone(problem, *args)  # noqa: ARG005 - a worker has no other job
