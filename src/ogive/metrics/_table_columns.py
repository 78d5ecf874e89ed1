"""What a table says of itself and of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PERCENT = ("*accuracy*", "class_object_val", "class_scene_val", "jigsaw_val", "segmentsemantic_val")
_LOWER = ("*loss*", "*error*", "*latency*", "*energy*", "*seconds*", "*params", "*flops", "macs", "relus", "depth")


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
        return cls(name, unit, "min" if any(fnmatchcase(name, p) for p in _LOWER) else "max")


@dataclass(frozen=True)
class TableInfo:
    """What a table's header says, without its values."""

    name: str
    space: str
    rows: int
    columns: tuple[Column, ...]
    by_graph: bool = False
