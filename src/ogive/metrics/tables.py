"""Precomputed benchmarks: the value of every architecture read from a table, one column a quantity.

A table is imported once from CSV or Parquet, checked, and kept as Parquet in the folder ``tables`` of the data home;
from then on ``column@table`` is a metric like any other, with a known optimum.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, StorageError, UnknownNameError, nearest
from ogive.metrics._table_columns import Column, PercentileColumns, TableInfo
from ogive.metrics._table_files import read_content
from ogive.metrics._table_home import check_name, is_table, naming_damage, path_of, table_info, table_names
from ogive.metrics.base import METRICS, Context, Cost, Metric
from ogive.metrics.guard import check
from ogive.spaces.base import Genotypes, Space, get_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

__all__ = [
    "Column",
    "Table",
    "TableInfo",
    "check_name",
    "import_table",
    "is_table",
    "table_info",
    "table_metric",
    "table_names",
]

Floats = NDArray[np.float64]

_DENSE = 2**22  # largest box with one int32 a point: 16 MB
_GENOTYPE = "_genotype"


class Table:
    """Values of architectures, by column.

    Parameters
    ----------
    name : str
    space : Space
    genotypes : ndarray of int, (n, n_choices)
        Distinct architectures.
    columns : sequence of Column, of length k
    values : ndarray of float64, (k, n)
        NaN where an architecture has no value; that never counts as a score.
    by_graph : bool
        Whether a row stands for all architectures that are the same graph; `genotypes` are canonical then.
    """

    def __init__(
        self,
        name: str,
        space: Space,
        genotypes: Genotypes,
        columns: Sequence[Column],
        values: Floats,
        *,
        by_graph: bool = False,
    ) -> None:
        self.name, self.space, self.genotypes, self.by_graph = name, space, genotypes, by_graph
        self.columns = {c.name: c for c in columns}
        self._values: dict[str, Floats] = dict(zip(self.columns, values, strict=True))

    def __len__(self) -> int:
        return len(self.genotypes)

    # ---------------------------------------------------------------- where tables come from

    @classmethod
    def open(cls, name: str) -> Table:
        """Return an imported table.

        Raises
        ------
        UnknownNameError
            If no table has this name.
        StorageError
            If its file is damaged.
        """
        path = path_of(name)
        if not is_table(name):
            raise UnknownNameError(
                f"unknown table '{name}'; {nearest(name, table_names())}; "
                f"import it with: ogive tables import FILE --name {name} --space SPACE"
            )
        return _opened(path, path.stat().st_mtime_ns)

    @classmethod
    def read(
        cls,
        path: str | Path,
        space: Space | str,
        *,
        name: str | None = None,
        minimize: Sequence[str] = (),
        units: Mapping[str, str] | None = None,
    ) -> Table:
        """Read a CSV (also compressed) or Parquet file with a column ``arch`` and one column a quantity.

        Blank cells and infinities are architectures without a value.

        Parameters
        ----------
        path : path
        space : Space or str
            What the strings in column ``arch`` belong to.
        name : str, optional
            By default the file's name without its endings.
        minimize : sequence of str
            Columns where lower is better, besides those recognised by `Column.guess`.
        units : mapping of column to unit, optional

        Raises
        ------
        InputError
            With column and row, if a cell is NaN or no number, or an architecture is foreign to the space or there
            twice.
        UnknownNameError
            If there is no such space, or `minimize` or `units` name no column.
        """
        where = get_space(space)
        content = read_content(Path(path), where)
        for column in (*minimize, *(units or {})):
            if column not in content.names:
                raise UnknownNameError(f"'{path}' has no column '{column}'; {nearest(column, content.names)}")
        guessed = map(Column.guess, content.names, content.values)
        columns = [replace(c, unit=(units or {}).get(c.name, c.unit)) for c in guessed]
        title = Path(path).name.split(".")[0] if name is None else name
        return cls(title, where, content.genotypes, columns, content.values).lower_is_better(minimize)

    def lower_is_better(self, names: Sequence[str]) -> Table:
        """Return a copy in which lower is better in these columns.

        Raises
        ------
        UnknownNameError
            If there is no such column.
        """
        columns = self.columns | {n: replace(self.column(n), direction="min") for n in names}
        values = np.stack([self.values(c) for c in columns])
        return Table(self.name, self.space, self.genotypes, tuple(columns.values()), values, by_graph=self.by_graph)

    def save(self) -> Path:
        """Write the table into the data home, replacing an older one of this name, and return the file's path.

        Raises
        ------
        InputError
            If the name cannot stand after the ``@`` of a metric.
        StorageError
            If the folder cannot be written.
        """
        check_name(self.name)
        import pyarrow.parquet as pq

        path = path_of(self.name)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Numbers are kept as they are in memory, so that a column is read at the speed of a copy.
            pq.write_table(self._arrow(), draft, use_dictionary=False, compression={"arch": "zstd"})
            draft.replace(path)
        except OSError as error:
            raise StorageError(f"table '{self.name}' cannot be written to {path.parent}: {error}") from error
        finally:
            with suppress(OSError):
                draft.unlink()
        return path

    def _arrow(self) -> pa.Table:
        import pyarrow as pa

        codes = np.ascontiguousarray(self.genotypes, dtype=self.space.dtype.newbyteorder("<"))
        binary = pa.binary(codes.dtype.itemsize * self.space.n_choices)
        arrays = {
            "arch": pa.array(self.space.format_many(self.genotypes)),
            _GENOTYPE: pa.FixedSizeBinaryArray.from_buffers(binary, len(codes), [None, pa.py_buffer(codes)]),
            **{name: pa.array(self.values(name)) for name in self.columns},
        }
        about = {
            "space": self.space.spec,
            "by_graph": self.by_graph,
            "columns": {c.name: {k: v for k, v in asdict(c).items() if k != "name"} for c in self.columns.values()},
        }
        fields = [pa.field(name, array.type, nullable=False) for name, array in arrays.items()]
        return pa.Table.from_arrays([*arrays.values()], schema=pa.schema(fields, {"ogive": json.dumps(about)}))

    # ---------------------------------------------------------------- what it says

    def column(self, name: str) -> Column:
        """Return what is known of a column, or of the percentile of some, such as ``mean_percentile:a+b``.

        Raises
        ------
        UnknownNameError
            If there is none of this name.
        """
        if name in self.columns:
            return self.columns[name]
        derived = PercentileColumns.parse(name)
        missing = [c for c in (derived.columns if derived else (name,)) if c not in self.columns]
        if derived is None or missing:
            raise UnknownNameError(
                f"table '{self.name}' has no column '{missing[0]}'; {nearest(missing[0], self.columns)}"
            )
        return derived.describe(name)

    def values(self, column: str) -> Floats:
        """Return a column, one value a row of `genotypes`, ``(n,)``; NaN where there is none.

        Percentiles, written as for `column`, are among the rows that have a value.
        """
        name = self.column(column).name
        derived = None if name in self.columns else PercentileColumns.parse(name)
        parts = derived.columns if derived else (name,)
        for part in parts:
            check(f"{part}@{self.name}")
        if derived and name not in self._values:
            self._values[name] = derived.values([(self.columns[p], self._stored(p)) for p in parts])
        return self._stored(name)

    def _stored(self, name: str) -> Floats:
        return self._values[name]

    def rows(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """Return the row of each genotype, ``(m,)``; -1 where the table does not have it."""
        if self.by_graph:
            genotypes = self.space.canonical(genotypes)
        if self.space.box <= _DENSE:
            return np.asarray(self._dense[self.space.index(genotypes)], dtype=np.intp)
        order, keys = self._sorted
        at = np.minimum(np.searchsorted(keys, wanted := _keys(self.space, genotypes)), len(keys) - 1)
        return np.asarray(np.where(keys[at] == wanted, order[at], -1))

    @cached_property
    def _dense(self) -> NDArray[np.int32]:
        dense = np.full(self.space.box, -1, dtype=np.int32)
        dense[self.space.index(self.genotypes)] = np.arange(len(self))
        return dense

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.intp], NDArray[Any]]:
        keys = _keys(self.space, self.genotypes)
        order = np.argsort(keys)
        return order, keys[order]

    def lookup(self, column: str, genotypes: Genotypes) -> Floats:
        """Return a column's value of each genotype, ``(m,)``; NaN where the table has none."""
        rows = self.rows(genotypes)
        return np.asarray(np.where(rows >= 0, self.values(column)[rows], np.nan))

    @property
    def population(self) -> int:
        """Number of architectures of the space, counting those once that share a row."""
        return int(getattr(self.space, "n_unique", self.space.size) if self.by_graph else self.space.size)

    def coverage(self, column: str) -> float:
        """Return the share of the space's architectures that have a value."""
        return float(np.isfinite(self.values(column)).sum() / self.population)

    def optimum(self, column: str) -> float:
        """Return the best value of a column."""
        best = np.nanmax if self.column(column).direction == "max" else np.nanmin
        return float(best(self.values(column)))

    def regret(self, column: str, values: Floats) -> Floats:
        """Return how far values of a column are from its optimum, at least 0, in the column's unit."""
        gap = self.optimum(column) - np.asarray(values, dtype=np.float64)
        return np.asarray(gap if self.column(column).direction == "max" else -gap)

    # ---------------------------------------------------------------- as metrics

    def metric(self, quantity: str) -> Metric:
        """Return the column as the metric ``quantity@name``."""
        c = self.column(quantity)
        return Metric(
            name=f"{quantity}@{self.name}",
            provider=self._measure,
            unit=c.unit,
            direction=c.direction,
            cost=Cost.TABLE,
            identity="graph" if self.by_graph else "genotype",
            description=f"column '{quantity}' of table '{self.name}'",
        )

    def _measure(
        self, names: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context
    ) -> Mapping[str, Floats]:
        del context
        if space.spec != self.space.spec:
            raise InputError(
                f"table '{self.name}' is of space '{self.space.spec}', not of '{space.spec}'; "
                f"choose it with --space {self.space.spec}"
            )
        return {name: self.lookup(name.partition("@")[0], genotypes) for name in names}


def import_table(
    path: str | Path,
    name: str,
    space: Space | str,
    *,
    minimize: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
) -> Table:
    """Read a file as `Table.read` does and keep it under `name`; an older table of this name is replaced."""
    table = Table.read(path, space, name=name, minimize=minimize, units=units)
    table.save()
    return table


def table_metric(quantity: str, source: str) -> Metric:
    """Return the metric ``quantity@source`` of an imported table.

    Raises
    ------
    UnknownNameError
        If no table has this name, or the table no such column.
    """
    if not is_table(source):
        known = {m.partition("@")[2] for m in METRICS.names("*@*")} | {*table_names()}
        raise UnknownNameError(
            f"unknown source '{source}' of metric '{quantity}@{source}'; {nearest(source, known)}; "
            f"a table becomes one with: ogive tables import FILE --name {source} --space SPACE"
        )
    return Table.open(source).metric(quantity)


class _Stored(Table):
    """A table in its file: genotypes and columns are read through a memory map when they are first asked for."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        info = table_info(path.stem)
        self.name, self.space, self.by_graph = info.name, get_space(info.space), info.by_graph
        self.columns = {c.name: c for c in info.columns}
        self._rows, self._path, self._values = info.rows, path, {}
        with naming_damage(path):
            self._file = pq.ParquetFile(path, memory_map=True)

    def __len__(self) -> int:
        return self._rows

    def _read(self, column: str) -> pa.Array:
        with naming_damage(self._path):
            return self._file.read([column]).column(0).combine_chunks()

    @cached_property
    def genotypes(self) -> Genotypes:  # type: ignore[override]
        """Distinct architectures, ``(n, n_choices)``."""
        raw = self._read(_GENOTYPE).buffers()[1]
        codes = np.frombuffer(raw, dtype=self.space.dtype.newbyteorder("<"), count=self._rows * self.space.n_choices)
        return codes.reshape(self._rows, self.space.n_choices)

    def _stored(self, name: str) -> Floats:
        if name not in self._values:
            self._values[name] = self._read(name).to_numpy()
        return self._values[name]


@lru_cache(maxsize=16)
def _opened(path: Path, modified: int) -> Table:
    """Open a table file; `modified` only makes a replaced file a new entry of the cache."""
    del modified
    return _Stored(path)


def _keys(space: Space, genotypes: Genotypes) -> NDArray[Any]:
    """Return one sortable item for each genotype: its number, or its bytes where the space is too large for that."""
    if space.box < 2**62:
        return space.index(genotypes)
    rows = np.ascontiguousarray(genotypes, dtype=space.dtype)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
