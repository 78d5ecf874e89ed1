"""What a study found: its trials, the Pareto front and the architecture to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.strategies.pareto import pareto_mask
from ogive.study.problem import COUNTED, KNOWN, Problem, Rows, Status

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import nn

    from ogive.spaces.base import Genotypes, Space
    from ogive.study.finalists import Winner
    from ogive.tasks.base import Task


@dataclass(frozen=True)
class Best:
    """The architecture a study recommends.

    Attributes
    ----------
    arch : str
    metrics : dict of str to float
        What was measured during the search.
    genotype : ndarray of int, (n_choices,)
    """

    arch: str
    metrics: dict[str, float]
    genotype: Genotypes
    space: Space
    task: Task | None

    def build(self) -> nn.Module:
        """Return the network with fresh weights, a plain PyTorch module.

        Raises
        ------
        InputError
            If the study has no task, or its space only names architectures.
        """
        from ogive._errors import InputError

        if self.task is None:
            raise InputError("the study has no task, so the network's input and output shapes are unknown")
        return self.space.build(self.genotype, self.task)


class Results:
    """A view of the candidates of a study.

    Parameters
    ----------
    problem : Problem
    rows : Rows
        All candidates, ordered by number.
    elsewhere : int
        Trials of architectures that only another revision of the drawing has.
    winner : Winner, optional
        The finalist that was best when trained alone, where shared weights ranked.
    """

    def __init__(self, problem: Problem, rows: Rows, elsewhere: int = 0, winner: Winner | None = None) -> None:
        self.problem, self.rows, self.elsewhere, self.winner = problem, rows, elsewhere, winner

    @property
    def n_trials(self) -> int:
        """Architectures measured, those that failed and those of other revisions included."""
        return int(COUNTED[self.rows.status].sum()) + self.elsewhere

    def counts(self) -> dict[str, int]:
        """Return how many candidates came to each end."""
        found = np.bincount(self.rows.status, minlength=len(Status))
        return {s.name.lower(): int(found[s]) for s in Status if found[s]}

    def trials(self) -> pd.DataFrame:
        """Return one row a trial in the order of the draws: arch, metrics, violation, status, seconds, reason."""
        rows = self.rows.take(COUNTED[self.rows.status])
        frame = self._frame(rows)
        frame["status"] = [Status(s).name.lower() for s in rows.status.tolist()]
        frame["seconds"] = rows.seconds
        frame["reason"] = [rows.reasons.get(c, "") for c in rows.candidate.tolist()]
        return frame

    def front(self) -> pd.DataFrame:
        """Return the non-dominated architectures that meet all constraints, best first objective first.

        A repeat of a known network in another notation is free but may be the better one (fewer operations that do
        nothing), so it can be on the front.
        """
        return self._frame(self.rows.take(self.front_positions()))

    def front_positions(self) -> NDArray[np.intp]:
        """Return the rows of the front."""
        worth = self.problem.worth(self.rows)
        fit = KNOWN[self.rows.status] & (self.rows.violation == 0) & np.isfinite(worth).all(axis=1)
        at = np.flatnonzero(fit)
        if not at.size:
            return at
        _, first = np.unique(self.rows.genotypes[at], axis=0, return_index=True)
        at = at[np.sort(first)]
        at = at[pareto_mask(worth[at])]
        # Best in the first objective first; ties by the later objectives, then by age.
        return at[np.lexsort((at, *(-worth[at].T[::-1])))]

    def best(self) -> Best | None:
        """Return the architecture to take; None if none meets the constraints.

        It is the best in the first objective, ties decided by the others, or the winner of the finalists.
        """
        at = self.front_positions()
        if not at.size:
            return None
        i, alone = int(at[0]), {}
        if self.winner is not None:
            same = (self.rows.genotypes == self.winner.genotype).all(axis=1)
            found = np.flatnonzero(same & KNOWN[self.rows.status] & (self.rows.violation == 0))
            if found.size:
                i, alone = int(found[-1]), {"accuracy@train": self.winner.accuracy}
        genotype = self.rows.genotypes[i]
        values = dict(zip(self.problem.metrics, self.rows.values[i].tolist(), strict=True)) | alone
        return Best(
            self.problem.space.format(genotype), values, genotype, self.problem.space, self.problem.context.task
        )

    def history(self) -> NDArray[np.float64]:
        """Return the best value of the first objective after each trial, in its own direction; NaN before the first."""
        rows = self.rows.take(COUNTED[self.rows.status])
        worth = self.problem.worth(rows)[:, 0]
        worth = np.where(rows.violation == 0, worth, -np.inf)
        best = np.maximum.accumulate(worth) if len(worth) else worth
        return np.where(np.isfinite(best), best * self.problem.signs[0], np.nan)

    def _frame(self, rows: Rows) -> pd.DataFrame:
        import pandas as pd

        data: dict[str, Any] = {"arch": self.problem.space.format_many(rows.genotypes) if len(rows) else []}
        data |= dict(zip(self.problem.metrics, rows.values.T, strict=True))
        return pd.DataFrame(data | {"violation": rows.violation})
