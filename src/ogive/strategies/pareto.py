"""Comparing by several objectives: domination, ranks, crowding and hypervolume.

Every objective is maximised. A failed evaluation is a row of -inf, which any finite row dominates.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

_BLOCK = 64


def pareto_mask(values: Floats) -> NDArray[np.bool_]:
    """Return which rows no other row dominates; equal rows do not dominate each other.

    Parameters
    ----------
    values : ndarray of float64, (n, m)
        One row an architecture, one column an objective; higher is better.

    Returns
    -------
    ndarray of bool, (n,)

    Raises
    ------
    InputError
        If a value is NaN or the array has not two axes.
    """
    v = _checked(values)
    if v.shape[1] <= 2:
        return _sweep_mask(v)
    distinct, back = np.unique(v, axis=0, return_inverse=True)
    # Best first in lexicographic order: a row is dominated by earlier rows only.
    alive = np.arange(len(distinct))[::-1]
    done = 0
    while done < len(alive):
        block, rest = distinct[alive[done : done + _BLOCK]], distinct[alive[done:]]
        beats = np.ones((len(block), len(rest)), dtype=np.bool_)
        for mine, theirs in zip(block.T, rest.T, strict=True):
            beats &= mine[:, None] >= theirs
        np.fill_diagonal(beats, False)
        kept = np.logical_not(beats.any(axis=0))
        alive = np.concatenate([alive[:done], alive[done:][kept]])
        done += int(kept[: len(block)].sum())
    mask = np.zeros(len(distinct), dtype=np.bool_)
    mask[alive] = True
    return np.asarray(mask[back.reshape(-1)])


def _sweep_mask(v: Floats) -> NDArray[np.bool_]:
    """One or two objectives: after sorting by the first, a running maximum of the second decides."""
    first, second = v[:, 0], v[:, -1]
    order = np.lexsort((-second, -first))
    x, y = first[order], second[order]
    highest = np.concatenate([[-np.inf], np.maximum.accumulate(y)[:-1]])
    at_start = np.ones(len(v), dtype=np.bool_)
    at_start[1:] = x[1:] != x[:-1]
    # Rows of equal x are judged with the first of them, which has their largest y.
    start = np.maximum.accumulate(np.where(at_start, np.arange(len(v)), 0))
    beaten = (y <= highest[start]) & (start > 0)
    mask = np.empty(len(v), dtype=np.bool_)
    mask[order] = ~beaten & (y == y[start])
    return mask


def non_dominated_ranks(values: Floats, violation: Floats | None = None) -> Ranks:
    """Return the front of every row: 0 for the non-dominated, 1 for those only front 0 dominates, and so on.

    With constraint domination (Deb et al. 2002, section VI): feasible rows are ranked among themselves, every
    infeasible row comes after all of them, ordered by violation alone.

    Parameters
    ----------
    values : ndarray of float64, (n, m)
        Higher is better.
    violation : ndarray of float64, (n,), optional
        Total excess over the constraints; 0 where they are met.

    Returns
    -------
    ndarray of int64, (n,)

    Raises
    ------
    InputError
        If a value is NaN or the array has not two axes.
    """
    v = _checked(values)
    if violation is None:
        return _ranks(v)
    broken = np.asarray(violation, dtype=np.float64)
    feasible = broken <= 0
    ranks = np.empty(len(v), dtype=np.int64)
    ranks[feasible] = _ranks(v[feasible])
    levels = np.unique(broken[~feasible], return_inverse=True)[1]
    ranks[~feasible] = levels + (ranks[feasible].max() + 1 if feasible.any() else 0)
    return ranks


def _ranks(v: Floats) -> Ranks:
    if v.shape[1] == 1:
        return np.asarray(np.unique(-v[:, 0], return_inverse=True)[1], dtype=np.int64)
    return _ranks_2d(v) if v.shape[1] == 2 else _ranks_by_matrix(v)


def _ranks_2d(v: Floats) -> Ranks:
    """Two objectives in O(n log n): best first objective first, each row joins the first front whose top it passes.

    A Python loop, because each row's front depends on the rows before it; the fronts' largest second objectives fall
    strictly from front to front, so the front is found by bisection (Jensen 2003).
    """
    order = np.lexsort((-v[:, 1], -v[:, 0]))
    x, y = v[order, 0].tolist(), v[order, 1].tolist()
    tops: list[float] = []  # minus the largest second objective of every front
    found: list[int] = []
    for i in range(len(x)):
        if i and x[i] == x[i - 1] and y[i] == y[i - 1]:
            found.append(found[-1])
            continue
        # A front whose top is at least y holds a row that dominates this one.
        front = bisect_right(tops, -y[i])
        if front == len(tops):
            tops.append(-y[i])
        else:
            tops[front] = -y[i]
        found.append(front)
    ranks = np.empty(len(v), dtype=np.int64)
    ranks[order] = found
    return ranks


def _ranks_by_matrix(v: Floats) -> Ranks:
    """Any number of objectives: all pairs at once, then front after front is peeled off."""
    at_least = np.ones((len(v), len(v)), dtype=np.bool_)
    for column in v.T:
        at_least &= column[:, None] >= column[None, :]
    dominates = at_least & ~at_least.T
    dominators = dominates.sum(axis=0)
    ranks = np.full(len(v), -1, dtype=np.int64)
    front = 0
    while (ranks < 0).any():
        members = np.flatnonzero((dominators == 0) & (ranks < 0))
        ranks[members] = front
        dominators -= dominates[members].sum(axis=0)
        front += 1
    return ranks


def crowding_distance(values: Floats, ranks: Ranks) -> Floats:
    """Return how far apart each row's neighbours in its own front are, summed over objectives scaled to the front.

    Deb et al. 2002, section III-B. The ends of a front in any objective that varies there, and every member of a
    front of one or two, get infinity; failed rows (-inf) get 0.

    Parameters
    ----------
    values : ndarray of float64, (n, m)
    ranks : ndarray of int, (n,)
        Front of each row, from `non_dominated_ranks`.

    Returns
    -------
    ndarray of float64, (n,)
    """
    v, groups = _checked(values), np.asarray(ranks)
    finite = np.asarray(np.isfinite(v).all(axis=1))
    v = np.asarray(np.where(finite[:, None], v, 0.0))
    # Failed rows form a front of their own, so that they are nobody's neighbours.
    groups = np.where(finite, groups, groups.max(initial=0) + 1)
    distance = np.zeros(len(v))
    for column in v.T:
        order = np.lexsort((-column, groups))
        distance[order] += _gaps(column[order], groups[order])
    sizes = np.bincount(groups, minlength=1)[groups] if len(v) else np.zeros(0)
    distance[sizes <= 2] = np.inf
    distance[~finite] = 0.0
    return distance


def _gaps(x: Floats, groups: Ranks) -> Floats:
    """Distance between the neighbours of each entry of a column sorted within groups, over the group's spread."""
    n = len(x)
    first = np.ones(n, dtype=np.bool_)
    first[1:] = groups[1:] != groups[:-1]
    last = np.roll(first, -1)
    number = np.cumsum(first) - 1
    spread = (x[first] - x[last])[number]
    inner = np.zeros(n)
    inner[1:-1] = x[:-2] - x[2:]
    scaled = inner / np.where(spread > 0, spread, 1.0)
    return np.where(spread > 0, np.where(first | last, np.inf, scaled), 0.0)


def hypervolume(values: Floats, reference: Floats) -> float:
    """Return the volume that the rows dominate above a reference point; larger is better.

    Exact: a sweep for two objectives, a sweep over a sorted staircase for three (Beume et al. 2009), and slices along
    the last objective for more (Knowles 2002; exponential in the number of objectives).

    Parameters
    ----------
    values : ndarray of float64, (n, m)
        Higher is better; rows that do not exceed the reference in every objective add nothing.
    reference : ndarray of float64, (m,)

    Returns
    -------
    float
        In the product of the objectives' units.

    Raises
    ------
    InputError
        If a value is NaN, or the reference has another length or is not finite.
    """
    v = _checked(values)
    origin = np.asarray(reference, dtype=np.float64)
    if origin.shape != (v.shape[1],) or not np.isfinite(origin).all():
        raise InputError(f"the reference point needs {v.shape[1]} finite numbers, one an objective")
    above = v[(v > origin).all(axis=1)] - origin
    return _volume(above) if len(above) else 0.0


def _volume(v: Floats) -> float:
    """Volume of the union of the boxes from the origin to each row; all entries are positive."""
    if v.shape[1] == 1:
        return float(v.max())
    if v.shape[1] == 2:
        order = np.lexsort((-v[:, 1], -v[:, 0]))
        x, y = v[order, 0], np.maximum.accumulate(v[order, 1])
        return float((x * np.diff(y, prepend=0.0)).sum())
    v = v[np.argsort(-v[:, -1], kind="stable")]
    if v.shape[1] == 3:
        return _volume_3d(v)
    v = v[pareto_mask(v)]
    thickness = -np.diff(v[:, -1], append=0.0)
    return float(sum(_volume(v[: i + 1, :-1]) * t for i, t in enumerate(thickness.tolist()) if t > 0))


def _volume_3d(v: Floats) -> float:
    """Three objectives, rows by falling third: a staircase of the first two grows as the sweep comes down.

    A Python loop, because each step changes the staircase the next one meets.
    """
    xs, ys = [0.0, np.inf], [np.inf, 0.0]  # the staircase: x rises, y falls; the ends are guards
    area, volume, height = 0.0, 0.0, float(v[0, 2])
    for x, y, z in v.tolist():
        volume += area * (height - z)
        height = z
        at = bisect_left(xs, x)
        if ys[at] >= y:
            continue
        end = at + 1 if xs[at] == x else at
        begin = at
        while ys[begin - 1] <= y:
            begin -= 1
        # What the new step adds, column by column over the steps it covers and the one right of them.
        left = xs[begin - 1]
        for j in range(begin, end):
            area += (xs[j] - left) * (y - ys[j])
            left = xs[j]
        area += (x - left) * (y - ys[end])
        xs[begin:end], ys[begin:end] = [x], [y]
    return volume + area * height


def _checked(values: Floats) -> Floats:
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 2 or v.shape[1] == 0:
        raise InputError(f"objectives have shape (n, m) with m >= 1, not {v.shape}")
    if np.isnan(v).any():
        raise InputError("an objective is NaN; a failed evaluation is -inf")
    return v
