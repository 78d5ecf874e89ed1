"""Who a search with shared weights ends with: a few architectures that are trained alone, of which validation chooses.

A supernet orders architectures roughly, and least well where it matters, among the best; so its own favourite is never
the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ogive._errors import InfeasibleError
from ogive.study.problem import KNOWN, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes
    from ogive.study.events import Event
    from ogive.study.problem import Problem
    from ogive.study.study import Study

FINALIST = "finalist"
"""Role of their trainings among the events of the final stage."""

_MOST = 4
_RESCORED = 256


class Winner(NamedTuple):
    """The finalist with the highest mean validation accuracy, in percent."""

    genotype: Genotypes
    accuracy: float


def needed(problem: Problem) -> bool:
    """Return whether the search ranks by shared weights: its first objective is one of a supernet."""
    return problem.objectives[0].partition("@")[2].partition("/")[0] == "supernet"


def winner(problem: Problem, events: Iterable[Event]) -> Winner | None:
    """Return the finalist that validation chooses; None before any has been trained.

    Parameters
    ----------
    problem : Problem
    events : iterable of Event
        Trainings of the final stage.
    """
    found: dict[bytes, tuple[Genotypes, list[float]]] = {}
    for event in events:
        if event.data["role"] == FINALIST and event.data["validation"] is not None:
            genotype = np.array(event.data["genotype"], dtype=problem.space.dtype)
            found.setdefault(genotype.tobytes(), (genotype, []))[1].append(event.data["validation"])
    means = [Winner(genotype, float(np.mean(values))) for genotype, values in found.values()]
    return max(means, key=lambda w: w.accuracy, default=None)


def choose(study: Study, most: int = _MOST) -> Genotypes:
    """Return the finalists, ``(n, n_choices)``: the best by the supernet, what is pinned, what the evidence assembles.

    Only architectures that meet the constraints. Where the study trained the supernet itself, the best are those
    under its final weights, because values of different moments of the training do not compare.
    """
    from ogive.strategies.evidence import assemble, gather

    problem = study.problem
    rows = study.results().rows
    rows = rows.take(KNOWN[rows.status] & (rows.violation == 0) & np.isfinite(problem.worth(rows)).all(axis=1))
    if not len(rows):
        return rows.genotypes
    worth = problem.worth(rows)[:, 0]
    order = np.argsort(-worth, kind="stable")
    _, first = np.unique(rows.genotypes[order], axis=0, return_index=True)
    rows, worth = rows.take(order[np.sort(first)]), worth[order[np.sort(first)]]
    if study.one_shot is not None:
        rows, worth = _rescored(study, rows.take(slice(0, _RESCORED)))
    best = rows.genotypes[:most]
    pinned = rows.genotypes[np.isin(rows.candidate, _pinned(study))]
    try:
        assembled = assemble(problem.space, gather(problem.space, rows.genotypes, worth))
        assembled = assembled[_fit(problem, assembled)]
    except InfeasibleError:
        assembled = best[:0]
    every = np.concatenate([best, pinned, assembled])
    _, first = np.unique(problem.space.canonical(every), axis=0, return_index=True)
    return np.asarray(every[np.sort(first)])


def _rescored(study: Study, rows: Rows) -> tuple[Rows, NDArray[np.float64]]:
    """Return the rows ordered by what they are worth with the final weights of the study's supernet."""
    assert study.one_shot is not None
    study.one_shot.serve(study.problem)
    objective, sign = study.problem.objectives[0], study.problem.signs[0]
    scorer = study.one_shot.trainer.scorer
    # One forward pass an architecture: each has its own batch statistics.
    worth = np.array([sign * scorer(g)[objective.partition("@")[0]] for g in rows.genotypes])
    order = np.argsort(-worth, kind="stable")
    return rows.take(order), worth[order]


def _pinned(study: Study) -> list[int]:
    notes = study.steering.notes
    return [int(target) for target, note in notes.items() if note["pinned"] and target.isdigit()]


def _fit(problem: Problem, genotypes: Genotypes) -> NDArray[np.bool_]:
    rows = Rows.blank(0, genotypes, len(problem.metrics))
    problem.look(rows)
    return np.asarray(rows.violation == 0)
