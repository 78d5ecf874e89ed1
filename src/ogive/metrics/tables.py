"""Precomputed benchmarks: the value of every architecture read from a table, one column a quantity.

A table is imported once from CSV or Parquet, checked, and kept as Parquet in the folder ``tables`` of the data home;
from then on ``column@table`` is a metric like any other, with a known optimum.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, OgiveError, StorageError, UnknownNameError, nearest
from ogive._paths import data_home
from ogive.metrics._table_files import read_content
from ogive.metrics.base import METRICS, Context, Cost, Metric
from ogive.spaces.base import Genotypes, Space, get_space

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

Floats = NDArray[np.float64]

_DENSE = 2**22  # largest box with one int32 a point: 16 MB
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_GENOTYPE = "_genotype"

_PERCENT = ("*accuracy*", "class_object_val", "class_scene_val", "jigsaw_val", "segmentsemantic_val")
_LOWER = ("*loss*", "*error*", "*latency*", "*energy*", "*seconds*", "params", "flops", "macs", "relus", "depth")


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
    """

    name: str
    unit: str = "1"
    direction: Literal["max", "min"] = "max"

    @classmethod
    def guess(cls, name: str, values: Floats) -> Column:
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
    """

    def __init__(
        self, name: str, space: Space, genotypes: Genotypes, columns: Sequence[Column], values: Floats
    ) -> None:
        self.name, self.space, self.genotypes = name, space, genotypes
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
        path = _path(name)
        if not (_NAME.fullmatch(name) and path.is_file()):
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
        return Table(self.name, self.space, self.genotypes, tuple(columns.values()), np.stack([*self._values.values()]))

    def save(self) -> Path:
        """Write the table into the data home, replacing an older one of this name, and return the file's path.

        Raises
        ------
        InputError
            If the name cannot stand after the ``@`` of a metric.
        StorageError
            If the folder cannot be written.
        """
        if not _NAME.fullmatch(self.name):
            raise InputError(f"table name '{self.name}' may hold letters, digits, '.', '_' and '-' only")
        if any(m.endswith(f"@{self.name}") for m in METRICS.names()):
            raise InputError(f"table name '{self.name}' is taken by the metrics *@{self.name}; give another name")
        import pyarrow.parquet as pq

        path = _path(self.name)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(self._arrow(), draft)
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise StorageError(f"table '{self.name}' cannot be written to {path.parent}: {error}") from error
        return path

    def _arrow(self) -> pa.Table:
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(self.genotypes).reshape(-1))
        about = {
            "space": self.space.spec,
            "columns": {c.name: {"unit": c.unit, "direction": c.direction} for c in self.columns.values()},
        }
        return pa.table(
            {
                "arch": pa.array(self.space.format_many(self.genotypes)),
                _GENOTYPE: pa.FixedSizeListArray.from_arrays(flat, self.space.n_choices),
                **self._values,
            }
        ).replace_schema_metadata({"ogive": json.dumps(about)})

    # ---------------------------------------------------------------- what it says

    def column(self, name: str) -> Column:
        """Return what is known of a column.

        Raises
        ------
        UnknownNameError
            If there is none of this name.
        """
        if name not in self.columns:
            raise UnknownNameError(f"table '{self.name}' has no column '{name}'; {nearest(name, self.columns)}")
        return self.columns[name]

    def values(self, column: str) -> Floats:
        """Return a column, one value a row of `genotypes`, ``(n,)``; NaN where there is none."""
        return self._values[self.column(column).name]

    def rows(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """Return the row of each genotype, ``(m,)``; -1 where the table does not have it."""
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
    def _sorted(self) -> tuple[NDArray[np.intp], NDArray[np.void]]:
        keys = _keys(self.space, self.genotypes)
        order = np.argsort(keys)
        return order, keys[order]

    def lookup(self, column: str, genotypes: Genotypes) -> Floats:
        """Return a column's value of each genotype, ``(m,)``; NaN where the table has none."""
        rows = self.rows(genotypes)
        return np.asarray(np.where(rows >= 0, self.values(column)[rows], np.nan))

    def coverage(self, column: str) -> float:
        """Return the share of the space's architectures that have a value."""
        return float(np.isfinite(self.values(column)).sum() / self.space.size)

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


def table_names() -> list[str]:
    """Return the names of all imported tables, sorted."""
    return sorted(p.stem for p in _path("x").parent.glob("*.parquet"))


def table_info(name: str) -> TableInfo:
    """Return an imported table's header.

    Raises
    ------
    StorageError
        If its file is damaged.
    """
    import pyarrow.parquet as pq

    path = _path(name)
    with _naming_damage(path):
        header = pq.read_metadata(path)
        about = json.loads(header.metadata[b"ogive"])
        columns = tuple(Column(c, **about["columns"][c]) for c in about["columns"])
        return TableInfo(name, str(about["space"]), int(header.num_rows), columns)


def table_metric(quantity: str, source: str) -> Metric:
    """Return the metric ``quantity@source`` of an imported table.

    Raises
    ------
    UnknownNameError
        If no table has this name, or the table no such column.
    """
    if source not in (tables := table_names()):
        sources = {m.partition("@")[2] for m in METRICS.names("*@*")}
        raise UnknownNameError(
            f"unknown source '{source}' of metric '{quantity}@{source}'; {nearest(source, {*sources, *tables})}; "
            f"a table becomes one with: ogive tables import FILE --name {source} --space SPACE"
        )
    return Table.open(source).metric(quantity)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes pyarrow and json raise into one line."""
    try:
        yield
    except OgiveError:
        raise
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise StorageError(f"table file {path} is damaged ({type(error).__name__}); import the table again") from error


@lru_cache(maxsize=16)
def _opened(path: Path, modified: int) -> Table:
    """Read a table file; `modified` only makes a replaced file a new entry of the cache."""
    del modified
    import pyarrow.parquet as pq

    info = table_info(path.stem)
    space = get_space(info.space)
    with _naming_damage(path):
        content = pq.read_table(path, columns=[_GENOTYPE, *(c.name for c in info.columns)], memory_map=True)
        flat = content.column(_GENOTYPE).combine_chunks().flatten().to_numpy()
        values = np.stack([content.column(c.name).to_numpy() for c in info.columns])
        return Table(path.stem, space, flat.reshape(-1, space.n_choices), info.columns, values)


def _path(name: str) -> Path:
    return data_home() / "tables" / f"{name}.parquet"


def _keys(space: Space, genotypes: Genotypes) -> NDArray[np.void]:
    """Return each genotype's bytes as one sortable item."""
    rows = np.ascontiguousarray(genotypes, dtype=space.dtype)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
