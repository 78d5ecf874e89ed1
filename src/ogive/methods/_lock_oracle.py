"""What is possible: the best lock, the exact front and the null model, by looking up a whole complete table.

No search may use it; it says how good a search was.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InfeasibleError, InputError
from ogive.methods._lock_problem import table_of
from ogive.metrics.base import resolve
from ogive.metrics.percentile import Reference
from ogive.strategies.pareto import hypervolume, pareto_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.methods._lock_problem import LockProblem
    from ogive.spaces.base import Genotypes

Floats = NDArray[np.float64]


def is_complete(problem: LockProblem) -> bool:
    """Return whether every metric of the problem is a column with a value of every architecture."""
    metrics = (problem.source, *problem.targets, *problem.auxiliary)
    return all((t := table_of(m)) is not None and t.coverage(_quantity(m)) == 1.0 for m in metrics)


def _quantity(metric: str) -> str:
    return metric.partition("@")[0]


def _read(metric: str, genotypes: Genotypes) -> tuple[Floats, Floats]:
    """Return values and percentiles of a table's column, two arrays ``(n,)``."""
    table = table_of(metric)
    assert table is not None
    return table.lookup(_quantity(metric), genotypes), table.lookup(f"percentile:{_quantity(metric)}", genotypes)


class Landscape:
    """Every architecture of a lock problem, with its percentiles.

    Parameters
    ----------
    problem : LockProblem
        Its metrics are columns of complete tables.

    Attributes
    ----------
    genotypes : ndarray of int, (n, n_choices)
    source, targets, searched : ndarray of float64, (n,), (n, k), (n, m)
        Values of the source, of each target and of each metric in ``problem.searched``, in their own units.
    source_percentile, target_percentiles, searched_percentiles : ndarray of float64, (n,), (n, k), (n, m)
        Higher is better at the task, so a good lock has a high source and low targets.
    aggregate : ndarray of float64, (n,)
        The targets' percentiles under ``problem.aggregate``; lower is better locked. With the mean over all other
        tasks it is what the paper calls APT.
    bound : float
        Worst value of the source metric that passes the gate.
    feasible : ndarray of bool, (n,)
        Which architectures pass the gate and lie inside the space's restriction.

    Raises
    ------
    InputError
        If a metric is no column of a table, or the table lacks values.
    LeakError
        If a target must not be read.
    """

    def __init__(self, problem: LockProblem) -> None:
        if not is_complete(problem):
            raise InputError("the best possible lock needs a table with a value of every architecture for each metric")
        first = table_of(problem.source)
        assert first is not None
        self.problem = problem
        self.genotypes: Genotypes = first.genotypes
        self.source, self.source_percentile = (c[:, 0] for c in self._columns([problem.source]))
        self.targets, self.target_percentiles = self._columns(problem.targets)
        self.searched, self.searched_percentiles = self._columns(problem.searched)
        # Rounded, so that sums of the same ranks in another order stay equal.
        self.aggregate = problem.aggregate(self.target_percentiles).round(9)
        direction = resolve(problem.source).direction
        self.bound = problem.gate.bound(Reference(self.source, direction))
        passes = self.source >= self.bound if direction == "max" else self.source <= self.bound
        self._permitted = problem.space.permits(self.genotypes)
        self.feasible: NDArray[np.bool_] = passes & self._permitted
        if not self.feasible.any():
            raise InfeasibleError(
                f"no architecture passes gate {problem.gate}; the best value of '{problem.source}' is "
                f"{self.source[self.winner]:.10g}"
            )

    def _columns(self, metrics: Sequence[str]) -> tuple[Floats, Floats]:
        """Return values and percentiles of metrics, two arrays ``(n, k)``."""
        values, percentiles = np.moveaxis(np.array([_read(m, self.genotypes) for m in metrics]), 0, -1)
        return values, percentiles

    @cached_property
    def winner(self) -> int:
        """Row of the source-only winner: the best source value in the restriction, and of equal ones the first."""
        return int(np.where(self._permitted, self.source_percentile, -np.inf).argmax())

    @cached_property
    def best(self) -> int:
        """Row of the best lock: the lowest aggregate that passes the gate, and of equal ones the best source."""
        return self._lowest(self.aggregate)

    @cached_property
    def blind(self) -> int:
        """Row that knowing everything of ``problem.searched`` gives; in setting "tk" it is `best`."""
        return self._lowest(self.problem.aggregate(self.searched_percentiles).round(9))

    def _lowest(self, aggregate: Floats) -> int:
        rows = np.flatnonzero(self.feasible)
        return int(rows[np.lexsort((-self.source_percentile[rows], aggregate[rows]))[0]])

    @cached_property
    def feasible_mean(self) -> float:
        """Mean aggregate of what passes the gate: the null model, a random architecture that is good at the source."""
        return float(self.aggregate[self.feasible].mean())

    @cached_property
    def front(self) -> NDArray[np.intp]:
        """Rows of the exact Pareto front, best source first: source percentile up, aggregate down.

        The gate does not matter here; equal architectures are there once.
        """
        rows = np.flatnonzero(pareto_mask(self._oriented))
        _, first = np.unique(self._oriented[rows], axis=0, return_index=True)
        return np.asarray(rows[first[::-1]])

    def hypervolume(self, source: float = 90.0, aggregate: float = 100.0) -> float:
        """Return the area that the front dominates above a source percentile and below an aggregate, in points²."""
        return hypervolume(self._oriented[self.front], np.array([source, -aggregate]))

    @property
    def _oriented(self) -> Floats:
        return np.stack([self.source_percentile, -self.aggregate], axis=1)
