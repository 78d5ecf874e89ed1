"""The side of a study that runs: rounds of one engine, in a run directory or in memory."""

from __future__ import annotations

import math
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from ogive._errors import InfeasibleError, InputError, StorageError
from ogive.study.crew import Crew
from ogive.study.engine import Engine
from ogive.study.events import EventLog, SqliteLog
from ogive.study.executors import Interrupts
from ogive.study.journal import Journal
from ogive.study.pilot import Pilot, equip
from ogive.study.progress import Listener, progress_bar
from ogive.study.reassess import reassess
from ogive.study.steered import Steered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ogive.study.one_shot import OneShot


class Rounds(Steered):
    """What `ogive.Study` runs by: each call of `run` is a round that goes on where the last one ended."""

    one_shot: OneShot | None
    note: str | None
    _engine: Engine | None = None
    _engine_seq = 0

    @abstractmethod
    def write_report(self) -> Path | None:
        """Write what a round ends with."""

    def run(self, trials: int | None = None, *, progress: bool | None = None) -> Self:
        """Search until there are `trials` more trials; without a number, until those planned last are there.

        Parameters
        ----------
        trials : int, optional
        progress : bool, optional
            Show a bar on standard error; by default where that is a terminal.

        Returns
        -------
        Study
            Itself. `note` says why it ended early, if it did.

        Raises
        ------
        InputError
            If `trials` is not positive, or an event log does not belong to the configuration.
        InfeasibleError
            If no candidate met the constraints within `max_draws` draws.
        RunLockedError
            If another process is writing the run directory.
        StorageError
            If the log cannot be written; what was logged is safe.
        DataMissingError
            If a metric needs data that are not on this machine.
        KeyboardInterrupt
            After Ctrl-C or SIGTERM, at a safe point; calling `run` again goes on.
        """
        if trials is not None and trials < 1:
            raise InputError(f"trials is a whole number of at least 1, not {trials}")
        self._need_data()
        with self._writing() as log, Interrupts() as interrupts:
            results = self.results()
            total = results.n_trials + trials if trials is not None else self.planned()
            began = log.last()
            log.extend([("budget", {"trials": total}), ("run.state", {"state": "searching"})], self.steering.rev)
            history = results.history()
            best = float(history[-1]) if len(history) else math.nan
            crew = Crew(self.config, self._problems, interrupts, log, self.directory)
            try:
                with progress_bar(self.problem, results.n_trials, total, best, progress) as listen:
                    engine = self._taken_up(log, began, crew, listen)
                    self._advance(engine, interrupts, total)
            finally:
                crew.close()
                self._line.close()
            # Good for another round unless somebody else writes the log in between, or workers were cut short.
            self._engine, self._engine_seq = None if engine.flying else engine, log.last()
        self.note = engine.note
        self._refresh()
        self.write_report()
        return self

    @staticmethod
    def _advance(engine: Engine, interrupts: Interrupts, total: int) -> None:
        state = {"state": "stopped"}
        try:
            engine.run(total, lambda: interrupts.pending)
            if interrupts.pending:
                raise KeyboardInterrupt
            if engine.trials >= engine.budget or engine.note:
                state = {"state": "done", "note": engine.note or ""}
            else:
                engine.note = f"stopped after {engine.trials:,} trials, as somebody asked"
        except InfeasibleError as error:
            state = {"state": "failed", "note": str(error)}
            raise
        except (StorageError, InputError):
            state = {}
            raise
        except Exception as error:
            state = {"state": "failed", "note": f"{type(error).__name__}: {' '.join(str(error).split())}"}
            raise
        finally:
            if state:
                engine.journal.append([("run.state", state)])

    def _taken_up(self, log: EventLog, began: int, crew: Crew, listen: Listener) -> Engine:
        """Return the engine of the last round if it is still up to date, else one that takes up the log."""
        engine, self._engine = self._engine, None
        if engine is None or began != self._engine_seq:
            journal = Journal(log, self._problem_at(0), self._problem_at)
            pilot = self._pilot = Pilot(self._asked, self._line, crew, journal)
            problem, strategy = crew.problem_of(pilot.steering), crew.strategy_of(pilot.steering)
            equip(strategy, pilot.steering, crew)
            journal.problem = problem
            engine = Engine(
                problem,
                strategy,
                journal,
                crew.executor_of(pilot.steering),
                batch=self.config.batch,
                window=self.config.window,
                free_repeats=self.config.repeats == "free",
                max_draws=self.config.max_draws,
                helm=pilot,
            )
            if self.one_shot is not None:
                self.one_shot.take_up(engine)
                engine.before_ask.append(self.one_shot.prepare)
                engine.on_steered.append(self.one_shot.retell)
        else:
            self._pilot.join(crew)
            engine.journal.log, engine.executor = log, crew.executor_of(self._pilot.steering)
        shown, engine.on_change = self.problem, lambda rows: listen(reassess(rows, engine.problem, shown))
        return engine

    @contextmanager
    def _writing(self) -> Iterator[EventLog]:
        if self.directory is None:
            yield self._log
            return
        with self.directory.lock(), SqliteLog(self.directory.database) as log:
            yield log

    def _need_data(self, *, always: bool = False) -> None:
        """Complain about missing files now, not in every trial."""
        context, objective = self.problem.context, self.problem.objectives[0]
        if always:
            context.need_task(objective).split("train")
        for name, m in self.problem.info.items():
            if "data" in m.needs:
                context.on(m.task).need_task(name).split("train")
