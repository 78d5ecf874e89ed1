"""What a pilot needs of its study: problems, strategies and executors of each revision, and what is done beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError
from ogive.spaces.template import Template
from ogive.strategies.base import Strategy, get_strategy
from ogive.study.anchors import Anchors
from ogive.study.executors import InProcess, InWorkers
from ogive.study.exports import export
from ogive.study.jobs import problem_of
from ogive.study.workers import Pool

if TYPE_CHECKING:
    from ogive.study.config import StudyConfig
    from ogive.study.directory import RunDirectory
    from ogive.study.engine import Engine
    from ogive.study.events import EventLog
    from ogive.study.executors import Interrupts
    from ogive.study.groups import Executor
    from ogive.study.operations import Command
    from ogive.study.problem import Problem
    from ogive.study.settings import Settings
    from ogive.study.steering import Steering


class Problems:
    """The problems of a study, one for each question it was steered to.

    Parameters
    ----------
    config : StudyConfig
    problem : Problem
        That of the question it was asked.
    asked : Settings
        The settings of revision 0.
    """

    def __init__(self, config: StudyConfig, problem: Problem, asked: Settings) -> None:
        self._config, self._first = config, problem
        self._found = {asked.question: problem}

    def of(self, settings: Settings) -> Problem:
        """Return the problem of some settings; the same object for the same question."""
        if settings.question not in self._found:
            config = self.config_of(settings, self._config.space)
            space, context = settings.space(self._first.space), self._first.context
            supernet = context.options.get("supernet")
            self._found[settings.question] = problem_of(config, space, context.task, supernet)
        return self._found[settings.question]

    def config_of(self, settings: Settings, space: str) -> StudyConfig:
        """Return the configuration of a study that asks what the settings ask."""
        return replace(
            self._config, space=space, maximize=settings.maximize, minimize=settings.minimize, where=settings.where
        )


class Crew:
    """Serves the pilot of one round; see `ogive.study.pilot.Crew`.

    Parameters
    ----------
    config : StudyConfig
    problems : Problems
    interrupts : Interrupts
    log : EventLog
    directory : RunDirectory, optional
    """

    def __init__(
        self,
        config: StudyConfig,
        problems: Problems,
        interrupts: Interrupts,
        log: EventLog,
        directory: RunDirectory | None,
    ) -> None:
        self._config, self._problems, self._interrupts, self._directory = config, problems, interrupts, directory
        self._pool: Pool | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._log = log
        self._anchors = Anchors(log, directory)

    def problem_of(self, state: Steering) -> Problem:
        """Return the problem of a revision."""
        return self._problems.of(state.settings)

    def strategy_of(self, state: Steering) -> Strategy:
        """Return a strategy that knows nothing yet; its seed tells it apart from those before it."""
        settings = state.settings
        same = [
            (r.settings.strategy, r.settings.question) == (settings.strategy, settings.question)
            for r in state.revisions
        ]
        first = len(same) - (same[::-1].index(False) if False in same else len(same))
        seed = self._config.seed + first
        return get_strategy(settings.strategy, state.space, n_objectives=len(settings.objectives), seed=seed)

    def executor_of(self, state: Steering) -> Executor:
        """Return where the dear metrics of a revision are measured; what measured for another one stops."""
        problem = self.problem_of(state)
        self._close_pool()
        if self._config.workers == 0 or not problem.dear:
            return InProcess(problem, self._interrupts)
        self._pool = Pool(self._config.workers, self.config_of(state).to_dict(), timeout=self._config.timeout)
        return InWorkers(problem, self._pool, self._interrupts)

    def config_of(self, state: Steering) -> StudyConfig:
        """Return what a worker has to know to measure for a revision."""
        return self._problems.config_of(state.settings, self._named(state))

    def _named(self, state: Steering) -> str:
        """Return the name of a revision's space for another process: a drawing goes into a file."""
        space = state.whole
        if not isinstance(space, Template) or space.path is not None:
            return self._config.space
        if self._directory is not None:
            folder = self._directory.path / "templates"
            folder.mkdir(exist_ok=True)
        else:
            self._folder = self._folder or TemporaryDirectory()
            folder = Path(self._folder.name)
        return space.save(folder / f"{state.settings.hash}.json").spec

    def act(self, command: Command, state: Steering, engine: Engine) -> dict[str, Any]:
        """Carry out a command that changes no draw; return what its event says besides."""
        args = command.args
        if command.op == "checkpoint":
            engine.snapshot()
        elif command.op == "train_alone":
            return {"anchor": self._anchors.ask(command.id, self.config_of(state), engine.problem, args)}
        elif command.op == "cancel":
            self._anchors.cancel(args["command"], engine)
        elif command.op == "export":
            if self._directory is None:
                raise InputError("a study in memory has no directory to export to; give it one with out=")
            return {"file": export(self._directory, self._log, engine, args["arch"], args.get("format", "json"))}
        return {}

    def tend(self, engine: Engine) -> bool:
        """Take in what finished beside the search; return whether something is still under way."""
        return self._anchors.tend(engine)

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def close(self) -> None:
        """Stop all workers."""
        self._close_pool()
        self._anchors.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
