"""Import the published benchmarks from their official files, recognised by content.

One module a format; `import_tables` looks into the file, reads it as a stream and keeps the result like any other
table.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ogive._errors import InputError, StorageError, UnknownNameError, nearest
from ogive._pickle import Unpickler
from ogive._pickle_stream import Bytes
from ogive._torch_files import load_torch
from ogive.metrics.importers import nasbench101
from ogive.metrics.importers.hwnas import HWNAS
from ogive.metrics.importers.nats import NATS
from ogive.metrics.importers.sources import Source, naming_damage, open_sources
from ogive.metrics.importers.transnas import TransNAS
from ogive.metrics.tables import Table, check_name, import_table
from ogive.spaces.base import Space, get_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ogive.metrics.importers.sheet import Sheet
    from ogive.metrics.importers.sources import Progress

__all__ = ["import_tables"]

_PIECE = 256 << 20
"""Most bytes of a pickle that are held at a time; a record of the benchmarks has less than one megabyte."""


def import_tables(
    path: str | Path,
    name: str,
    space: Space | str | None = None,
    *,
    minimize: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> list[Table]:
    """Import an official benchmark file or folder, or any CSV or Parquet file with a column ``arch``.

    Parameters
    ----------
    path : path
    name : str
        Name of the table. A source with tables of several spaces gives ``name_micro`` and so on, unless `space`
        chooses one.
    space : Space or str, optional
        Needed for CSV and Parquet; an official source tells its own.
    minimize : sequence of str
        Columns where lower is better, besides those that are known.
    units : mapping of column to unit, optional
    progress : callable, optional
        Told the bytes read and the bytes there are.

    Returns
    -------
    list of Table

    Raises
    ------
    InputError
        If the source is of no known kind, or of another space.
    UnsafePickleError
        If a pickle holds anything else than plain data; nothing of it is run.
    StorageError
        If it is truncated or damaged, or the table cannot be written. Nothing is imported then.
    """
    check_name(name)
    where = get_space(space) if space is not None else None
    sheets = _read(Path(path), progress)
    if sheets is None:
        if where is None:
            raise InputError(
                f"'{path}' is a table of your own; say what its column 'arch' belongs to with --space SPACE"
            )
        return [import_table(path, name, where, minimize=minimize, units=units)]
    known = [sheet.space for sheet in sheets]
    if where is not None:
        sheets = [sheet for sheet in sheets if sheet.space == where.name]
        if not sheets:
            raise InputError(f"'{path}' is of space {' and '.join(known)}, not of '{where.spec}'")
    titles = [name if len(sheets) == 1 else f"{name}_{s.space.rpartition('_')[2]}" for s in sheets]
    tables = [_own(s.table(title, where), minimize, units or {}) for s, title in zip(sheets, titles, strict=True)]
    for table in tables:
        table.save()
    return tables


def _own(table: Table, minimize: Sequence[str], units: Mapping[str, str]) -> Table:
    """Apply what the user says of columns."""
    for column in (*minimize, *units):
        if column not in table.columns:
            raise UnknownNameError(f"table '{table.name}' has no column '{column}'; {nearest(column, table.columns)}")
    for column, unit in units.items():
        table.columns[column] = replace(table.columns[column], unit=unit)
    for column in minimize:
        table.columns[column] = replace(table.columns[column], direction="min")
    return table


def _read(path: Path, progress: Progress | None) -> list[Sheet] | None:
    """Return the tables of an official source, None for a table of the user's own."""
    layouts = (NATS(str(path)), TransNAS(str(path)), HWNAS(str(path)))
    used: dict[int, Any] = {}

    def shrink(piece: dict[Any, Any]) -> Any:
        return next((small for layout in layouts if (small := layout.shrink(piece)) is not None), None)

    with naming_damage(str(path)):
        for source in open_sources(path, progress):
            if source.kind in ("text", "parquet"):
                if path.is_dir() or source.name != str(path):
                    raise StorageError(f"'{source.name}' is no file of a benchmark; take it out of the folder")
                return None
            if source.kind == "tfrecord":
                return [nasbench101.read(source.file, source.name)]
            data = _load(source, shrink)
            owner = next((layout for layout in layouts if layout.add(data)), None)
            if owner is None:
                raise InputError(
                    f"'{source.name}' is a pickle in no known layout; known are NATS-Bench, NAS-Bench-201, "
                    "NAS-Bench-360, TransNAS-Bench-101 and HW-NAS-Bench"
                )
            used[id(owner)] = owner
    if len(used) != 1:
        raise InputError(f"'{path}' holds files of different benchmarks; import them one by one")
    return next(iter(used.values())).sheets()  # type: ignore[no-any-return]


def _load(source: Source, shrink: Any) -> Any:
    if source.kind == "torch":
        return load_torch(source.file, source.name, shrink=shrink, piece=_PIECE)
    return Unpickler(Bytes(source.file, _PIECE), source.name, shrink=shrink).load()
