"""Reading the CSV and Parquet files that tables are imported from, strictly: every complaint names column and row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space

_QUANTITY = re.compile(r"[^\s@,<>=]+")


@dataclass(frozen=True)
class Content:
    """A file's columns besides ``arch``, checked.

    Attributes
    ----------
    genotypes : ndarray of int, (n, n_choices)
    names : tuple of str, of length k
    values : ndarray of float64, (k, n)
        NaN where the file has a blank or an infinity.
    """

    genotypes: Genotypes
    names: tuple[str, ...]
    values: NDArray[np.float64]


def read_content(path: Path, space: Space) -> Content:
    """Read a CSV (also ``.gz``, ``.bz2``, ``.zst``) or Parquet file whose column ``arch`` names architectures.

    Raises
    ------
    InputError
        If the file is not there or no table, a cell is NaN or no number, or an architecture is foreign or there twice.
    """
    table = _read(path)
    names = _quantities(path, table.column_names)
    archs = table.column("arch").to_pylist()
    if not archs:
        raise InputError(f"'{path}' has no rows")
    genotypes = _genotypes(path, archs, space)
    values = np.stack([_numbers(path, name, table.column(name), archs) for name in names])
    return Content(genotypes, names, values)


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv, parquet

    if not path.is_file():
        raise InputError(f"file '{path}' does not exist")
    # Only a blank is a missing value; the architecture is text even where it looks like a number.
    options = csv.ConvertOptions(null_values=[""], strings_can_be_null=True, column_types={"arch": pa.string()})
    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        return csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"'{path}' cannot be read as {_kind(path)}: {reason}") from error


def _kind(path: Path) -> str:
    return "Parquet" if path.suffix == ".parquet" else "CSV"


def _quantities(path: Path, names: list[str]) -> tuple[str, ...]:
    if "arch" not in names:
        raise InputError(f"'{path}' has no column 'arch' with the architecture strings; {nearest('arch', names)}")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"'{path}' has column '{twice[0]}' more than once; rename one of them")
    quantities = tuple(n for n in names if n != "arch")
    if not quantities:
        raise InputError(f"'{path}' has no column besides 'arch'; add one column a quantity")
    for name in quantities:
        if not _QUANTITY.fullmatch(name):
            raise InputError(f"'{path}' has a column '{name}'; rename it without spaces, '@', ',', '<', '>' and '='")
    return quantities


def _genotypes(path: Path, archs: list[str | None], space: Space) -> Genotypes:
    if None in archs:
        raise InputError(f"'{path}', row {archs.index(None) + 1}: column 'arch' is blank")
    known = [str(a) for a in archs]
    try:
        genotypes = space.parse_many(known)
    except InputError:
        # One by one, only to name the row.
        for row, arch in enumerate(known, start=1):
            try:
                space.parse_many([arch])
            except InputError as error:
                raise InputError(f"'{path}', row {row}: {error}") from error
        raise
    foreign = np.flatnonzero(~space.valid(genotypes))
    if foreign.size:
        at = int(foreign[0])
        raise InputError(f"'{path}', row {at + 1}: '{known[at]}' is not an architecture of space '{space.name}'")
    first: dict[bytes, int] = {}
    for row, key in enumerate(space.keys(genotypes)):
        if first.setdefault(key, row) != row:
            raise InputError(
                f"'{path}', row {row + 1}: architecture '{known[row]}' is there already in row {first[key] + 1}"
            )
    return genotypes


def _numbers(path: Path, name: str, column: pa.ChunkedArray, archs: list[str | None]) -> NDArray[np.float64]:
    import pyarrow as pa

    def complaint(row: int, what: str) -> InputError:
        return InputError(f"'{path}', column '{name}', row {row + 1} (arch '{archs[row]}'): {what}")

    blank = column.is_null().to_numpy()
    try:
        numbers = np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowException:
        for row, cell in enumerate(column.to_pylist()):
            if cell is not None and not _is_number(cell):
                raise complaint(row, f"'{cell}' is not a number; mend it or drop the column") from None
        raise
    bad = np.flatnonzero(np.isnan(numbers) & ~blank)
    if bad.size:
        raise complaint(int(bad[0]), "NaN is no value; leave the cell blank where nothing was measured")
    numbers[np.isinf(numbers)] = np.nan
    if np.isnan(numbers).all():
        raise InputError(f"'{path}', column '{name}' has no value at all; drop it")
    return numbers


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True
