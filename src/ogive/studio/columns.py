"""The candidates of a run as columns that grow, so that a page can ask for what is new since it last asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.studio.graph import part_names, parts
from ogive.study.problem import COUNTED, KNOWN, MEASURED, Status

if TYPE_CHECKING:
    from ogive.spaces.base import Space
    from ogive.study.events import Event
    from ogive.study.problem import Problem, Rows

_LISTS = ("ids", "arch", "parts", "origin", "parent", "probability", "rev", "status", "seconds", "ts", "feasible")
_SHOWN = MEASURED | (np.arange(len(Status)) == Status.PENDING)
_COPIED = KNOWN & ~MEASURED
_UNKNOWN = (None, None, None)
_WORDS = [status.name.lower() for status in Status]


class Columns:
    """What is known of the candidates that were measured or are being measured, one row each.

    An equal architecture that was free has no row, unless its notation is a new one: it may be the better one of two.
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[Any]] = {name: [] for name in _LISTS}
        self._metrics: dict[str, list[float | None]] = {}
        self._seq: list[int] = []
        self._row: dict[int, int] = {}
        self._known: set[bytes] = set()
        self._parts: dict[str, int] = {}
        self._origin: dict[int, tuple[str | None, str | None, float | None]] = {}
        self.trials = 0

    def __len__(self) -> int:
        return len(self._seq)

    @property
    def ids(self) -> list[int]:
        """Number of each row's candidate."""
        return self._lists["ids"]

    @property
    def part_names(self) -> list[str]:
        """Ids of the nodes and optional edges that `parts` counts, over all revisions; they only grow in number."""
        return list(self._parts)

    def add(self, event: Event, rows: Rows, problem: Problem) -> None:
        """Take in candidates that an event speaks of."""
        self.trials += int((COUNTED[rows.status] & (rows.status != Status.PENDING)).sum())
        # A candidate is recognised by its bytes: a loop over those that are free, none of which was measured.
        keys = problem.space.keys(rows.genotypes)
        new = _SHOWN[rows.status]
        for i in np.flatnonzero(_COPIED[rows.status]).tolist():
            new[i] = keys[i] not in self._known
        # What was proposed and then withdrawn has a row already.
        new |= (rows.status == Status.DROPPED) & np.isin(rows.candidate, list(self._row))
        self._known.update(key for key, there in zip(keys, new.tolist(), strict=True) if there)
        if new.any():
            self._put(event, rows.take(new), problem)

    def _put(self, event: Event, rows: Rows, problem: Problem) -> None:
        local = self._used(problem.space)
        used = [local[np.flatnonzero(row)].tolist() for row in parts(problem.space, rows.genotypes)]
        feasible = KNOWN[rows.status] & (rows.violation == 0)
        drawn = [self._origin.get(c, _UNKNOWN) for c in rows.candidate.tolist()]
        columns = {
            "ids": rows.candidate.tolist(),
            "arch": problem.space.format_many(rows.genotypes),
            "parts": used,
            "origin": [origin for origin, _, _ in drawn],
            "parent": [parent for _, parent, _ in drawn],
            "probability": [probability for _, _, probability in drawn],
            "rev": [event.rev] * len(rows),
            "status": [_WORDS[s] for s in rows.status.tolist()],
            "seconds": rows.seconds.tolist(),
            "ts": [event.ts] * len(rows),
            "feasible": feasible.tolist(),
        }
        metrics = dict(zip(problem.metrics, _nullable(rows), strict=True))
        for name in metrics:
            self._metrics.setdefault(name, [None] * len(self))
        # Rows of a table of lists: those that are there are overwritten, the rest appended.
        for i, candidate in enumerate(columns["ids"]):
            at = self._row.setdefault(candidate, len(self))
            fresh = at == len(self)
            _set(self._seq, at, event.seq, fresh)
            for name, column in columns.items():
                _set(self._lists[name], at, column[i], fresh)
            for name, known in self._metrics.items():
                _set(known, at, metrics[name][i] if name in metrics else None, fresh)

    def _used(self, space: Space) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the global number of each part of a space."""
        return np.array([self._parts.setdefault(name, len(self._parts)) for name in part_names(space)])

    def note_origin(self, candidate: int, origin: str | None, parent: Any = None, probability: Any = None) -> None:
        """Remember how a candidate came to be drawn, said before what became of it."""
        self._origin[candidate] = (origin, parent, probability)

    def reassess(self, event: Event, rows: Rows, problem: Problem) -> None:
        """See all candidates with the eyes of another question, from an event on.

        Parameters
        ----------
        event : Event
            What changed the question.
        rows : Rows
            Every candidate under the new question; those that are none of its space are missing.
        problem : Problem
            The new question.
        """
        self._lists["feasible"] = [False] * len(self)
        self._seq = [event.seq] * len(self)
        for name in problem.metrics:
            self._metrics.setdefault(name, [None] * len(self))
        fit = (KNOWN[rows.status] & (rows.violation == 0)).tolist()
        values = dict(zip(problem.metrics, _nullable(rows), strict=True))
        for i, candidate in enumerate(rows.candidate.tolist()):
            at = self._row.get(candidate)
            if at is not None:
                self._lists["feasible"][at] = fit[i]
                for name, column in values.items():
                    self._metrics[name][at] = column[i]

    def used_parts(self) -> set[str]:
        """Return the ids of the parts that some candidate has that was measured."""
        done = [p for p, s in zip(self._lists["parts"], self._lists["status"], strict=True) if s == "done"]
        names = self.part_names
        return {names[i] for i in set().union(*done)}

    def since(self, after: int) -> dict[str, Any]:
        """Return the columns of the rows that changed after an event."""
        if after <= 0:
            lists, metrics = self._lists, self._metrics
        else:
            at = np.flatnonzero(np.array(self._seq) > after).tolist()
            lists = {name: [column[i] for i in at] for name, column in self._lists.items()}
            metrics = {name: [column[i] for i in at] for name, column in self._metrics.items()}
        return {**lists, "part_names": self.part_names, "metrics": metrics}

    def row(self, candidate: int) -> dict[str, Any] | None:
        """Return one row, None if there is none."""
        at = self._row.get(candidate)
        if at is None:
            return None
        row: dict[str, Any] = {name: column[at] for name, column in self._lists.items()}
        row["id"] = row.pop("ids")
        return row | {"metrics": {name: column[at] for name, column in self._metrics.items()}}

    def numbers(self, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return a metric of all rows, NaN where it is not known."""
        return np.array(self._metrics.get(metric, [None] * len(self)), dtype=np.float64)

    def feasible(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which rows are measured and meet all constraints."""
        return np.array(self._lists["feasible"], dtype=np.bool_)


def _nullable(rows: Rows) -> list[list[float | None]]:
    """Return the metrics of some rows as columns, None where not measured."""
    values = rows.values.astype(object)
    values[np.isnan(rows.values)] = None
    return list(values.T.tolist())


def _set(column: list[Any], at: int, value: Any, fresh: bool) -> None:
    if fresh:
        column.append(value)
    else:
        column[at] = value
