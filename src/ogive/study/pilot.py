"""Steering a running engine: commands are taken from their line, carried out between two steps, and logged.

What changes the draws is logged with the engine's `turn`. A resumed run carries it out again at that turn, from the
log, and takes new commands that change the draws only once it has caught up with what was drawn before.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ogive._errors import OgiveError, StorageError
from ogive.study._changes import adopt, age, insert, is_new_measurement, settled, tell_again, withdraw
from ogive.study.journal import APPLIED
from ogive.study.operations import Command
from ogive.study.reassess import reassess
from ogive.study.settings import nudge_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from ogive.strategies.base import Strategy
    from ogive.study.commands import CommandLine, Posted
    from ogive.study.engine import Engine
    from ogive.study.events import Entry, Event
    from ogive.study.groups import Executor, Group
    from ogive.study.journal import Journal
    from ogive.study.problem import Problem
    from ogive.study.steering import Steering

_POLL = 0.05
"""Seconds between two looks at the line while the run is paused or waits for workers."""

_SAMPLER = ("T", "uniform", "mutation")


class Crew(Protocol):
    """What a pilot needs of the study it steers."""

    def problem_of(self, state: Steering) -> Problem:
        """Return the problem of a revision, the same object for the same question."""

    def strategy_of(self, state: Steering) -> Strategy:
        """Return a strategy that knows nothing yet, inside the revision's restriction."""

    def executor_of(self, state: Steering) -> Executor:
        """Return where the dear metrics of a revision are measured."""

    def act(self, command: Command, state: Steering, engine: Engine) -> dict[str, Any]:
        """Carry out a command that changes no draw; return what its event says besides."""

    def tend(self, engine: Engine) -> bool:
        """Take in what finished beside the search; return whether something is still under way."""


def is_positioned(command: Command) -> bool:
    """Return whether a command changes the draws, so that its place among them matters."""
    return command.kind in ("revision", "history") or command.op == "evaluate"


def command_of(event: Event) -> Command:
    """Return the command of an event that says what became of it."""
    return Command(**{f.name: event.data[f.name] for f in fields(Command)})


class Pilot:
    """Steers one engine.

    Parameters
    ----------
    steering : Steering
        Before any command.
    line : CommandLine
    crew : Crew
    journal : Journal
        Commands in it are not carried out a second time, but again at their place.
    """

    patience: float | None = _POLL

    def __init__(self, steering: Steering, line: CommandLine, crew: Crew, journal: Journal) -> None:
        self.steering, self.line, self.crew = steering, line, crew
        self.stopped = False
        self._read_to = 0
        self._waiting: deque[Posted] = deque()
        self._paused = False
        self._resting: str | None = None
        self._step: int | None = None
        self._until = math.inf
        applied = [e for e in journal.commands if e.kind == APPLIED]
        self._done = {e.data["id"] for e in journal.commands if e.kind in (APPLIED, "command.rejected")}
        self._accepted = {e.data["id"] for e in journal.commands if e.kind == "command.accepted"}
        script = [e for e in applied if is_positioned(command_of(e))]
        self._applied = 0 if journal.snapshot is None else journal.snapshot.get("applied", 0)
        self._script = deque(script[self._applied :])
        for event in script[: self._applied]:
            self.steering = self.steering.apply(_unasked(command_of(event)))
        for event in applied:
            self._recall(event)
        journal.rev = self.steering.rev

    def _recall(self, event: Event) -> None:
        """Take up notes, and whether the run was paused when it ended."""
        command = command_of(event)
        if command.kind == "note":
            self.steering = self.steering.apply(command)
        elif command.kind == "control" and command.op != "stop":
            self._paused, self._until = command.op == "pause", event.data.get("until", math.inf)

    def join(self, crew: Crew) -> None:
        """Go on in another round, with another crew."""
        self.crew, self.stopped, self._resting = crew, False, None

    # ---------------------------------------------------------------- the helm

    def due(self, engine: Engine) -> bool:
        """Return whether the log has a command at this turn, or this step of it, that is to be carried out again."""
        if not self._script:
            return False
        at, step = self._script[0].data["at"], self._script[0].data.get("step")
        if step is None or at < engine.turn:
            return bool(at <= engine.turn)
        return bool(at == engine.turn and self._step is not None and step <= self._step)

    def limit(self, engine: Engine) -> int:
        """Return the number of trials to pause at."""
        return engine.budget if self.replays(engine) else int(min(engine.budget, self._until))

    def facts(self) -> dict[str, Any]:
        """Return how many commands that change the draws a snapshot has in it."""
        return {"applied": self._applied}

    def replays(self, engine: Engine) -> bool:
        """Return whether the engine still draws what the log knows."""
        return bool(self._script) or engine.asked <= engine.journal.last

    def attend(self, engine: Engine) -> bool:
        """Carry out what is due, wait while the run is paused, and return whether to go on."""
        while True:
            while self.due(engine):
                self._repeat(self._script.popleft(), engine)
            self._look(engine)
            self._take_up_waiting(engine)
            under_way = self.crew.tend(engine)
            if engine.stop() or self.stopped:
                return False
            done = engine.trials >= engine.budget
            if not self._rests(engine, engine.trials >= self._until) and not (done and under_way):
                return True
            self._idle(engine)

    def hold(self, engine: Engine, step: int) -> bool:
        """Do what is due within a long turn, after so many steps of its work; return whether to go on.

        A command that changes the draws is logged with the step as well, and a resumed run carries it out again once
        the work has come as far.
        """
        self._step = step
        try:
            while True:
                while self.due(engine):
                    self._repeat(self._script.popleft(), engine)
                self._look(engine)
                self._take_up_waiting(engine)
                if engine.stop() or self.stopped:
                    return False
                if not self._rests(engine, False, "training"):
                    return True
                self._idle(engine)
        finally:
            self._step = None

    def _take_up_waiting(self, engine: Engine) -> None:
        if not self._waiting or self.replays(engine):
            return
        engine.recall()
        waiting, self._waiting = self._waiting, deque()
        for posted in waiting:
            # Within a turn there is no queue yet to put anything in.
            if self._step is not None and posted.command.op == "evaluate":
                self._waiting.append(posted)
            else:
                self._carry_out(posted, engine)

    def _rests(self, engine: Engine, reached: bool, busy: str = "searching") -> bool:
        """Return whether the run is paused now, and log when that changes."""
        paused = (self._paused or reached) and not self.replays(engine) and engine.trials < engine.budget
        resting = None
        if paused:
            # What workers have begun still counts.
            resting = "pausing" if engine.flying and engine.executor.busy() else "paused"
        if resting != self._resting:
            engine.journal.append([("run.state", {"state": resting or busy})])
        self._resting = resting
        return paused

    @staticmethod
    def _idle(engine: Engine) -> None:
        if engine.flying and engine.executor.busy():
            engine.collect()
        else:
            time.sleep(_POLL)

    def _look(self, engine: Engine) -> None:
        """Take commands from the line; those that start and stop the run are carried out at once."""
        for posted in self.line.read(self._read_to):
            self._read_to = posted.number
            self._receive(posted, engine)

    def _receive(self, posted: Posted, engine: Engine) -> None:
        command = posted.command
        if command.id in self._done:
            return
        if command.id not in self._accepted:
            self._accepted.add(command.id)
            self._write(engine, "command.accepted", posted)
        if command.kind == "control" and command.op != "step":
            self._carry_out(posted, engine)
        else:
            self._waiting.append(posted)

    # ---------------------------------------------------------------- carrying out

    def _carry_out(self, posted: Posted, engine: Engine) -> None:
        command = posted.command
        self._done.add(command.id)
        try:
            if command.kind in ("revision", "history"):
                self._steer(self.steering.apply(command), engine, posted)
            elif command.op == "evaluate":
                genotypes = self._parsed(command, engine)
                self._write(engine, APPLIED, posted, {"candidates": insert(engine, genotypes)})
                self._applied += 1
            elif command.kind == "control":
                self._write(engine, APPLIED, posted, self._control(command, engine))
            elif command.kind == "note":
                self.steering = self.steering.apply(command)
                self._write(engine, APPLIED, posted)
            else:
                self._write(engine, APPLIED, posted, self.crew.act(command, self.steering, engine))
        except StorageError:
            raise
        except OgiveError as error:
            self._write(engine, "command.rejected", posted, {"reason": " ".join(str(error).split())})
        except MemoryError:
            self._paused = True
            self._write(engine, "command.rejected", posted, {"reason": "out of memory; the run is paused"})

    def _control(self, command: Command, engine: Engine) -> dict[str, Any]:
        if command.op == "stop":
            self.stopped = True
            return {}
        if command.op == "pause":
            self._paused = True
            # A run that is stopped and begun again is where it was.
            engine.snapshot()
            return {}
        self._paused, self._until = False, math.inf
        if command.op == "resume":
            return {}
        self._until = engine.trials + command.args.get("n", 1)
        return {"until": self._until}

    @staticmethod
    def _parsed(command: Command, engine: Engine) -> NDArray[np.integer[Any]]:
        space = engine.problem.space
        return np.asarray(space.check(space.parse(command.args["archs"])))

    def _repeat(self, event: Event, engine: Engine) -> None:
        """Carry a command out again that the log has at this turn."""
        command = command_of(event)
        self._applied += 1
        if command.op == "evaluate":
            insert(engine, self._parsed(command, engine))
            engine.catch_up()
        else:
            self._steer(self.steering.apply(_unasked(command)), engine, None)

    def _steer(self, state: Steering, engine: Engine, posted: Posted | None) -> None:
        """Lead the engine from the present revision to another; without `posted`, as the log says it was done."""
        before, after = self.steering.settings, state.settings
        problem = self.crew.problem_of(state)
        anew = problem is not engine.problem and is_new_measurement(engine.problem, problem)
        known, strategy = engine.told, engine.strategy
        if problem is not engine.problem or before.strategy != after.strategy:
            known = [*engine.told, *settled(engine)] if anew else engine.told
            strategy = self.crew.strategy_of(state)
            tell_again(strategy, known, problem)
        executor = self.crew.executor_of(state) if anew else None
        # Nothing has changed until here; from here on nothing can fail but the log.
        if posted is not None:
            dropped = withdraw(engine, _unwanted(state, engine.problem, problem, anew=anew), begun=anew)
            self._write(engine, APPLIED, posted, {"rev": state.rev, "dropped": dropped}, self._also(state))
            self._applied += 1
        old, self.steering = self.steering, state
        engine.strategy, engine.journal.rev = strategy, state.rev
        engine.executor = executor or engine.executor
        if problem is not engine.problem:
            adopt(engine, problem, known, anew=anew)
        equip(strategy, state, self.crew)
        for hook in engine.on_steered:
            hook(engine, old, state)
        age(strategy, old.whole, state.whole)
        if posted is not None and before.trials != after.trials:
            engine.budget = after.trials or engine.asked_for

    def _also(self, state: Steering) -> list[Entry]:
        """Return the events that go with a change of settings: the new drawing, the new budget."""
        before, after = self.steering.settings, state.settings
        entries: list[Entry] = []
        if before.template != after.template:
            entries.append(("template.rev", {"rev": state.rev, "template": after.template}))
        if before.trials != after.trials and after.trials is not None:
            entries.append(("budget", {"trials": after.trials}))
        return entries

    # ---------------------------------------------------------------- the log

    def _write(
        self,
        engine: Engine,
        kind: str,
        posted: Posted,
        more: dict[str, Any] | None = None,
        also: Iterable[Entry] = (),
    ) -> None:
        facts = {"at": engine.turn, "rev": self.steering.rev, "latency": max(0.0, time.time() - posted.ts)}
        if self._step is not None:
            facts["step"] = self._step
        engine.journal.append([(kind, posted.command.to_dict() | facts | (more or {})), *also])


def _unasked(command: Command) -> Command:
    """Return a command of the log without the question whether its sender was up to date; that has been answered."""
    return replace(command, base_rev=None)


def _unwanted(state: Steering, old: Problem, new: Problem, *, anew: bool) -> Callable[[Group], NDArray[np.bool_]]:
    """Return which candidates of a group a revision does without."""

    def judge(group: Group) -> NDArray[np.bool_]:
        rows = group.rows
        if anew:
            return np.ones(len(rows), dtype=np.bool_)
        outside = np.zeros(len(rows), dtype=np.bool_) if group.human else ~state.space.permits(rows.genotypes)
        refused = reassess(rows, old, new).violation > 0 if new is not old and new.screen else False
        return outside | refused

    return judge


def equip(strategy: Strategy, state: Steering, crew: Crew) -> None:
    """Give a strategy the restriction, nudges and sampler settings of a revision, as far as it knows them."""
    strategy.space = state.space
    if hasattr(strategy, "nudges"):
        strategy.nudges = nudge_table(state.whole, state.settings.nudges)
    if any(hasattr(strategy, name) for name in _SAMPLER):
        asked = crew.strategy_of(state)
        for name in _SAMPLER:
            if hasattr(asked, name):
                setattr(strategy, name, state.settings.sampler.get(name, getattr(asked, name)))
