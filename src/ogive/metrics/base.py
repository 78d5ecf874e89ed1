"""Named quantities of an architecture, ``quantity`` or ``quantity@source``: one registry, cheap before dear.

A provider computes one or more quantities; quantities of one provider that are wanted together share its work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, OgiveError
from ogive._registry import Registry

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space
    from ogive.tasks.base import Task

Floats = NDArray[np.float64]


class Cost(IntEnum):
    """How dear a quantity is; `evaluate` computes in this order."""

    TABLE = 0
    """A look-up or closed form: microseconds, whole batches at once."""
    COUNT = 1
    """The network is laid out without weights."""
    FORWARD = 2
    """Forward passes of a real network."""
    BACKWARD = 3
    """Forward and backward passes of a real network."""
    TRAIN = 4
    """The network is trained."""


@dataclass(frozen=True)
class Context:
    """Everything besides the architecture that a measurement depends on.

    Attributes
    ----------
    task : Task or None
        What the architecture is for.
    seed : int
        Fixes initial weights, batches and data order.
    device : str
        PyTorch device.
    options : mapping
        Settings of single sources by source name, such as ``{"train": TrainConfig(...)}``.
    """

    task: Task | None = None
    seed: int = 0
    device: str = "cpu"
    options: Mapping[str, Any] = field(default_factory=dict)

    def need_task(self, metric: str) -> Task:
        """Return the task, or say which metric needs one.

        Raises
        ------
        InputError
            If there is no task.
        """
        if self.task is None:
            raise InputError(f"metric '{metric}' needs a task; give one, for example --task digits")
        return self.task


BatchProvider = Callable[[tuple[str, ...], "Space", "Genotypes", Context], Mapping[str, Floats]]
"""Computes quantities of a whole batch ``(n, n_choices)``; NaN marks an architecture without a value."""

SingleProvider = Callable[[tuple[str, ...], "Space", "Genotypes", Context], Mapping[str, float]]
"""Computes quantities of one genotype ``(n_choices,)``; raises an OgiveError where that fails."""


@dataclass(frozen=True)
class Metric:
    """A registered quantity and what a reader must know of it.

    Attributes
    ----------
    name : str
        ``quantity`` or ``quantity@source``.
    provider : callable
        What computes it. `batched` tells which of the two signatures it has.
    unit : str
        Such as "1", "ms", "%".
    direction : {"max", "min"}
        Whether higher or lower is better.
    cost : Cost
    scale : {"linear", "log"}
        How values are best plotted and compared.
    identity : {"genotype", "graph"}
        "graph" where isomorphic architectures have equal values by definition, so that one measurement serves all.
    needs : frozenset of str
        What must be there: "task" (shapes), "data" (examples), "weights" (a real network).
    batched : bool
    baseline : tuple of str
        Metrics that must be shown beside this one for it to mean anything.
    description, reference : str
    """

    name: str
    provider: BatchProvider | SingleProvider
    unit: str = "1"
    direction: Literal["max", "min"] = "max"
    cost: Cost = Cost.TABLE
    scale: Literal["linear", "log"] = "linear"
    identity: Literal["genotype", "graph"] = "genotype"
    needs: frozenset[str] = frozenset()
    batched: bool = True
    baseline: tuple[str, ...] = ()
    description: str = ""
    reference: str = ""


METRICS: Registry[Metric] = Registry(
    "metric",
    dict.fromkeys(("params", "macs", "relus", "depth"), "ogive.metrics.counts")
    | dict.fromkeys(
        (
            "grad_norm", "snip", "grasp", "fisher", "synflow", "jacov", "jacob_cov", "nwot", "naswot", "zen",
            "epe_nas", "plain", "l2_norm", "zico",
        ),
        "ogive.metrics.zero_cost",
    )
    | dict.fromkeys(("accuracy@train", "loss@train", "seconds@train"), "ogive.metrics.trained"),
)  # fmt: skip


def register(*metrics: Metric) -> None:
    """Register metrics that share a provider."""
    for m in metrics:
        METRICS.add(m.name, m)


def metric(name: str, **info: Any) -> Callable[[Callable[..., Floats]], Callable[..., Floats]]:
    """Register a function of ``(space, genotypes, context)`` that returns one value for each genotype, ``(n,)``.

    Parameters
    ----------
    name : str
        ``quantity`` or ``quantity@source``.
    **info
        The other attributes of `Metric`: unit, direction, cost, scale, ...

    Examples
    --------
    >>> @metric("skips", direction="min")
    ... def skips(space, genotypes, context):
    ...     return (genotypes == 1).sum(axis=1).astype(float)
    """

    def decorate(function: Callable[..., Floats]) -> Callable[..., Floats]:
        def provider(_: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context) -> Mapping[str, Floats]:
            return {name: function(space, genotypes, context)}

        METRICS.add(name, Metric(name=name, provider=provider, **info))
        return function

    return decorate


def resolve(spec: str) -> Metric:
    """Return the metric written as ``quantity`` or ``quantity@source``.

    A source that is no registered metric is looked up among the imported tables.

    Raises
    ------
    UnknownNameError
        If there is no such metric, naming the nearest.
    """
    spec = spec.strip()
    if spec in METRICS:
        return METRICS.get(spec)
    quantity, at, source = spec.partition("@")
    if at:
        if any(name.endswith(f"@{source}") for name in METRICS.names()):
            return METRICS.get(spec)
        from ogive.metrics.tables import table_metric

        return table_metric(quantity, source)
    return METRICS.get(spec)


_CONSTRAINT = re.compile(r"^\s*([^<>=!\s]+)\s*(<=|>=|==|<|>)\s*(\S+)\s*$")


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric, written ``relus<=50000``."""

    metric: str
    op: Literal["<=", ">=", "<", ">", "=="]
    bound: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read ``metric op number`` with op one of <= >= < > ==; the metric must exist.

        Raises
        ------
        InputError
            If the text has another form or the bound is no finite number.
        UnknownNameError
            If there is no such metric.
        """
        found = _CONSTRAINT.match(text)
        if found is None:
            raise InputError(f"constraint {text!r} cannot be read; write for example relus<=50000")
        spec, op, number = found.groups()
        try:
            bound = float(number.replace("_", ""))
        except ValueError:
            bound = math.nan
        if not math.isfinite(bound):
            raise InputError(f"constraint {text!r}: {number!r} is not a finite number")
        return cls(resolve(spec).name, op, bound)  # type: ignore[arg-type]

    def violation(self, values: Floats) -> Floats:
        """Return how far each value is beyond the bound, relative to it; 0 where met, inf where not measured."""
        v = np.asarray(values, dtype=np.float64)
        sign = {"<=": v - self.bound, "<": v - self.bound, ">=": self.bound - v, ">": self.bound - v}
        excess = np.abs(v - self.bound) if self.op == "==" else sign[self.op]
        scale = abs(self.bound) or 1.0
        # Beyond a minute bound the relative excess may exceed float64; it is then infinite.
        with np.errstate(over="ignore"):
            out = np.maximum(excess, 0.0) / scale
        if self.op in "<>":
            out = np.where(excess == 0, np.finfo(np.float64).tiny, out)
        return np.where(np.isnan(v), np.inf, out)

    def __str__(self) -> str:
        return f"{self.metric}{self.op}{self.bound:g}"


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

    Returns
    -------
    Scores
    """
    genotypes = np.asarray(genotypes)
    n = len(genotypes)
    wanted = {s: resolve(s) for s in dict.fromkeys([*specs, *(c.metric for c in where)])}
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
        if level != levels[-1]:
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
