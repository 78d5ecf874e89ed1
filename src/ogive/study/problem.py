"""What one candidate is worth: metrics split into those cheap enough to compute while drawing, and the dear ones."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError
from ogive.metrics.base import Constraint, Context, Cost, Metric, resolve
from ogive.metrics.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.spaces.base import Genotypes, Space

Floats = NDArray[np.float64]


class Status(IntEnum):
    """What became of a candidate."""

    UNSEEN = 0
    """Drawn, not looked at yet."""
    PENDING = 1
    """Its dear metrics are being measured."""
    DONE = 2
    """Measured: a trial."""
    FAILED = 3
    """Could not be measured: a trial without a value."""
    REFUSED = 4
    """Broke a constraint on a cheap metric: free."""
    REPEAT = 5
    """Known from an earlier trial: free."""
    REJECTED = 6
    """Broke a constraint on a metric that had to be measured, before the dearest one: free."""
    AWAITED = 7
    """A repeat of a candidate that was being measured when this one was drawn: free."""
    DROPPED = 8
    """Withdrawn before it was measured, because the search was steered elsewhere: free, and never told."""


def _among(*statuses: Status) -> NDArray[np.bool_]:
    return np.isin(np.arange(len(Status)), statuses)


COUNTED = _among(Status.PENDING, Status.DONE, Status.FAILED)
"""By status: whether it takes part of the budget of trials."""

KNOWN = _among(Status.DONE, Status.REPEAT, Status.AWAITED)
"""By status: whether every metric that was asked for has been looked at."""

MEASURED = _among(Status.DONE, Status.FAILED, Status.REJECTED)
"""By status: whether it was this candidate that was measured, not an equal one."""

FREE = _among(Status.REFUSED, Status.REPEAT)
"""By status: whether it was clear at once that there is nothing to measure."""


@dataclass
class Rows:
    """Candidates with consecutive or scattered numbers, and what became of each.

    Attributes
    ----------
    candidate : ndarray of int64, (n,)
        Position in the sequence of draws, from 0.
    genotypes : ndarray of int, (n, n_choices)
    status : ndarray of int8, (n,)
    values : ndarray of float64, (n, n_metrics)
        NaN where not measured; columns in the order of `Problem.metrics`.
    violation : ndarray of float64, (n,)
    seconds : ndarray of float64, (n,)
        Wall time of the dear metrics; 0 where there was none.
    reasons : dict of int to str
        Candidate to why it failed.
    """

    candidate: NDArray[np.int64]
    genotypes: Genotypes
    status: NDArray[np.int8]
    values: Floats
    violation: Floats
    seconds: Floats
    reasons: dict[int, str] = field(default_factory=dict)

    @classmethod
    def blank(cls, first: int, genotypes: Genotypes, n_metrics: int) -> Self:
        """Return rows for freshly drawn candidates numbered from `first`."""
        n = len(genotypes)
        return cls(
            np.arange(first, first + n, dtype=np.int64),
            genotypes,
            np.zeros(n, dtype=np.int8),
            np.full((n, n_metrics), np.nan),
            np.zeros(n),
            np.zeros(n),
        )

    def __len__(self) -> int:
        return len(self.candidate)

    def take(self, at: Any) -> Rows:
        """Return a copy of some rows, by slice, mask or positions."""
        candidate = self.candidate[at]
        own = {c: self.reasons[c] for c in candidate.tolist() if c in self.reasons} if self.reasons else {}
        return Rows(
            candidate, self.genotypes[at], self.status[at], self.values[at], self.violation[at], self.seconds[at], own
        )

    def put(self, at: Any, part: Rows) -> None:
        """Overwrite what became of some rows with what `part` says."""
        self.status[at], self.values[at], self.violation[at] = part.status, part.values, part.violation
        self.seconds[at] = part.seconds
        self.reasons.update(part.reasons)

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Rows:
        """Return all parts as one, ordered by candidate."""
        reasons = {c: r for p in parts for c, r in p.reasons.items()}
        whole = Rows(
            np.concatenate([p.candidate for p in parts]),
            np.concatenate([p.genotypes for p in parts]),
            np.concatenate([p.status for p in parts]),
            np.concatenate([p.values for p in parts]),
            np.concatenate([p.violation for p in parts]),
            np.concatenate([p.seconds for p in parts]),
            reasons,
        )
        return whole.take(np.argsort(whole.candidate, kind="stable"))

    def to_data(self, metrics: Sequence[str]) -> dict[str, Any]:
        """Return the rows as columns of JSON values; what was not measured and an infinite violation are null."""
        data: dict[str, Any] = {
            "candidate": self.candidate.tolist(),
            "genotype": self.genotypes.tolist(),
            "status": [_WORD[s] for s in self.status.tolist()],
            "violation": _nullable(np.where(np.isinf(self.violation), np.nan, self.violation)),
            "seconds": self.seconds.tolist(),
            "metrics": {m: _nullable(column) for m, column in zip(metrics, self.values.T, strict=True)},
        }
        if self.reasons:
            data["reason"] = {str(c): r for c, r in self.reasons.items()}
        return data

    @classmethod
    def from_data(cls, data: dict[str, Any], metrics: Sequence[str], dtype: Any) -> Self:
        """Read what `to_data` gave."""
        columns = [np.array(data["metrics"][m], dtype=np.float64) for m in metrics]
        violation = np.array(data["violation"], dtype=np.float64)
        return cls(
            np.array(data["candidate"], dtype=np.int64),
            np.array(data["genotype"], dtype=dtype),
            np.array([_CODE[w] for w in data["status"]], dtype=np.int8),
            np.stack(columns, axis=1),
            np.where(np.isnan(violation), np.inf, violation),
            np.array(data["seconds"], dtype=np.float64),
            {int(c): r for c, r in data.get("reason", {}).items()},
        )


_WORD = {int(s): s.name.lower() for s in Status}
_CODE = {word: code for code, word in _WORD.items()}


def _nullable(column: Floats) -> list[Any]:
    missing = np.isnan(column)
    if not missing.any():
        return list(column.tolist())
    values = column.astype(object)
    values[missing] = None
    return list(values.tolist())


@dataclass(frozen=True)
class Measured:
    """The dear metrics of one candidate: their values in the order of `Problem.dear`, or why there are none."""

    values: tuple[float, ...]
    violation: float = 0.0
    rejected: bool = False
    reason: str | None = None
    seconds: float = 0.0


class Problem:
    """A study's metrics, objectives and constraints over a space.

    Parameters
    ----------
    space : Space
    objectives : sequence of str
        Metrics to optimise.
    maximize : sequence of str
        Those of them that are maximised.
    where : sequence of str
        Constraints such as ``relus<=50000``.
    context : Context
        Task, seed and settings of the measurements.
    screen : bool
        Whether a candidate that breaks a constraint is spared what has not been measured yet.

    Raises
    ------
    UnknownNameError
        If a metric does not exist.
    InputError
        If a constraint cannot be read.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[str],
        maximize: Sequence[str],
        where: Sequence[str],
        context: Context,
        *,
        screen: bool = True,
    ) -> None:
        self.space = space
        self.context = context
        self.screen = screen
        self.constraints = tuple(Constraint.parse(text) for text in where)
        named = [resolve(name) for name in objectives]
        bounded = [resolve(c.metric) for c in self.constraints]
        shown = [resolve(name) for m in (*named, *bounded) for name in m.baseline]
        every: dict[str, Metric] = {m.name: m for m in (*named, *bounded, *shown)}
        self.info = every
        self.metrics = tuple(every)
        self.objectives = tuple(m.name for m in named)
        self.cheap = tuple(n for n, m in every.items() if _cheap(m))
        self.dear = tuple(n for n, m in every.items() if not _cheap(m))
        self._where_cheap = [c for c in self.constraints if c.metric in self.cheap]
        self._where_dear = [c for c in self.constraints if c.metric in self.dear]
        self._columns = {n: i for i, n in enumerate(self.metrics)}
        self.dear_columns = [self._columns[n] for n in self.dear]
        self._objective_columns = [self._columns[n] for n in self.objectives]
        upwards = {resolve(name).name for name in maximize}
        self.signs = np.array([1.0 if n in upwards else -1.0 for n in self.objectives])
        # Isomorphic architectures share what is dear only if every dear metric says that they do.
        self._by_graph = all(every[n].identity == "graph" for n in self.dear or self.metrics)

    def column(self, metric: str) -> int:
        """Return the column of a metric in `Rows.values`."""
        return self._columns[metric]

    def keys(self, genotypes: Genotypes) -> list[bytes]:
        """Return one key for each genotype; candidates with equal keys need to be measured once."""
        return self.space.keys(self.space.canonical(genotypes) if self._by_graph else genotypes)

    def look(self, rows: Rows) -> None:
        """Fill in the cheap metrics; then a row is refused, failed, done, or pending where dear metrics are left."""
        rows.status[:] = Status.PENDING if self.dear else Status.DONE
        if not self.cheap:
            return
        scores = evaluate(self.cheap, self.space, rows.genotypes, self.context, self._where_cheap, screen=self.screen)
        for name in self.cheap:
            rows.values[:, self._columns[name]] = scores.values[name]
        rows.violation[:] = scores.violation
        self._fail_unless_finite(rows, [n for n in self.objectives if n in self.cheap])
        for row, reason in scores.failures.items():
            rows.reasons[int(rows.candidate[row])] = reason
            rows.status[row] = Status.FAILED
        if self._where_cheap and self.screen:
            rows.status[scores.violation > 0] = Status.REFUSED

    def _fail_unless_finite(self, rows: Rows, names: Sequence[str]) -> None:
        for name in names:
            for row in np.flatnonzero(np.isinf(rows.values[:, self._columns[name]])).tolist():
                rows.reasons[int(rows.candidate[row])] = f"{name} is infinite"
                rows.status[row] = Status.FAILED
        if rows.reasons:
            rows.values[np.isinf(rows.values)] = np.nan

    def measure(self, genotype: Genotypes) -> Measured:
        """Compute the dear metrics of one genotype ``(n_choices,)``; a measurement that fails gives a reason.

        Raises
        ------
        InputError
            If what fails is no architecture but the study itself.
        """
        start = time.perf_counter()
        try:
            scores = evaluate(self.dear, self.space, genotype[None], self.context, self._where_dear, screen=self.screen)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - any fault of a metric fails its trial, not the run
            fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return Measured((np.nan,) * len(self.dear), reason=fault, seconds=time.perf_counter() - start)
        values = tuple(float(scores.values[n][0]) for n in self.dear)
        rejected = bool(scores.rejected[0])
        reason = scores.failures.get(0)
        if reason is None and not rejected:
            bad = [n for n, v in zip(self.dear, values, strict=True) if not np.isfinite(v)]
            reason = f"{bad[0]} is {values[self.dear.index(bad[0])]}, not a finite number" if bad else None
        values = tuple(v if np.isfinite(v) else np.nan for v in values)
        return Measured(values, float(scores.violation[0]), rejected, reason, time.perf_counter() - start)

    def dear_violation(self, rows: Rows, i: int) -> float:
        """Return the share of the constraints on dear metrics in the violation of a row that was measured."""
        if self.screen:
            # It would not have been measured, had it broken a cheap one.
            return float(rows.violation[i])
        at = [(c, rows.values[i, self._columns[c.metric]]) for c in self._where_dear]
        return sum(float(c.violation(v)) for c, v in at if not np.isnan(v))

    def worth(self, rows: Rows) -> Floats:
        """Return the objectives as strategies see them: higher is better, -inf without a value, ``(n, k)``."""
        values = rows.values[:, self._objective_columns] * self.signs
        known = KNOWN[rows.status]
        return np.where(known[:, None] & ~np.isnan(values), values, -np.inf)

    def refusal(self, rows: Rows) -> str:
        """Say of each constraint how close the candidates came to it, for a search that found none that meets all."""
        parts = []
        for c in self.constraints:
            column = rows.values[:, self._columns[c.metric]]
            column = column[~np.isnan(column)]
            if not column.size:
                parts.append(f"{c} (not reached)")
                continue
            best = column[np.argmin(c.violation(column))]
            parts.append(f"{c} (best value seen {best:.10g})")
        return ", ".join(parts)


def _cheap(metric: Metric) -> bool:
    return metric.cost <= Cost.COUNT
