"""What the evaluations of any study say of the options of its space, under its present question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.strategies.evidence import Evidence, Suggestion, gather, rewards, suggestions
from ogive.strategies.pareto import non_dominated_ranks
from ogive.study.one_shot import SLICE
from ogive.study.problem import Rows, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Space
    from ogive.study.steered import Steered

_HALF_LIFE = 3  # slices of the supernet's training, as in guided search


@dataclass(frozen=True)
class Known:
    """The evaluations of a study that say something of the present question.

    Attributes
    ----------
    rows : Rows
        What was measured or failed.
    standing : ndarray of float64, (n,)
        Mid-rank percentile of each within its evidence epoch; with several objectives that of its front.
    epoch : ndarray of int64, (n,)
        Slices of the supernet's training before it was drawn, less the first; 0 without such a training.
    slices : list of dict
        What was logged of those slices.
    """

    rows: Rows
    standing: NDArray[np.float64]
    epoch: NDArray[np.int64]
    slices: list[dict[str, Any]]

    @classmethod
    def of(cls, study: Steered) -> Known:
        """Read them from a study's log."""
        results = study.results()
        rows = results.rows.take(np.isin(results.rows.status, (Status.DONE, Status.FAILED)))
        slices = [event.data for event in study.events(kinds=(SLICE,))]
        epoch = np.searchsorted([s["candidate"] for s in slices[1:]], rows.candidate, side="right").astype(np.int64)
        worth, ranks = results.problem.worth(rows), np.zeros(len(rows))
        for label in np.unique(epoch):
            of = epoch == label
            ranks[of] = non_dominated_ranks(worth[of], rows.violation[of])
        return cls(rows, rewards(-ranks, epoch), epoch, slices)

    def evidence(self, space: Space) -> Evidence:
        """Return what they say of every part of the space."""
        last = self.slices[-1]["exposure"] if self.slices else None
        fits = last is not None and np.shape(last) == space.restriction.allowed.shape
        exposure = np.array(last, dtype=np.int64) if fits else None
        age = max(len(self.slices) - 1, 0) - self.epoch
        weights = np.asarray(0.5 ** (age // _HALF_LIFE), dtype=np.float64)
        genotypes = self.rows.genotypes
        return gather(space, genotypes, self.standing, epoch=self.epoch, weights=weights, exposure=exposure)

    def suggestions(self, space: Space) -> list[Suggestion]:
        """Return the options they speak against; nothing acts on them by itself."""
        return suggestions(space, self.evidence(space), self.rows.genotypes, self.standing)
