"""What candidates measured under one question are worth under another: other objectives, constraints or drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive.metrics.evaluate import evaluate
from ogive.spaces.template import Template
from ogive.study.problem import KNOWN, Rows, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.study.problem import Problem


def reassess(rows: Rows, old: Problem, new: Problem) -> Rows:
    """Return the candidates as another problem sees them; those that are no architecture of its drawing are left out.

    Cheap metrics that `old` did not have are computed; dear ones stay NaN, so that such a candidate counts as a trial
    but is neither on the front nor told. Violations are those of the constraints of `new`, infinite where a candidate
    that was measured lacks the metric. What was rejected half-measured counts as refused. A failure remains one.
    """
    if new is old or not len(rows):
        return rows if new is old else Rows.blank(0, _none(new), len(new.metrics))
    if redrawn(old, new):
        from ogive.spaces.template_revision import translate

        assert isinstance(old.space, Template)
        assert isinstance(new.space, Template)
        genotypes, same = translate(old.space, new.space, rows.genotypes)
        rows = rows.take(same)
        rows.genotypes = genotypes[same]
    else:
        rows = rows.take(np.arange(len(rows)))
    values = np.full((len(rows), len(new.metrics)), np.nan)
    for column, name in enumerate(new.metrics):
        if name in old.metrics:
            values[:, column] = rows.values[:, old.column(name)]
    fresh = [name for name in new.cheap if name not in old.metrics]
    if fresh and len(rows):
        scores = evaluate(fresh, new.space, rows.genotypes, new.context).values
        for name in fresh:
            values[:, new.column(name)] = np.where(np.isfinite(scores[name]), scores[name], np.nan)
    rows.values = values
    rows.status[rows.status == Status.REJECTED] = Status.REFUSED
    rows.violation = np.zeros(len(rows))
    for c in new.constraints:
        found = values[:, new.column(c.metric)]
        unknown = np.isnan(found) & ~KNOWN[rows.status]
        rows.violation += np.where(unknown, 0.0, c.violation(found))
    return rows


def tellable(rows: Rows, problem: Problem) -> NDArray[np.bool_]:
    """Return which candidates say something to a strategy that knows nothing yet, ``(n,)``."""
    complete = KNOWN[rows.status] & np.isfinite(problem.worth(rows)).all(axis=1)
    return np.asarray(complete | (rows.status == Status.FAILED))


def redrawn(old: Problem, new: Problem) -> bool:
    """Return whether the spaces are two drawings."""
    return (
        isinstance(old.space, Template)
        and isinstance(new.space, Template)
        and old.space.to_dict() != new.space.to_dict()
    )


def _none(problem: Problem) -> NDArray[np.integer]:
    return np.zeros((0, problem.space.n_choices), dtype=problem.space.dtype)
