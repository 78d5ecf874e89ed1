"""What a model-based strategy has been told, one row an architecture, and what it still waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.strategies.base import Floats, worth
from ogive.strategies.pareto import non_dominated_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space


class History:
    """Answers and open questions of one search. What is told again replaces what was told before.

    Parameters
    ----------
    space : Space
    n_objectives : int

    Attributes
    ----------
    genotypes : ndarray of int, (n, n_choices)
    values : ndarray of float64, (n, n_objectives)
    violation : ndarray of float64, (n,)
    pending : ndarray of int, (p, n_choices)
        Asked for and not told yet.
    """

    def __init__(self, space: Space, n_objectives: int) -> None:
        self._space = space
        self.genotypes = np.empty((0, space.n_choices), dtype=space.dtype)
        self.values = np.empty((0, n_objectives))
        self.violation = np.empty(0)
        self.pending = self.genotypes
        self._row: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.genotypes)

    def asked(self, genotypes: Genotypes) -> None:
        """Note that an answer about some architectures is awaited."""
        self.pending = np.concatenate([self.pending, genotypes])

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None) -> None:
        """Take answers in.

        Raises
        ------
        InputError
            If the values have another number of columns, or one of them or a violation is NaN.
        """
        g, v = np.array(genotypes, dtype=self._space.dtype), np.array(values, dtype=np.float64)
        if v.ndim != 2 or v.shape[1] != self.values.shape[1]:
            raise InputError(f"values have shape (n, {self.values.shape[1]}), not {v.shape}")
        broken = np.zeros(len(v)) if violation is None else np.array(violation, dtype=np.float64)
        if np.isnan(v).any() or np.isnan(broken).any():
            raise InputError("a value or violation is NaN; tell a failed evaluation as -inf")
        keys = self._space.keys(g)
        fresh: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            if key in self._row:
                at = self._row[key]
                self.values[at], self.violation[at] = v[i], broken[i]
            else:
                fresh[key] = i
        new = list(fresh.values())
        self._row.update(zip(fresh, range(len(self), len(self) + len(new)), strict=True))
        self.genotypes = np.concatenate([self.genotypes, g[new]])
        self.values = np.concatenate([self.values, v[new]])
        self.violation = np.concatenate([self.violation, broken[new]])
        told = set(keys)
        kept = [key not in told for key in self._space.keys(self.pending)]
        self.pending = self.pending[kept]

    def rows(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """Return the row of each of these told architectures, ``(n,)``."""
        return np.array([self._row[key] for key in self._space.keys(genotypes)], dtype=np.intp)

    def scores(self) -> Floats:
        """Return each objective with constraint domination worked in, finite, ``(n, n_objectives)``; see `worth`."""
        return self.scored(self.values, self.violation)

    @staticmethod
    def scored(values: Floats, violation: Floats) -> Floats:
        """Return what `scores` returns, of other rows."""
        return np.stack([worth(column[:, None], violation) for column in values.T], axis=1)

    def best_first(self) -> NDArray[np.intp]:
        """Return the rows ordered by non-dominated front, newest first within one."""
        ranks = non_dominated_ranks(self.values, self.violation)
        return np.lexsort((-np.arange(len(self)), ranks))

    def state(self) -> dict[str, Any]:
        """Return everything, as JSON values and arrays."""
        return {
            "genotypes": self.genotypes,
            "values": self.values,
            "violation": self.violation,
            "pending": self.pending,
        }

    @classmethod
    def restored(cls, space: Space, state: dict[str, Any]) -> History:
        """Return the history that gave this state."""
        history = cls(space, state["values"].shape[1])
        history.genotypes, history.values, history.violation = state["genotypes"], state["values"], state["violation"]
        history.pending = state["pending"]
        history._row = {key: i for i, key in enumerate(space.keys(history.genotypes))}
        return history
