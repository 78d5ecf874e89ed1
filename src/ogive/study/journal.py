"""What the engine writes into the event log, and what it reads back after an interruption."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.study.problem import Problem, Rows, Status
from ogive.study.reassess import reassess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes
    from ogive.study.events import Entry, Event, EventLog

_FLUSH_ROWS = 1000

OUTCOMES = ("eval.done", "eval.failed")
"""Kinds of events that hold `Rows`."""

APPLIED = "command.applied"
"""Kind of the events that say what a command changed, and where in the sequence of draws."""


@dataclass
class _Recorded:
    """Candidates of the log that one problem describes, and where each stands."""

    problem: Problem
    rows: Rows
    position: dict[int, int] = field(default_factory=dict)


class Journal:
    """Candidates, snapshots and commands in an event log.

    Parameters
    ----------
    log : EventLog
        What an earlier run left in it is read at once.
    problem : Problem
    problem_at : callable, optional
        Gives the problem of a revision, for a study that was steered.

    Attributes
    ----------
    last : int
        The highest number of a candidate in the log, -1 for none.
    rev : int
        The revision that events are written under.
    commands : list of Event
        What was applied, rejected or accepted.
    """

    def __init__(self, log: EventLog, problem: Problem, problem_at: Callable[[int], Problem] | None = None) -> None:
        self.log, self.problem = log, problem
        self._problem_at = problem_at or (lambda _: problem)
        self.snapshot: dict[str, Any] | None = None
        self.last = -1
        self.rev = 0
        self.commands: list[Event] = []
        self._recorded: list[_Recorded] = []
        self._proposed: set[int] = set()
        self._waiting: list[Rows] = []
        self._load()

    def _load(self) -> None:
        parts: dict[int, tuple[Problem, list[Rows]]] = {}
        for event in self.log.read(kinds=(*OUTCOMES, *COMMANDS, "checkpoint", "proposal", ANCHOR)):
            if event.kind == "checkpoint":
                self.snapshot = event.data
            elif event.kind == "proposal":
                self._proposed.add(event.data["candidate"])
            elif event.kind in OUTCOMES:
                problem = self._problem_at(event.rev)
                parts.setdefault(id(problem), (problem, []))[1].append(read_rows(event, problem))
            else:
                self.commands.append(event)
        for problem, found in parts.values():
            rows = Rows.join(found)
            self._recorded.append(_Recorded(problem, rows, {c: i for i, c in enumerate(rows.candidate.tolist())}))
        self.last = max([-1, *self._proposed, *(int(r.rows.candidate[-1]) for r in self._recorded)])

    def recorded(self) -> list[tuple[Problem, Rows]]:
        """Return all candidates that came to their end, each with the problem they were measured for."""
        return [(r.problem, r.rows) for r in self._recorded]

    # ---------------------------------------------------------------- writing

    def record(self, rows: Rows, *, now: bool) -> None:
        """Write candidates that have come to their end; those that cost nothing to find again may wait for company."""
        self._waiting.append(rows)
        if now or sum(map(len, self._waiting)) >= _FLUSH_ROWS:
            self.flush()

    def propose(self, candidate: int, genotype: Genotypes, origin: str | None = None) -> None:
        """Write that a candidate's dear metrics are about to be measured, and who or what proposed it if known."""
        if candidate not in self._proposed:
            data = {"candidate": candidate, "genotype": genotype.tolist()}
            self.append([("proposal", data if origin is None else data | {"origin": origin})])

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write a state that a resumed run can start from."""
        self.append([("checkpoint", state)])

    def flush(self) -> None:
        """Write what has been waiting."""
        self.append([])

    def append(self, entries: list[Entry]) -> None:
        """Write what has been waiting and then these events, in one transaction."""
        if self._waiting:
            rows = Rows.join(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
            failed = rows.status == Status.FAILED
            parts = [("eval.done", rows)]
            if failed.any():
                parts = [("eval.failed", rows.take(failed)), ("eval.done", rows.take(~failed))]
            entries = [*((k, part.to_data(self.problem.metrics)) for k, part in parts if len(part)), *entries]
        if entries:
            self.log.extend(entries, self.rev)
            self._waiting.clear()

    # ---------------------------------------------------------------- reading back

    def knows(self, candidates: NDArray[np.int64]) -> bool:
        """Return whether the log has the end of one of these candidates that has not been replayed."""
        return any(c in recorded.position for recorded in self._recorded for c in candidates.tolist())

    def replay(self, rows: Rows) -> NDArray[np.bool_]:
        """Fill in the rows whose end the log knows and return which those are.

        Raises
        ------
        InputError
            If the log knows another architecture under one of the numbers.
        """
        found = np.zeros(len(rows), dtype=np.bool_)
        if not len(rows) or rows.candidate[0] > self.last:
            return found
        for recorded in self._recorded:
            at = np.array([recorded.position.get(c, -1) for c in rows.candidate.tolist()], dtype=np.intp)
            here = at >= 0
            if here.any():
                known = recorded.rows.take(at[here])
                self._same(known, rows.take(here))
                rows.put(here, reassess(known, recorded.problem, self.problem))
                found |= here
        return found

    def _same(self, logged: Rows, drawn: Rows) -> None:
        if logged.genotypes.shape != drawn.genotypes.shape:
            raise InputError(f"candidate {logged.candidate[0]} of the log belongs to another space; {_WHY}")
        differ = (logged.genotypes != drawn.genotypes).any(axis=1)
        if differ.any():
            i = int(np.flatnonzero(differ)[0])
            text = self.problem.space.format
            raise InputError(
                f"candidate {logged.candidate[i]} of the log is {text(logged.genotypes[i])}, but its settings and seed "
                f"give {text(drawn.genotypes[i])}: {_WHY}"
            )


_WHY = "config.yaml was edited, or another version made the run"

ANCHOR = "trust.anchor"
"""Kind of the events that hold one architecture trained alone."""

RETRAIN = "retrain"
"""Kind of the events that hold one training run of the final stage each."""

COMMANDS = ("command.accepted", APPLIED, "command.rejected")
"""Kinds of the events that say what became of a command."""


def read_rows(event: Event, problem: Problem) -> Rows:
    """Return the candidates of an event whose kind is one of `OUTCOMES`."""
    return Rows.from_data(event.data, problem.metrics, problem.space.dtype)
