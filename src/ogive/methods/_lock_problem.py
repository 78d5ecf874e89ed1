"""What a lock is asked for: a source to keep, targets to spoil, a gate, and a budget of true evaluations.

Zhou, Ren and Xu, "ArchLock: Locking DNN Transferability at the Architecture Level with a Zero-Cost Binary Predictor",
ICLR 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from ogive._errors import InputError
from ogive.metrics.base import resolve
from ogive.metrics.percentile import Aggregate
from ogive.metrics.tables import Table, is_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.metrics._table_columns import Column
    from ogive.metrics.percentile import Reference
    from ogive.spaces.base import Space

_LEAST = 10  # evaluations: the published loop's population
_GATE_FORM = "write pct:98 for the best 2 % of the architectures, or value:54.3 for a value of the source metric"


@dataclass(frozen=True)
class Gate:
    """How good an architecture must be at its own task.

    Attributes
    ----------
    kind : {"pct", "value"}
        A percentile of a reference, or a value of the source metric.
    level : float
        "At least" where higher is better, "at most" where lower is.
    """

    kind: Literal["pct", "value"]
    level: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``pct:98`` or ``value:54.3``.

        A bare number or "2%" is refused. Two per cent of the raw metric can admit one architecture, or all: on
        TransNAS-Bench-101 micro it admits 3 of 4,096 cells by surface normals and 3,550 by segmentation.

        Raises
        ------
        InputError
            If the text has another form.
        """
        kind, colon, number = text.strip().partition(":")
        try:
            level = float(number if colon else kind.removesuffix("%"))
        except ValueError:
            level = math.nan
        if not colon and math.isfinite(level):
            raise InputError(
                f"gate '{text}' does not say of what: a raw share admits nearly none or nearly all architectures, "
                f"depending on the metric; {_GATE_FORM}"
            )
        if kind not in {"pct", "value"} or not math.isfinite(level):
            raise InputError(f"gate '{text}' cannot be read; {_GATE_FORM}")
        if kind == "pct" and not 0 < level <= 100:
            raise InputError(f"gate '{text}': a percentile is above 0 and at most 100; {_GATE_FORM}")
        return cls(kind, level)  # type: ignore[arg-type]

    def bound(self, reference: Reference) -> float:
        """Return the worst value of the source metric that passes.

        Parameters
        ----------
        reference : Reference
            Source metric of the architectures that a percentile is of; a gate by value does not look at it.
        """
        return self.level if self.kind == "value" else reference.threshold(self.level)

    def __str__(self) -> str:
        return f"{self.kind}:{self.level:.10g}"


@dataclass(frozen=True)
class LockProblem:
    """An architecture is wanted that is good at its source task and poor at the targets.

    Attributes
    ----------
    space : Space
    source : str
        Metric of the owner's task, such as ``class_scene_val@micro`` or ``accuracy@train/digits``.
    targets : tuple of str
        Metrics of the tasks that an attacker may transfer the architecture to.
    setting : {"tk", "tu"}
        Targets known: the search may measure them. Targets unknown: it may not; they are read once, for the report.
    auxiliary : tuple of str
        Metrics of other tasks that stand in for the targets in setting "tu".
    gate : Gate
    aggregate : Aggregate
        What is made of the percentiles of several targets.
    budget : int
        True evaluations of the source; each searched target is measured at most as often. Those that fail the gate
        count.
    seed : int

    Raises
    ------
    InputError
        If the metrics, setting and budget do not fit together.
    UnknownNameError
        If a metric does not exist.
    """

    space: Space
    source: str
    targets: tuple[str, ...]
    setting: Literal["tk", "tu"] = "tk"
    auxiliary: tuple[str, ...] = ()
    gate: Gate = field(default_factory=lambda: Gate("pct", 98.0))
    aggregate: Aggregate = field(default_factory=Aggregate)
    budget: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        for attribute, specs in (("targets", self.targets), ("auxiliary", self.auxiliary)):
            object.__setattr__(self, attribute, tuple(resolve(s).name for s in specs))
        object.__setattr__(self, "source", resolve(self.source).name)
        self._check_roles()
        self._check_setting()
        _check_tables(self.space, (self.source, *self.targets, *self.auxiliary))
        if not isinstance(self.budget, int) or self.budget < _LEAST:
            raise InputError(f"a lock search needs a budget of at least {_LEAST} evaluations, not {self.budget}")

    def _check_roles(self) -> None:
        roles: dict[str, str] = {}
        named = [("source", self.source), *(("target", t) for t in self.targets)]
        for role, metric in [*named, *(("auxiliary", a) for a in self.auxiliary)]:
            if metric in roles:
                raise InputError(f"'{metric}' is both {roles[metric]} and {role}; give each metric one role, once")
            roles[metric] = role

    def _check_setting(self) -> None:
        if self.setting not in {"tk", "tu"}:
            raise InputError(f"setting '{self.setting}' is not known; write tk (targets known) or tu (unknown)")
        if not self.targets:
            raise InputError("a lock needs at least one target to be judged by; hold one task out for that")
        if self.setting == "tu" and not self.auxiliary:
            raise InputError("setting tu needs auxiliary tasks in place of its targets; name some with --auxiliary")
        if self.setting == "tk" and self.auxiliary:
            raise InputError("setting tk searches with its targets; auxiliary tasks belong to --setting tu")

    @classmethod
    def from_table(
        cls,
        table: str,
        space: Space,
        source: str,
        targets: Sequence[str],
        *,
        auxiliary: Sequence[str] = (),
        **more: Any,
    ) -> Self:
        """Return the problem whose metrics are columns of one imported table; `more` are the other attributes."""
        on = [tuple(f"{c}@{table}" for c in columns) for columns in (targets, auxiliary)]
        return cls(space, f"{source}@{table}", on[0], auxiliary=on[1], **more)

    @property
    def searched(self) -> tuple[str, ...]:
        """What the search may read besides the source: the targets in setting "tk", else the auxiliary metrics."""
        return self.targets if self.setting == "tk" else self.auxiliary


def _check_tables(space: Space, metrics: Sequence[str]) -> None:
    """Refuse tables of another space, and values of the best epoch beside those of the last."""
    columns: dict[str, Column] = {}
    for metric in metrics:
        if (table := table_of(metric)) is not None:
            if table.space.spec != space.spec:
                raise InputError(f"'{metric}' is of space '{table.space.spec}', not of '{space.spec}'")
            columns[metric] = table.column(metric.partition("@")[0])
    best = [m for m, c in columns.items() if c.best_epoch]
    if best and len(best) < len(columns):
        last = next(m for m in columns if m not in best)
        raise InputError(
            f"'{best[0]}' is of each training's best epoch and '{last}' is not; their percentiles do not compare, so "
            "use columns of one kind"
        )


def table_of(metric: str) -> Table | None:
    """Return the table that a metric is a column of, None for any other metric."""
    source = metric.partition("@")[2]
    return Table.open(source) if is_table(source) else None
