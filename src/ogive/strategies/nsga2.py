"""NSGA-II: elitist multi-objective evolution by front and crowding.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions
on Evolutionary Computation 6(2), 2002; constraints as in its section VI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.strategies.base import STRATEGIES, Floats, Strategy, count_option
from ogive.strategies.pareto import crowding_distance, non_dominated_ranks

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space

_ROUNDS = 10


class NSGA2(Strategy):
    """Elitist non-dominated sorting genetic algorithm with constraint domination.

    Parents are replaced each time as many answers as `population` have come in, whoever asked for them. Children that
    repeat a parent, or each other, are drawn again a bounded number of times.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    population : int
        Parents kept from generation to generation.
    crossover : float
        Probability that a child mixes two parents, each choice from either with equal chance; else it copies one.
    mutation : float, optional
        Probability that a choice of a child changes; by default one over the number of choices.
    """

    name = "nsga2"
    batch = 10
    multi_objective = True

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        population: int = 50,
        crossover: float = 0.9,
        mutation: float | None = None,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        self.population = count_option(self.name, "population", population, 2)
        self.crossover = _probability("crossover", crossover)
        self.mutation = 1.0 / space.n_choices if mutation is None else _probability("mutation", mutation)
        nobody = np.empty((0, space.n_choices), dtype=space.dtype)
        self._parents = nobody  # best first: by front, then by crowding
        self._queue = nobody  # proposed next
        self._told = nobody  # the parents, then what was told since
        self._values = np.empty((0, n_objectives))
        self._violation = np.empty(0)

    # ---------------------------------------------------------------- proposals

    def ask(self, n: int) -> Genotypes:
        """Return random draws until there are parents, then their children, ``(n, n_choices)``."""
        if not self.space.permits(self._queue).all():
            self._queue = self._queue[:0]
        while len(self._queue) < n:
            self._queue = np.concatenate([self._queue, self._generation()])
        out, self._queue = self._queue[:n], self._queue[n:]
        return out

    def _generation(self) -> Genotypes:
        """Return one generation of children, new among themselves and to the population where that is possible."""
        held = set(self.space.keys(np.concatenate([self._told, self._queue])))
        rows: list[Genotypes] = []
        missing = self.population
        for _ in range(_ROUNDS):
            drawn = self._children(missing) if len(self._parents) else self.space.sample(missing, self.rng)
            new = []
            for i, key in enumerate(self.space.keys(drawn)):
                if key not in held:
                    held.add(key)
                    new.append(i)
            rows.append(drawn[new])
            missing -= len(new)
            if not missing:
                return np.concatenate(rows)
        return np.concatenate([*rows, self.space.sample(missing, self.rng)])

    def _children(self, n: int) -> Genotypes:
        # Parents are best first, so the smaller of two numbers wins a binary tournament.
        first, second = self.rng.integers(0, len(self._parents), size=(2, 2, n)).min(axis=0)
        mixed = self.rng.random(n) < self.crossover
        partner = np.where(mixed, second, first)
        children = self.space.crossover(self._parents[first], self._parents[partner], self.rng)
        changes = self.rng.binomial(self.space.n_choices, self.mutation, size=n)
        for k in np.unique(changes[changes > 0]).tolist():
            chosen = changes == k
            children[chosen] = self.space.mutate(children[chosen], self.rng, changes=k)
        return children

    # ---------------------------------------------------------------- answers

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Collect answers; when there are as many as the population, keep the best of them and the parents."""
        v = np.asarray(values, dtype=np.float64)
        if v.ndim != 2 or v.shape[1] != self.n_objectives:
            raise InputError(f"values have shape (n, {self.n_objectives}), not {v.shape}")
        broken = np.zeros(len(v)) if violation is None else np.asarray(violation, dtype=np.float64)
        if np.isnan(v).any() or np.isnan(broken).any():
            raise InputError("a value or violation is NaN; tell a failed evaluation as -inf")
        self._told = np.concatenate([self._told, np.asarray(genotypes, dtype=self.space.dtype)])
        self._values = np.concatenate([self._values, v])
        self._violation = np.concatenate([self._violation, broken])
        if len(self._told) - len(self._parents) >= self.population:
            self._select()

    def _select(self) -> None:
        """Replace the parents by the best of everything held; equals in front and crowding in random order."""
        once = np.array(list({key: i for i, key in enumerate(self.space.keys(self._told))}.values()))
        values, violation = self._values[once], self._violation[once]
        ranks = non_dominated_ranks(values, violation)
        crowding = crowding_distance(values, ranks)
        order = np.lexsort((self.rng.random(len(once)), -crowding, ranks))[: self.population]
        kept = once[order]
        self._told, self._values, self._violation = self._told[kept], self._values[kept], self._violation[kept]
        self._parents = self._told
        self._queue = self._queue[:0]

    def _state(self) -> dict[str, Any]:
        return {
            "parents": len(self._parents),
            "queue": self._queue,
            "told": self._told,
            "values": self._values,
            "violation": self._violation,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._queue, self._told = state["queue"], state["told"]
        self._values, self._violation = state["values"], state["violation"]
        self._parents = self._told[: state["parents"]]


def _probability(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise InputError(f"strategy 'nsga2' needs {name} between 0 and 1, not {value}")
    return float(value)


STRATEGIES.add("nsga2", NSGA2)
