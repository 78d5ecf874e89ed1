"""Where imported tables are kept and what they may be called."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ogive._errors import InputError, OgiveError, StorageError
from ogive._paths import data_home
from ogive.metrics._table_columns import Column, TableInfo
from ogive.metrics.base import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def path_of(name: str) -> Path:
    """Return the file of a table, whether it is there or not."""
    return data_home() / "tables" / f"{name}.parquet"


def check_name(name: str) -> None:
    """Refuse a table name that cannot stand after the ``@`` of a metric.

    Raises
    ------
    InputError
        If it has other characters than letters, digits, ``.``, ``_`` and ``-``, or is the source of other metrics.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"table name '{name}' may hold letters, digits, '.', '_' and '-' only")
    if any(m.endswith(f"@{name}") for m in METRICS.names()):
        raise InputError(f"table name '{name}' is taken by the metrics *@{name}; give another name")


def is_table(name: str) -> bool:
    """Return whether a table has been imported under this name."""
    return _NAME.fullmatch(name) is not None and path_of(name).is_file()


def table_names() -> list[str]:
    """Return the names of all imported tables, sorted."""
    return sorted(p.stem for p in path_of("x").parent.glob("*.parquet"))


def table_info(name: str) -> TableInfo:
    """Return an imported table's header.

    Raises
    ------
    StorageError
        If its file is damaged.
    """
    import pyarrow.parquet as pq

    path = path_of(name)
    with naming_damage(path):
        header = pq.read_metadata(path)
        about = json.loads(header.metadata[b"ogive"])
        columns = tuple(Column(c, **about["columns"][c]) for c in about["columns"])
        return TableInfo(name, str(about["space"]), int(header.num_rows), columns, bool(about["by_graph"]))


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes pyarrow and json raise into one line."""
    try:
        yield
    except OgiveError:
        raise
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise StorageError(f"table file {path} is damaged ({type(error).__name__}); import the table again") from error
