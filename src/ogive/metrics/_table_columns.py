"""What a table says of itself and of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from ogive.metrics.percentile import Aggregate, percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_PERCENT = ("*accuracy*", "class_object_val", "class_scene_val", "jigsaw_val", "segmentsemantic_val")
_LOWER = ("*loss*", "*error*", "*latency*", "*energy*", "*seconds*", "*params", "*flops", "macs", "relus", "depth")
_BEST = ("*_best", "*_best_*", "best_*")
_BEST_NOTE = "of the best epoch, never worse than of the last; not to be mixed with columns of the last epoch"


@dataclass(frozen=True)
class Column:
    """One quantity of a table.

    Attributes
    ----------
    name : str
    unit : str
        "1" where it is not known.
    direction : {"max", "min"}
        Whether higher or lower is better.
    note : str
        What must be known before the values are used.
    """

    name: str
    unit: str = "1"
    direction: Literal["max", "min"] = "max"
    note: str = ""

    @classmethod
    def guess(cls, name: str, values: NDArray[np.float64]) -> Column:
        """Tell unit and direction from the column names in common use; anything else is "1", higher is better.

        An accuracy that never exceeds 1 is a fraction, not a percentage.
        """
        unit = "%" if any(fnmatchcase(name, p) for p in _PERCENT) and np.nanmax(values) > 1 else "1"
        direction: Literal["max", "min"] = "min" if any(fnmatchcase(name, p) for p in _LOWER) else "max"
        return cls(name, unit, direction, _BEST_NOTE if any(fnmatchcase(name, p) for p in _BEST) else "")

    @property
    def best_epoch(self) -> bool:
        """Whether the values are those of each training's best epoch, by name or note."""
        return any(fnmatchcase(self.name, p) for p in _BEST) or "best epoch" in self.note


@dataclass(frozen=True)
class PercentileColumns:
    """A quantity derived from columns: ``percentile:A``, ``mean_percentile:A+B`` or ``worst_percentile:A+B``.

    Attributes
    ----------
    columns : tuple of str
        Those it is derived from.
    aggregate : Aggregate
    """

    columns: tuple[str, ...]
    aggregate: Aggregate

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return what a name stands for, None where it has no such form."""
        kind, colon, columns = name.partition(":")
        if colon and kind == "percentile":
            return cls((columns,), Aggregate())
        if colon and kind in {"mean_percentile", "worst_percentile"}:
            return cls(tuple(columns.split("+")), Aggregate.parse(kind.removesuffix("_percentile")))
        return None

    def describe(self, name: str) -> Column:
        """Return what is known of the quantity."""
        return Column(name, "%", "max", f"{self.aggregate} percentile of {', '.join(self.columns)} in the table")

    def values(self, parts: Sequence[tuple[Column, NDArray[np.float64]]]) -> NDArray[np.float64]:
        """Return the quantity ``(n,)`` from the columns and their values ``(n,)``; NaN where one of them is missing."""
        out = np.full((len(parts[0][1]), len(parts)), np.nan)
        for at, (column, values) in enumerate(parts):
            there = ~np.isnan(values)
            out[there, at] = percentiles(values[there], column.direction)
        return self.aggregate(out)


@dataclass(frozen=True)
class TableInfo:
    """What a table's header says, without its values."""

    name: str
    space: str
    rows: int
    columns: tuple[Column, ...]
    by_graph: bool = False
