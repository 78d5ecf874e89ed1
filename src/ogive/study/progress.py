"""A progress bar on standard error: trials, best so far, time left."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ogive.study.problem import COUNTED, KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

    from ogive.study.problem import Problem, Rows


class Listener(Protocol):
    """Is told of candidates that have come to their end."""

    def __call__(self, rows: Rows) -> None:
        """Take in some candidates."""


@contextmanager
def progress_bar(problem: Problem, done: int, total: int, best: float, show: bool | None) -> Iterator[Listener]:
    """Show a bar while the block runs; the listener it yields moves it.

    Parameters
    ----------
    problem : Problem
    done, total : int
        Trials there are and trials there will be.
    best : float
        Best value of the first objective so far, NaN if there is none.
    show : bool, optional
        By default only on a terminal.
    """
    if not _wanted(show):
        yield lambda _: None
        return
    with _bar() as bar:
        task = bar.add_task("searching", total=total, completed=done, best=_text(problem, best))
        yield _mover(problem, best, lambda n, text: bar.update(task, advance=n, best=text))


@contextmanager
def counting_bar(what: str, total: int, show: bool | None) -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` things while the block runs; yields what moves it."""
    if not _wanted(show) or not total:
        yield lambda _: None
        return
    with _bar() as bar:
        task = bar.add_task(what, total=total, best="")
        yield lambda n: bar.update(task, advance=n)


def _wanted(show: bool | None) -> bool:
    return sys.stderr.isatty() if show is None else show


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[best]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _mover(problem: Problem, best: float, move: Callable[[int, str], None]) -> Listener:
    top = best * problem.signs[0] if np.isfinite(best) else -np.inf

    def listen(rows: Rows) -> None:
        nonlocal top
        fit = KNOWN[rows.status] & (rows.violation == 0)
        if fit.any():
            top = max(top, float(problem.worth(rows)[fit, 0].max()))
        move(int(COUNTED[rows.status].sum()), _text(problem, top * problem.signs[0]))

    return listen


def _text(problem: Problem, best: float) -> str:
    return f"best {problem.objectives[0]} {best:.6g}" if np.isfinite(best) else "nothing found yet"
