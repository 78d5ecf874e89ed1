"""Metrics that must not be read: inside the block any attempt raises, so that a search provably saw none of them."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class LeakError(InputError, RuntimeError):
    """Something read a metric that the running search must not know; it ends the study, not just one trial."""


_forbidden: ContextVar[frozenset[str]] = ContextVar("forbidden", default=frozenset())


@contextmanager
def forbidden(*specs: str) -> Iterator[None]:
    """Forbid reading some metrics in this block; blocks nest, and an inner one adds to the outer ones.

    ``column@table`` forbids the column, also as part of ``percentile:column@table``; ``quantity@source/task`` forbids
    every measurement on that task, whatever the quantity; any other metric cannot be evaluated. It holds for the
    thread or asynchronous task that entered the block, and for workers that a study starts there.

    Parameters
    ----------
    *specs : str
        Metrics.

    Raises
    ------
    UnknownNameError
        If there is no such metric.
    LeakError
        Inside the block, if one of the metrics is read.
    """
    names = frozenset(name for spec in specs for name in _sources(spec))
    token = _forbidden.set(_forbidden.get() | names)
    try:
        yield
    finally:
        _forbidden.reset(token)


def _sources(spec: str) -> list[str]:
    """Return what must not be read so that nobody learns the metric: its task, its columns, or itself."""
    from ogive.metrics._table_columns import PercentileColumns
    from ogive.metrics.base import resolve

    metric, slash, task = resolve(spec).name.partition("/")
    if slash:
        return [f"/{task}"]
    quantity, at, table = metric.partition("@")
    derived = PercentileColumns.parse(quantity)
    return [f"{c}{at}{table}" for c in (derived.columns if derived else (quantity,))]


def check(name: str) -> None:
    """Say that something is about to be read: a metric, a table's ``column@table``, or the data of ``/task``.

    Raises
    ------
    LeakError
        If it must not be.
    """
    if name in _forbidden.get():
        what = f"the data of task '{name[1:]}'" if name.startswith("/") else f"'{name}'"
        raise LeakError(
            f"{what} was about to be read, but the search must not know this target; read it when the search is over"
        )


def held() -> list[str]:
    """Return all that must not be read here, for a process that `hold` forbids it too."""
    return sorted(_forbidden.get())


def hold(names: Iterable[str]) -> None:
    """Forbid what `held` gave, for good."""
    _forbidden.set(_forbidden.get() | frozenset(names))
