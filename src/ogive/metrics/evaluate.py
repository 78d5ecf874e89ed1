"""Measure a batch: cheap metrics first, constraints between, each architecture once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, OgiveError
from ogive.metrics.base import Context, Cost, Metric, resolve
from ogive.metrics.guard import check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ogive.metrics.base import Constraint
    from ogive.spaces.base import Genotypes, Space

Floats = NDArray[np.float64]


@dataclass
class Scores:
    """What `evaluate` found for a batch of n architectures.

    Attributes
    ----------
    values : dict of str to ndarray of float64, (n,)
        One column a metric; NaN where it was not computed or failed.
    violation : ndarray of float64, (n,)
        Sum over constraints of the relative excess; 0 where all are met.
    rejected : ndarray of bool, (n,)
        True where a constraint was broken before a dearer metric was computed.
    failures : dict of int to str
        Row to the reason its measurement failed.
    """

    values: dict[str, Floats]
    violation: Floats
    rejected: NDArray[np.bool_]
    failures: dict[int, str] = field(default_factory=dict)


Cache = dict[tuple[str, bytes], float]


def evaluate(
    specs: Sequence[str],
    space: Space,
    genotypes: Genotypes,
    context: Context,
    where: Sequence[Constraint] = (),
    cache: Cache | None = None,
    *,
    screen: bool = True,
) -> Scores:
    """Measure a batch: cheap metrics first, and a row that breaks a constraint gets no dearer one.

    Parameters
    ----------
    specs : sequence of str
        Metrics wanted besides those of the constraints.
    space : Space
    genotypes : ndarray of int, (n, n_choices)
    context : Context
    where : sequence of Constraint
    cache : dict, optional
        Values of metrics dearer than a look-up, by metric and key; read and extended. A metric whose identity is
        "graph" is keyed by the canonical form, so an isomorphic architecture is not measured twice.
    screen : bool
        False measures every metric of every row, also of those that break a constraint; none is then rejected.

    Returns
    -------
    Scores
    """
    genotypes = np.asarray(genotypes)
    n = len(genotypes)
    wanted = {s: resolve(s) for s in dict.fromkeys([*specs, *(c.metric for c in where)])}
    for m in wanted.values():
        check(m.name)
    scores = Scores({s: np.full(n, np.nan) for s in wanted}, np.zeros(n), np.zeros(n, dtype=np.bool_))
    keys = {}
    if cache is not None and any(m.cost > Cost.TABLE for m in wanted.values()):
        keys["genotype"] = space.keys(genotypes)
        keys["graph"] = space.keys(space.canonical(genotypes))
    bounded = {c.metric for c in where}
    # Within one cost class the constrained metrics come first: they may spare the others. An unconstrained metric
    # spares nothing, so it waits for the dearest one of its provider and shares that one's work.
    dearest: dict[Any, Cost] = {}
    for m in wanted.values():
        dearest[m.provider] = max(m.cost, dearest.get(m.provider, m.cost))
    order = {s: (m.cost, False) if s in bounded else (dearest[m.provider], True) for s, m in wanted.items()}
    levels = sorted(set(order.values()))
    for level in levels:
        now = {s: m for s, m in wanted.items() if order[s] == level}
        alive = np.flatnonzero(~scores.rejected & ~_failed(scores, n))
        if not alive.size:
            break
        for group in _by_provider(now.values()):
            _measure(group, space, genotypes, context, alive, scores, cache, keys)
        for c in where:
            if c.metric in now:
                v = scores.values[c.metric][alive]
                # A value that could not be measured is a failure, not a violation.
                scores.violation[alive] += np.where(np.isnan(v), 0.0, c.violation(v))
        if screen and level != levels[-1]:
            scores.rejected |= scores.violation > 0
    return scores


def _failed(scores: Scores, n: int) -> NDArray[np.bool_]:
    mask = np.zeros(n, dtype=np.bool_)
    mask[list(scores.failures)] = True
    return mask


def _by_provider(metrics: Any) -> list[list[Metric]]:
    groups: dict[Any, list[Metric]] = {}
    for m in metrics:
        groups.setdefault(m.provider, []).append(m)
    return list(groups.values())


def _measure(
    group: list[Metric],
    space: Space,
    genotypes: Genotypes,
    context: Context,
    alive: NDArray[np.intp],
    scores: Scores,
    cache: Cache | None,
    keys: Mapping[str, list[bytes]],
) -> None:
    """Fill the columns of metrics that share a provider, for the rows still alive, through the cache."""
    names = tuple(m.name for m in group)
    cached = cache if cache is not None and max(m.cost for m in group) > Cost.TABLE else None
    todo: dict[bytes, list[int]] = {}
    for row in alive.tolist() if cached is not None else ():
        key = keys[group[0].identity][row]
        found = [cached.get((name, key)) for name in names] if cached is not None else []
        if all(v is not None for v in found):
            for name, v in zip(names, found, strict=True):
                scores.values[name][row] = v
        else:
            todo.setdefault(key, []).append(row)
    rows = np.array([r[0] for r in todo.values()], dtype=np.intp) if cached is not None else alive
    if not rows.size:
        return
    if group[0].batched:
        _run_batch(names, group[0], space, genotypes, context, rows, scores)
    else:
        _run_single(names, group[0], space, genotypes, context, rows, scores)
    if cached is not None:
        for key, members in todo.items():
            _share(names, key, members, scores, cached)


def _run_batch(
    names: tuple[str, ...],
    first: Metric,
    space: Space,
    genotypes: Genotypes,
    context: Context,
    rows: NDArray[np.intp],
    scores: Scores,
) -> None:
    found: Mapping[str, Any] = first.provider(names, space, genotypes[rows], context)
    for name in names:
        column = np.asarray(found[name], dtype=np.float64)
        scores.values[name][rows] = column
        for row in rows[np.isnan(column)].tolist():
            scores.failures.setdefault(row, f"{name} has no value for this architecture")


def _run_single(
    names: tuple[str, ...],
    first: Metric,
    space: Space,
    genotypes: Genotypes,
    context: Context,
    rows: NDArray[np.intp],
    scores: Scores,
) -> None:
    # One network at a time: each has its own modules, so there is no batch to vectorise over.
    for row in rows.tolist():
        try:
            found: Mapping[str, Any] = first.provider(names, space, genotypes[row], context)
        except InputError:
            raise
        except OgiveError as error:
            scores.failures[row] = str(error)
            continue
        for name in names:
            scores.values[name][row] = found[name]
            if math.isnan(found[name]):
                scores.failures.setdefault(row, f"{name} is not a number for this architecture")


def _share(names: tuple[str, ...], key: bytes, members: list[int], scores: Scores, cache: Cache) -> None:
    """Give a measured row's values, or its failure, to the rows that count as the same architecture."""
    first, *others = members
    reason = scores.failures.get(first)
    for row in others:
        for name in names:
            scores.values[name][row] = scores.values[name][first]
        if reason is not None:
            scores.failures[row] = reason
    if reason is None:
        for name in names:
            cache[name, key] = float(scores.values[name][first])
