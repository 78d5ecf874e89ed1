"""Reading tables of latencies: cells, and the ways in which files name architectures. Every complaint names the row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from ogive.spaces.base import Genotypes, Space

Floats = NDArray[np.float64]


def read_frame(path: Path) -> pd.DataFrame:
    """Return the file's cells as text, blanks as empty."""
    import pandas as pd

    if not path.is_file():
        raise InputError(f"file '{path}' does not exist")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).astype(str).replace({"nan": "", "None": "", "NaN": ""})
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"'{path}' cannot be read as a table: {reason}") from error


def numeric(column: pd.Series[Any]) -> bool:
    """Return whether the first filled cell is a number: a description column is no device."""
    filled = column[column != ""]
    return not filled.empty and bool(np.isfinite(number(filled.iloc[0])))


def number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def numbers(path: str | Path, name: str, column: pd.Series[Any]) -> Floats:
    """Return the column's numbers, NaN where blank."""
    filled = (column != "").to_numpy()
    values = np.array([number(cell) for cell in column], dtype=np.float64)
    bad = np.flatnonzero(filled & ~np.isfinite(values))
    if bad.size:
        at = int(bad[0])
        raise InputError(
            f"'{path}', column '{name}', row {at + 1}: '{column.iloc[at]}' is not a finite number; leave the cell "
            "blank where nothing was measured, or write -1 where the network failed"
        )
    return values


def architectures(path: str | Path, frame: pd.DataFrame, space: Space) -> Genotypes:
    own: tuple[str, ...] = getattr(space, "table_columns", ())
    read: Callable[[list[str]], Genotypes]
    if "arch" in frame.columns:
        texts, read = frame["arch"].tolist(), space.parse_many
    elif own and all(c in frame.columns for c in own):
        texts = [" ".join(row) for row in zip(*(frame[c] for c in own), strict=True)]
        read = partial(_from_columns, space)
    elif "ops" in frame.columns:
        texts, read = frame["ops"].tolist(), partial(_from_numbers, space)
    else:
        wanted = " or ".join(["'arch'", "'ops'", *([", ".join(own)] if own else [])])
        raise InputError(f"'{path}' has no column that names architectures; add {wanted}")
    if not texts:
        raise InputError(f"'{path}' has no rows")
    try:
        genotypes = read(texts)
    except InputError:
        # One by one, only to name the row.
        for row, text in enumerate(texts, start=1):
            try:
                read([text])
            except InputError as error:
                raise InputError(f"'{path}', row {row}: {error}") from error
        raise
    return _distinct(path, texts, genotypes, space)


def _distinct(path: str | Path, texts: list[str], genotypes: Genotypes, space: Space) -> Genotypes:
    foreign = np.flatnonzero(~space.valid(genotypes))
    if foreign.size:
        at = int(foreign[0])
        raise InputError(f"'{path}', row {at + 1}: '{texts[at]}' is not an architecture of space '{space.name}'")
    first: dict[bytes, int] = {}
    for row, key in enumerate(space.keys(genotypes)):
        if first.setdefault(key, row) != row:
            raise InputError(f"'{path}', row {row + 1}: '{texts[row]}' is there already in row {first[key] + 1}")
    return genotypes


def _from_columns(space: Space, texts: Sequence[str]) -> Genotypes:
    """Read genotypes from the cells of the space's own columns, joined by blanks."""
    found: Genotypes = space.from_table([text.split(" ") for text in texts])  # type: ignore[attr-defined]
    return found


def _from_numbers(space: Space, texts: Sequence[str]) -> Genotypes:
    """Read genotypes written as the numbers of their options, ``3-3-4-1-3-1``."""
    rows = []
    for text in texts:
        numbers = text.split("-")
        legal = len(numbers) == space.n_choices and all(
            n.isdigit() and int(n) < len(c.options) for n, c in zip(numbers, space.choices, strict=False)
        )
        if not legal:
            raise InputError(
                f"'{text}' is not {space.n_choices} numbers of options of space '{space.name}', joined by '-'"
            )
        rows.append([int(n) for n in numbers])
    return np.array(rows, dtype=space.dtype)
