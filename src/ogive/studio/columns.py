"""The candidates of a run as columns that grow, so that a page can ask for what is new since it last asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ogive.studio.graph import parts, shown_parts
from ogive.study.journal import OUTCOMES
from ogive.study.problem import COUNTED, KNOWN, MEASURED, Rows, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ogive.spaces.base import Space
    from ogive.study.events import Event
    from ogive.study.problem import Problem

_LISTS = ("ids", "arch", "parts", "origin", "parent", "probability", "rev", "status", "seconds", "ts", "feasible")
_ROWS = ("candidate", "genotype", "status", "violation", "seconds")
_SHOWN = MEASURED | (np.arange(len(Status)) == Status.PENDING)
_COPIED = KNOWN & ~MEASURED
_UNKNOWN = (None, None, None)
_WORDS = [status.name.lower() for status in Status]


class News(NamedTuple):
    """What events of one revision say of candidates: a row each, with the number and time of its event."""

    rev: int
    rows: Rows
    seq: NDArray[np.int64]
    ts: NDArray[np.float64]

    @classmethod
    def of(cls, events: Sequence[Event], problem: Problem) -> News:
        """Read proposals and outcomes of one revision."""
        whole: dict[str, Any] = {name: [] for name in _ROWS} | {"metrics": {m: [] for m in problem.metrics}}
        whole["reason"] = {}
        for event in events:
            data = event.data if event.kind in OUTCOMES else _pending(event.data, problem)
            for name in _ROWS:
                whole[name] += data[name]
            for metric in problem.metrics:
                whole["metrics"][metric] += data["metrics"][metric]
            whole["reason"].update(data.get("reason", {}))
        rows = Rows.from_data(whole, problem.metrics, problem.space.dtype)
        sizes = [len(e.data["candidate"]) if e.kind in OUTCOMES else 1 for e in events]
        seq, ts = np.array([e.seq for e in events]), np.array([e.ts for e in events])
        return cls(events[0].rev, rows, np.repeat(seq, sizes), np.repeat(ts, sizes))


def _pending(data: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
    """Return a proposal in the form of an outcome."""
    row = {"candidate": data["candidate"], "genotype": data["genotype"], "status": "pending"}
    row |= {"violation": 0.0, "seconds": 0.0}
    return {k: [v] for k, v in row.items()} | {"metrics": {m: [None] for m in problem.metrics}}


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
        self._local: dict[int, NDArray[np.int64]] = {}
        self.reasons: dict[int, str] = {}
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

    def add(self, news: News, problem: Problem) -> None:
        """Take in what events say of candidates, the later events last."""
        rows = news.rows
        self.trials += int((COUNTED[rows.status] & (rows.status != Status.PENDING)).sum())
        self.reasons.update(rows.reasons)
        shown = _SHOWN[rows.status]
        keys = problem.space.keys(rows.genotypes)
        # A candidate is recognised by its bytes: a loop over those that are free, none of which was measured.
        for i in np.flatnonzero(_COPIED[rows.status]).tolist():
            shown[i] = keys[i] not in self._known
        self._known.update(key for key, there in zip(keys, shown.tolist(), strict=True) if there)
        if (withdrawn := rows.status == Status.DROPPED).any():
            # What was proposed and then withdrawn has a row already.
            shown |= withdrawn & np.isin(rows.candidate, [*self._row, *rows.candidate[shown].tolist()])
        if shown.any():
            self._put(News(news.rev, rows.take(shown), news.seq[shown], news.ts[shown]), problem)

    def _put(self, news: News, problem: Problem) -> None:
        rows, local = news.rows, self._numbered(news.rev, problem.space)
        used = [local[np.flatnonzero(row)].tolist() for row in parts(problem.space, rows.genotypes)]
        drawn = [self._origin.get(c, _UNKNOWN) for c in rows.candidate.tolist()]
        columns = {
            "ids": rows.candidate.tolist(),
            "arch": problem.space.format_many(rows.genotypes),
            "parts": used,
            "origin": [origin for origin, _, _ in drawn],
            "parent": [parent for _, parent, _ in drawn],
            "probability": [probability for _, _, probability in drawn],
            "rev": [news.rev] * len(rows),
            "status": [_WORDS[s] for s in rows.status.tolist()],
            "seconds": rows.seconds.tolist(),
            "ts": news.ts.tolist(),
            "feasible": (KNOWN[rows.status] & (rows.violation == 0)).tolist(),
        }
        metrics = dict(zip(problem.metrics, _nullable(rows), strict=True))
        for name in metrics:
            self._metrics.setdefault(name, [None] * len(self))
        table = [(self._lists[name], column) for name, column in columns.items()]
        table += [(known, metrics.get(name) or [None] * len(rows)) for name, known in self._metrics.items()]
        table.append((self._seq, news.seq.tolist()))
        # A row that is there is overwritten, another one appended.
        for i, candidate in enumerate(columns["ids"]):
            n = len(self._row)
            at = self._row.setdefault(candidate, n)
            for whole, column in table:
                if at == n:
                    whole.append(column[i])
                else:
                    whole[at] = column[i]

    def _numbered(self, rev: int, space: Space) -> NDArray[np.int64]:
        """Return the number of each part of a revision's space among all parts."""
        if rev not in self._local:
            numbers = [self._parts.setdefault(name, len(self._parts)) for name in shown_parts(space)[0]]
            self._local[rev] = np.array(numbers, dtype=np.int64)
        return self._local[rev]

    def note_origin(self, candidate: int, origin: str | None, parent: Any = None, probability: Any = None) -> None:
        """Remember how a candidate came to be drawn, said before what became of it."""
        self._origin[candidate] = (origin, parent, probability)

    def touch(self, candidate: str, seq: int) -> None:
        """Count the row of a candidate, given as text, as changed by an event; any other text is no row."""
        at = self._row.get(int(candidate)) if candidate.isdecimal() else None
        if at is not None:
            self._seq[at] = seq

    def reassess(self, seq: int, rows: Rows, problem: Problem) -> None:
        """See all candidates with the eyes of another question, from an event on.

        Parameters
        ----------
        seq : int
        rows : Rows
            Every candidate under the new question; those that are none of its space are missing.
        problem : Problem
            The new question.
        """
        self._lists["feasible"] = [False] * len(self)
        self._seq = [seq] * len(self)
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
        row["reason"] = self.reasons.get(candidate)
        return row | {"metrics": {name: column[at] for name, column in self._metrics.items()}}

    def numbers(self, metric: str) -> NDArray[np.float64]:
        """Return a metric of all rows, NaN where it is not known."""
        return np.array(self._metrics.get(metric, [None] * len(self)), dtype=np.float64)

    def improvements(self, objective: str, sign: float) -> list[dict[str, float]]:
        """Return each time ``t`` at which the best value of a metric rose, with the number ``n`` of trials until then.

        Parameters
        ----------
        objective : str
        sign : float
            1 where it is maximised, -1 where it is minimised.
        """
        if not len(self):
            return []
        ts = np.array(self._lists["ts"])
        order = np.argsort(ts, kind="stable")
        trials = np.cumsum(np.isin(self._lists["status"], ("done", "failed"))[order])
        worth = np.where(self.feasible(), sign * np.nan_to_num(self.numbers(objective), nan=-sign * np.inf), -np.inf)
        best = np.maximum.accumulate(worth[order])
        rises = np.flatnonzero(best > np.append(-np.inf, best[:-1])).tolist()
        return [{"t": float(ts[order[i]]), "n": int(trials[i]), "value": float(best[i]) * sign} for i in rises]

    def feasible(self) -> NDArray[np.bool_]:
        """Return which rows are measured and meet all constraints."""
        return np.array(self._lists["feasible"], dtype=np.bool_)


def _nullable(rows: Rows) -> list[list[float | None]]:
    """Return the metrics of some rows as columns, None where not measured."""
    values = rows.values.astype(object)
    values[np.isnan(rows.values)] = None
    return list(values.T.tolist())
