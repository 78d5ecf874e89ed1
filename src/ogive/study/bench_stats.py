"""What a difference between strategies is worth: the noise of a table, and ranks with a critical difference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.metrics.tables import Table

Floats = NDArray[np.float64]

ALPHA = 0.05
_RESAMPLES = 2000


def noise_floor(table: Table, column: str) -> float | None:
    """Return the spread of a column between architectures that are the same function.

    Isomorphic architectures (equal `Space.canonical`) compute the same function, so where their values differ, training
    noise is all that can differ. The floor is their pooled standard deviation: squared deviations from the group's
    mean, summed over all groups of two or more, divided by the sum of (group size - 1), square root. A benchmark table
    is one draw of that noise, which more seeds of a search do not average away.

    Parameters
    ----------
    table : Table
    column : str

    Returns
    -------
    float or None
        In the column's unit; None if no two architectures of the table are isomorphic.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    """
    values = table.values(column)
    known = np.isfinite(values)
    if table.by_graph or not known.any():
        return None
    same = np.ascontiguousarray(table.space.canonical(table.genotypes[known]))
    keys = same.view(np.dtype((np.void, same.dtype.itemsize * same.shape[1]))).reshape(-1)
    _, first, groups = np.unique(keys, return_index=True, return_inverse=True)
    sizes, freedom = np.bincount(groups), len(groups) - len(first)
    if not freedom:
        return None
    # Measured from a member of the group, so that equal values deviate by exactly 0.
    above = values[known] - values[known][first][groups]
    deviation = above - (np.bincount(groups, above) / sizes)[groups]
    return float(np.sqrt((deviation**2).sum() / freedom))


def resampled_means(values: Floats, seed: int) -> Floats:
    """Return the means of 2,000 bootstrap samples over the last axis, ``(..., 2000)``.

    One `seed` draws the same runs whatever the values, so differences of two results are paired by run.
    """
    rng, n = np.random.default_rng(seed), values.shape[-1]
    # In blocks, so that thousands of runs fit into memory.
    means = [values[..., rng.integers(0, n, size=(100, n))].mean(axis=-1) for _ in range(_RESAMPLES // 100)]
    return np.concatenate(means, axis=-1)


def interval(means: Floats) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled means."""
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Ranking:
    """Strategies ranked in every run and compared as Demsar (JMLR 7, 2006) does.

    A block is one run (seed) on one table and objective; in it, the strategy with the least regret has rank 1, equal
    ones share the mean of their ranks. Runs on one table are no independent tables: what is significant here holds for
    these tables.

    Attributes
    ----------
    budget : int
    blocks : int
    average : dict of str to float
        Average rank of each strategy, lower is better.
    statistic, p : float
        Friedman's chi-square, corrected for ties, and the probability of one as large if all strategies were equal.
    cd : float
        Nemenyi's critical difference at 5 %: average ranks that differ by less are not distinguishable.
    groups : tuple of tuple of str
        Largest sets of strategies within less than `cd`, best first; those in no group differ from all others.
    holm : tuple of (str, str, float)
        Each pair's probability (two-sided z test of the average ranks) after Holm's correction for the number of pairs.
    """

    budget: int
    blocks: int
    average: dict[str, float]
    statistic: float
    p: float
    cd: float
    groups: tuple[tuple[str, ...], ...]
    holm: tuple[tuple[str, str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the ranking as JSON values."""
        return asdict(self)


def rank_strategies(regret: Floats, strategies: Sequence[str], budget: int) -> Ranking:
    """Compare two or more strategies over blocks.

    Parameters
    ----------
    regret : ndarray of float64, (blocks, strategies)
        Lower is better.
    strategies : sequence of str
    budget : int
        Only noted.
    """
    from scipy.stats import chi2, norm, rankdata

    n, k = regret.shape
    ranks = rankdata(regret, axis=1)
    average = ranks.mean(axis=0)
    spread = (ranks**2).sum() - n * k * (k + 1) ** 2 / 4
    statistic = (k - 1) * n**2 * ((average - (k + 1) / 2) ** 2).sum() / spread if spread > 0 else 0.0
    error = np.sqrt(k * (k + 1) / (6 * n))
    pairs = list(combinations(range(k), 2))
    single = np.array([2 * norm.sf(abs(average[a] - average[b]) / error) for a, b in pairs])
    cd = critical_difference(k, n)
    return Ranking(
        budget=budget,
        blocks=n,
        average=dict(zip(strategies, average.tolist(), strict=True)),
        statistic=float(statistic),
        p=float(chi2.sf(statistic, k - 1)),
        cd=cd,
        groups=tuple(tuple(strategies[i] for i in group) for group in _groups(average, cd)),
        holm=tuple((strategies[a], strategies[b], p) for (a, b), p in zip(pairs, _holm(single).tolist(), strict=True)),
    )


def critical_difference(k: int, blocks: int) -> float:
    """Return Nemenyi's critical difference of average ranks at 5 % for `k` strategies."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - ALPHA, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * blocks)))


def _groups(average: Floats, cd: float) -> list[list[int]]:
    """Return the largest runs of neighbours in rank that lie within less than `cd`."""
    order = np.argsort(average, kind="stable")
    ends = np.searchsorted(average[order], average[order] + cd)
    out, covered = [], 0
    for start, end in enumerate(ends.tolist()):
        if end - start > 1 and end > covered:
            out.append(order[start:end].tolist())
            covered = end
    return out


def _holm(p: Floats) -> Floats:
    order = np.argsort(p)
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(scaled, 1.0)
    return out
