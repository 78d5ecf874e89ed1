"""What steering does to a running engine: take candidates back, put some in, change the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive.strategies.guided import Guided
from ogive.study.groups import Group
from ogive.study.problem import Problem, Rows, Status
from ogive.study.reassess import reassess, redrawn, tellable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space
    from ogive.strategies.base import Strategy
    from ogive.study.engine import Engine

    Known = list[tuple[Problem, Rows]]


def insert(engine: Engine, genotypes: Genotypes) -> list[int]:
    """Put architectures that a person asked for at the head of the queue; return their numbers."""
    group = Group(Rows.blank(engine.asked, genotypes, len(engine.problem.metrics)), human=True)
    engine.asked += len(genotypes)
    engine.queue.appendleft(group)
    return [int(c) for c in group.rows.candidate]


def withdraw(engine: Engine, unwanted: Callable[[Group], NDArray[np.bool_]], *, begun: bool = False) -> list[int]:
    """Drop the unwanted candidates of the queue whose measurement has not begun, or all; return their numbers.

    They are put down in the journal, which is not written yet. Repeats that waited for one of them are measured
    themselves.
    """
    dropped: list[int] = []
    for group in engine.queue:
        rows = group.rows
        # A queue holds a handful of candidates, and each has to be taken back from whoever would measure it.
        for i in np.flatnonzero(group.open & unwanted(group)).tolist():
            candidate = int(rows.candidate[i])
            if candidate in engine.flying:
                if not (engine.executor.withdraw(candidate) or begun):
                    continue
                engine.flying.discard(candidate)
            group.links.pop(candidate, None)
            rows.status[i] = Status.DROPPED
            dropped.append(candidate)
        gone = np.isin(rows.candidate, dropped)
        if gone.any():
            engine.journal.record(rows.take(gone), now=False)
    engine.untold = {key: c for key, c in engine.untold.items() if c not in dropped}
    _promote(engine, set(dropped))
    return dropped


def _promote(engine: Engine, dropped: set[int]) -> None:
    """Measure what waited for a candidate that was dropped; of several equal ones the first."""
    for group in engine.queue:
        for candidate in [c for c, source in group.links.items() if source in dropped]:
            i = candidate - int(group.rows.candidate[0])
            source = engine.untold.setdefault(engine.problem.keys(group.rows.genotypes[i : i + 1])[0], candidate)
            if source == candidate:
                del group.links[candidate]
                engine.begin(group, candidate)
            else:
                group.links[candidate] = source


def is_new_measurement(old: Problem, new: Problem) -> bool:
    """Return whether a measurement that was begun for one problem is of no use for the other."""
    dear = [[str(c) for c in p.constraints if c.metric in p.dear] for p in (old, new)]
    return old.dear != new.dear or dear[0] != dear[1] or redrawn(old, new)


def settled(engine: Engine) -> list[tuple[Problem, Rows]]:
    """Return what of the queue has come to its end, with the problem it was measured for."""
    parts = [g.rows.take(~g.open & (g.rows.status != Status.DROPPED)) for g in engine.queue]
    return [(engine.problem, rows) for rows in parts if len(rows)]


def tell_again(strategy: Strategy, known: Known, problem: Problem) -> None:
    """Tell a new strategy everything that is known, as its problem sees it."""
    parts = [reassess(rows, measured_for, problem) for measured_for, rows in known]
    if not parts:
        return
    rows = Rows.join(parts)
    rows = rows.take(tellable(rows, problem))
    if len(rows):
        strategy.tell(rows.genotypes, problem.worth(rows), rows.violation)


def age(strategy: Strategy, before: Space, after: Space) -> None:
    """Tell a strategy that keeps evidence which choices have other options than before."""
    options = {c.name: c.options for c in before.choices}
    edited = [i for i, c in enumerate(after.choices) if options.get(c.name, c.options) != c.options]
    if edited and isinstance(strategy, Guided):
        strategy.edited(edited)


def adopt(engine: Engine, problem: Problem, known: Known, *, anew: bool) -> None:
    """Go on with another problem.

    Parameters
    ----------
    engine : Engine
    problem : Problem
    known : list of (Problem, Rows)
        What the strategy knows.
    anew : bool
        Whether the queue is given up, because its measurements are of no use any more.
    """
    if anew:
        engine.queue.clear()
        engine.flying.clear()
    for group in engine.queue:
        group.rows = reassess(group.rows, engine.problem, problem)
    engine.problem = engine.journal.problem = problem
    engine.told = known
    engine.known.clear()
    engine.untold.clear()
    if not engine.free_repeats:
        return
    for measured_for, rows in known:
        engine.learn(reassess(rows, measured_for, problem))
    for group in engine.queue:
        waiting = np.isin(group.rows.candidate, list(group.links))
        source = np.isin(group.rows.status, (Status.PENDING, Status.DONE, Status.FAILED)) & ~waiting
        rows = group.rows.take(source & (np.arange(len(waiting)) < group.seen))
        for key, candidate in zip(problem.keys(rows.genotypes), rows.candidate.tolist(), strict=True):
            if key not in engine.known:
                engine.untold.setdefault(key, candidate)
