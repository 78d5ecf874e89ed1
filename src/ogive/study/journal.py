"""What the engine writes into the event log, and what it reads back after an interruption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.study.problem import Problem, Rows, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes
    from ogive.study.events import Entry, Event, EventLog

_FLUSH_ROWS = 1000

OUTCOMES = ("eval.done", "eval.failed")
"""Kinds of events that hold `Rows`."""


class Journal:
    """Candidates and snapshots in an event log.

    Parameters
    ----------
    log : EventLog
        What an earlier run left in it is read at once.
    problem : Problem
    """

    def __init__(self, log: EventLog, problem: Problem) -> None:
        self.log, self.problem = log, problem
        self.snapshot: dict[str, Any] | None = None
        self.recorded: Rows | None = None
        self._position: dict[int, int] = {}
        self._proposed: set[int] = set()
        self._waiting: list[Rows] = []
        self._load()

    def _load(self) -> None:
        parts = []
        for event in self.log.read(kinds=(*OUTCOMES, "checkpoint", "proposal")):
            if event.kind == "checkpoint":
                self.snapshot = event.data
            elif event.kind == "proposal":
                self._proposed.add(event.data["candidate"])
            else:
                parts.append(read_rows(event, self.problem))
        if parts:
            self.recorded = Rows.join(parts)
            self._position = {c: i for i, c in enumerate(self.recorded.candidate.tolist())}

    # ---------------------------------------------------------------- writing

    def record(self, rows: Rows, *, now: bool) -> None:
        """Write candidates that have come to their end; those that cost nothing to find again may wait for company."""
        self._waiting.append(rows)
        if now or sum(map(len, self._waiting)) >= _FLUSH_ROWS:
            self.flush()

    def propose(self, candidate: int, genotype: Genotypes) -> None:
        """Write that a candidate's dear metrics are about to be measured."""
        if candidate not in self._proposed:
            self._append([("proposal", {"candidate": candidate, "genotype": genotype.tolist()})])

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write a state that a resumed run can start from."""
        self._append([("checkpoint", state)])

    def flush(self) -> None:
        """Write what has been waiting."""
        self._append([])

    def _append(self, entries: list[Entry]) -> None:
        if self._waiting:
            rows = Rows.join(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
            failed = rows.status == Status.FAILED
            parts = [("eval.done", rows)]
            if failed.any():
                parts = [("eval.failed", rows.take(failed)), ("eval.done", rows.take(~failed))]
            entries = [*((k, part.to_data(self.problem.metrics)) for k, part in parts if len(part)), *entries]
        if entries:
            self.log.extend(entries)
            self._waiting.clear()

    # ---------------------------------------------------------------- reading back

    def replay(self, rows: Rows) -> NDArray[np.bool_]:
        """Fill in the rows whose end the log knows and return which those are.

        Raises
        ------
        InputError
            If the log knows another architecture under one of the numbers.
        """
        found = np.zeros(len(rows), dtype=np.bool_)
        if self.recorded is None or not self._position:
            return found
        at = [self._position.pop(c, -1) for c in rows.candidate.tolist()]
        found[:] = np.array(at) >= 0
        if found.any():
            known = self.recorded.take(np.array(at)[found])
            self._same(known, rows.take(found))
            rows.put(found, known)
        return found

    def _same(self, logged: Rows, drawn: Rows) -> None:
        differ = (logged.genotypes != drawn.genotypes).any(axis=1)
        if differ.any():
            i = int(np.flatnonzero(differ)[0])
            text = self.problem.space.format
            raise InputError(
                f"candidate {logged.candidate[i]} of the log is {text(logged.genotypes[i])}, but its settings and seed "
                f"give {text(drawn.genotypes[i])}: config.yaml was edited, or another version made the run"
            )


def read_rows(event: Event, problem: Problem) -> Rows:
    """Return the candidates of an event whose kind is one of `OUTCOMES`."""
    return Rows.from_data(event.data, problem.metrics, problem.space.dtype)
