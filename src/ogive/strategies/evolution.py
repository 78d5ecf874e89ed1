"""Ageing evolution: the best of a random sample has a mutated child, and the oldest member dies.

Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.strategies.base import STRATEGIES, Floats, Strategy, count_option, worth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space


class Evolution(Strategy):
    """Regularised (ageing) evolution of one objective.

    Parameters
    ----------
    space, n_objectives, seed, lanes
        See `Strategy`.
    population : int
        Members alive, P in the paper. The first P proposals are random.
    sample : int
        Members drawn, with replacement, for each tournament; S in the paper, which has P=100 and S=25 for searches of
        20,000 evaluations. The defaults suit searches of a few hundred.
    """

    name = "evolution"
    batch = 10
    lockstep = True

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        lanes: int = 1,
        population: int = 30,
        sample: int = 10,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed, lanes=lanes)
        self.population = count_option(self.name, "population", population, 2)
        self.sample = count_option(self.name, "sample", sample, 1)
        if self.population > 60_000:
            raise InputError(f"strategy 'evolution' keeps at most 60,000 members, not {population}")
        # Slot-major, so that all lanes replace one contiguous slot.
        self._members = np.zeros((population, lanes, space.n_choices), dtype=space.dtype)
        self._worth = np.zeros((population, lanes))
        self._asked = 0
        self._told = 0

    def ask(self, n: int) -> Genotypes:
        """Return random draws for the first population, then mutated winners, ``(n * lanes, n_choices)``."""
        fresh = min(n, max(0, self.population - max(self._asked, self._told)))
        if self._told == 0:
            fresh = n
        self._asked += n
        if fresh == n:
            return self.space.sample(n * self.lanes, self.rng)
        children = self.space.mutate(self._winners(n - fresh), self.rng)
        return np.concatenate([self.space.sample(fresh * self.lanes, self.rng), children]) if fresh else children

    def _winners(self, n: int) -> Genotypes:
        """Return the best of a tournament for each of n children of every lane, ``(n * lanes, n_choices)``."""
        alive = min(self._told, self.population)
        drawn = self.rng.integers(0, alive, size=(self.sample, n, self.lanes), dtype=np.uint16)
        at = drawn.astype(np.intp) * self.lanes + np.arange(self.lanes)
        at = at.reshape(self.sample, -1)
        best = self._worth.reshape(-1).take(at).argmax(axis=0)
        winner = at[best, np.arange(at.shape[1])]
        return np.asarray(self._members.reshape(-1, self.space.n_choices)[winner])

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Take the rows in as the youngest members, in the order given; the oldest make room."""
        scores = worth(values, violation).reshape(-1, self.lanes)
        n = len(scores)
        kept = np.arange(max(0, n - self.population), n)
        slots = (self._told + kept) % self.population
        rows = np.asarray(genotypes).reshape(n, self.lanes, -1)
        self._members[slots], self._worth[slots] = rows[kept], scores[kept]
        self._told += n

    def _state(self) -> dict[str, Any]:
        return {"members": self._members, "worth": self._worth, "asked": self._asked, "told": self._told}

    def _restore(self, state: dict[str, Any]) -> None:
        self._members, self._worth = state["members"], state["worth"]
        self._asked, self._told = state["asked"], state["told"]

    @property
    def members(self) -> tuple[Genotypes, NDArray[np.float64]]:
        """Members alive, ``(members, lanes, n_choices)``, and what each is worth, ``(members, lanes)``."""
        alive = min(self._told, self.population)
        return self._members[:alive], self._worth[:alive]


STRATEGIES.add("evolution", Evolution)
