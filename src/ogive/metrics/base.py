"""Named quantities of an architecture, ``quantity`` or ``quantity@source``: one registry, cheap before dear.

A provider computes one or more quantities; quantities of one provider that are wanted together share its work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError
from ogive._paths import data_home
from ogive._registry import Registry
from ogive.metrics.guard import check

if TYPE_CHECKING:
    from pathlib import Path

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
        LeakError
            If what runs must not know anything about the task.
        """
        if self.task is None:
            raise InputError(f"metric '{metric}' needs a task; give one, for example --task digits")
        # Shapes alone will do for counting; they have no name and nothing to read.
        check(f"/{getattr(self.task, 'spec', '')}")
        return self.task

    def on(self, task: str) -> Context:
        """Return the same context for a metric that has a task of its own; for one that has none (""), this one."""
        return replace(self, task=_own_task(task, data_home())) if task else self


@lru_cache(maxsize=8)
def _own_task(spec: str, home: Path) -> Task:  # noqa: ARG001 - another data home may hold other files
    """Return one task object for all measurements on it, so that a search reads its files once."""
    from ogive.tasks.base import get_task

    return get_task(spec)


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
    task : str
        The task it is measured on, whatever the context's; "" for that one.
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
    task: str = ""
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
    | dict.fromkeys(("latency@host", "latency_spread@host"), "ogive.metrics.host_latency")
    | dict.fromkeys(("accuracy@train", "loss@train", "seconds@train"), "ogive.metrics.trained")
    | dict.fromkeys(("accuracy@supernet", "loss@supernet"), "ogive.metrics.supernet"),
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
    """Return the metric written as ``quantity`` or ``quantity@source``, for another task with ``/task`` behind it.

    A source that is no registered metric is looked up among the imported tables. ``accuracy@train/mnist`` is
    ``accuracy@train`` on the task ``mnist``, whatever the task of the search.

    Raises
    ------
    UnknownNameError
        If there is no such metric or task, naming the nearest.
    """
    spec = spec.strip()
    quantity, at, rest = spec.partition("@")
    source, slash, task = rest.partition("/") if at else ("", "", "")
    if not at:
        quantity, slash, task = spec.partition("/")
    found = _resolve(quantity, source)
    return found if not slash else _on_task(found, task)


def _resolve(quantity: str, source: str) -> Metric:
    spec = f"{quantity}@{source}" if source else quantity
    if source and spec not in METRICS and not any(name.endswith(f"@{source}") for name in METRICS.names()):
        from ogive.metrics.device_registry import device_metric, device_names
        from ogive.metrics.tables import table_metric

        return (device_metric if source in device_names() else table_metric)(quantity, source)
    return METRICS.get(spec)


@dataclass(frozen=True)
class _OnTask:
    """A provider that measures on a task of its own; equal ones share their work."""

    provider: BatchProvider | SingleProvider
    task: str

    def __call__(self, names: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context) -> Any:
        end = f"/{self.task}"
        own = tuple(name.removesuffix(end) for name in names)
        found: Mapping[str, Any] = self.provider(own, space, genotypes, context.on(self.task))
        return {f"{name}{end}": found[name] for name in own}


def _on_task(metric: Metric, task: str) -> Metric:
    from ogive.tasks.base import get_task

    spec = get_task(task).spec
    return replace(
        metric,
        name=f"{metric.name}/{spec}",
        provider=_OnTask(metric.provider, spec),
        task=spec,
        baseline=tuple(f"{name}/{spec}" for name in metric.baseline),
    )


_CONSTRAINT = re.compile(r"^\s*([^<>!\s]+?)\s*(<=|>=|==|<|>)\s*([^<>=\s]+)\s*$")


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
