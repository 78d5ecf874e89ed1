"""What an architecture is compared with: the whole space where tables know it, else a random sample of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ogive.methods._lock_oracle import is_complete
from ogive.methods._lock_problem import table_of
from ogive.metrics.base import Context, resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.percentile import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ogive.methods._lock_problem import LockProblem
    from ogive.spaces.base import Genotypes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """One value and its place in the space.

    Attributes
    ----------
    value : float
        In the metric's own unit.
    percentile : float
        0 to 100; higher is better at that task.
    low, high : float
        95 % interval of the percentile; both equal it where the whole space is known.
    """

    value: float
    percentile: float
    low: float
    high: float


class Yardstick:
    """Values of architectures and their percentiles.

    Parameters
    ----------
    genotypes : ndarray of int, (n, n_choices)
        What percentiles are of: the whole space or a random sample.
    read : callable
        Returns the values ``(m,)`` of a metric for genotypes ``(m, n_choices)``; NaN where there is none.
    exact : bool
        Whether `genotypes` is the whole space.
    """

    def __init__(self, genotypes: Genotypes, read: Callable[[str, Genotypes], Floats], *, exact: bool) -> None:
        self.genotypes, self.read, self.exact = genotypes, read, exact
        self._known: dict[str, tuple[Floats, Reference]] = {}

    def reference(self, metric: str) -> Reference:
        """Return the distribution of a metric; architectures that could not be measured are left out."""
        return self._of(metric)[1]

    def _of(self, metric: str) -> tuple[Floats, Reference]:
        if metric not in self._known:
            values = self.read(metric, self.genotypes)
            values = values[~np.isnan(values)]
            self._known[metric] = values, Reference(values, resolve(metric).direction)
        return self._known[metric]

    def percentiles(self, metrics: Sequence[str], genotypes: Genotypes) -> Floats:
        """Return percentiles ``(m, k)``; NaN where there is no value."""
        out = np.full((len(genotypes), len(metrics)), np.nan)
        for k, metric in enumerate(metrics):
            values = self.read(metric, genotypes)
            there = ~np.isnan(values)
            out[there, k] = self.reference(metric).percentile(values[there])
        return out

    def standing(self, metric: str, genotype: Genotypes) -> Standing:
        """Return where one architecture ``(n_choices,)`` stands.

        The interval of a sample is Clopper and Pearson's for the share of the space that is worse; ties widen it. What
        a second training would have given is not in it. All is NaN where the architecture could not be measured.
        """
        value = self.read(metric, genotype[None])
        if np.isnan(value[0]):
            return Standing(np.nan, np.nan, np.nan, np.nan)
        values, reference = self._of(metric)
        at = float(reference.percentile(value)[0])
        if self.exact:
            return Standing(float(value[0]), at, at, at)
        from scipy.stats import binomtest

        sign = 1.0 if reference.direction == "max" else -1.0
        worse, upto = int((sign * values < sign * value).sum()), int((sign * values <= sign * value).sum())
        low = binomtest(worse, len(values)).proportion_ci(0.95).low
        high = binomtest(upto, len(values)).proportion_ci(0.95).high
        return Standing(float(value[0]), at, 100.0 * float(low), 100.0 * float(high))


def look_up(problem: LockProblem) -> Callable[[str, Genotypes], Floats]:
    """Return a reader that evaluates table metrics, where each reading costs next to nothing."""

    def read(metric: str, genotypes: Genotypes) -> Floats:
        return evaluate([metric], problem.space, genotypes, Context(seed=problem.seed)).values[metric]

    return read


def whole_space(problem: LockProblem) -> Yardstick | None:
    """Return the yardstick of complete tables, None where a metric is no column or a column has gaps."""
    source = table_of(problem.source)
    if source is None or not is_complete(problem):
        return None
    return Yardstick(source.genotypes, look_up(problem), exact=True)
