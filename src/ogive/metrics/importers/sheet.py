"""A table under construction: architectures as strings, columns that appear as the source is read."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError, StorageError
from ogive.metrics.tables import Column, Table
from ogive.spaces.base import Genotypes, Space, get_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_BLOCK = 16_384


class Sheet:
    """Values by architecture and column.

    Parameters
    ----------
    source : str
        Where they come from, for messages.
    space : str
        Space the architectures belong to.
    hints : mapping of pattern to dict
        Unit, direction or note of columns whose names match; the first match counts, the rest is guessed from the name.
    by_graph : bool
        Whether a row stands for all architectures that are the same graph.
    """

    def __init__(self, source: str, space: str, hints: Mapping[str, Mapping[str, Any]], by_graph: bool = False) -> None:
        self.source, self.space, self.hints, self.by_graph = source, space, hints, by_graph
        self.rows: dict[str, int] = {}
        self.columns: dict[str, array[float]] = {}

    def row(self, arch: str) -> int:
        """Return the row of an architecture, a new one where it was not there."""
        return self.rows.setdefault(arch, len(self.rows))

    def put(self, row: int, values: Mapping[str, float]) -> None:
        """Enter values of one row; what is not finite counts as not measured.

        Raises
        ------
        StorageError
            If the row has another value already.
        """
        for name, value in values.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = array("d")
            if len(column) <= row:
                column.extend([math.nan] * (row + 1 - len(column)))
            held = column[row]
            if not math.isnan(held) and held != value:
                arch = list(self.rows)[row]
                raise StorageError(f"'{self.source}' has two values of '{name}' for architecture '{arch}'; mend it")
            if math.isfinite(value):
                column[row] = value

    def table(self, name: str, space: Space | None = None) -> Table:
        """Return the table.

        Raises
        ------
        StorageError
            If an architecture does not belong to the space, or two are the same.
        """
        where = get_space(self.space) if space is None else space
        genotypes = self._genotypes(where)
        self.rows.clear()  # hundreds of thousands of strings, not needed any more
        names = [n for n in sorted(self.columns) if not np.isnan(self.columns[n]).all()]
        if not names:
            raise StorageError(f"'{self.source}' has no values")
        values = np.full((len(names), len(genotypes)), np.nan)
        for line, column in zip(values, names, strict=True):
            found = self.columns.pop(column)
            line[: len(found)] = found
        columns = [self._described(n, v) for n, v in zip(names, values, strict=True)]
        return Table(name, where, genotypes, columns, values, by_graph=self.by_graph)

    def _genotypes(self, space: Space) -> Genotypes:
        """Return what the strings stand for; in blocks, for a space may take much room to read many."""
        archs = list(self.rows)
        try:
            blocks = [space.parse_many(archs[i : i + _BLOCK]) for i in range(0, len(archs), _BLOCK)]
        except InputError as error:
            raise StorageError(f"'{self.source}': {error}") from error
        genotypes = np.concatenate([space.canonical(b) if self.by_graph else b for b in blocks])
        _, first, row_of = np.unique(genotypes, axis=0, return_index=True, return_inverse=True)
        for row in np.flatnonzero(first[row_of.reshape(-1)] != np.arange(len(archs)))[:1]:
            other = archs[first[row_of.reshape(-1)[row]]]
            raise StorageError(f"'{self.source}': '{archs[row]}' and '{other}' are the same architecture")
        return genotypes

    def _described(self, name: str, values: NDArray[np.float64]) -> Column:
        hint = next((hint for pattern, hint in self.hints.items() if fnmatchcase(name, pattern)), {})
        return replace(Column.guess(name, values), **hint)


def number(value: Any, source: str) -> float:
    """Return a stored number, NaN for None.

    Raises
    ------
    StorageError
        If it is anything else, such as a tensor.
    """
    if value is None:
        return math.nan
    if isinstance(value, (int, float, np.number)) and not isinstance(value, np.complexfloating):
        return float(value)
    raise StorageError(f"'{source}' has a {type(value).__name__} where a number belongs; fetch the official file")


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are finite, NaN if there is none."""
    finite = [v for v in values if math.isfinite(v)]
    return sum(finite) / len(finite) if finite else math.nan
