"""The architectures a model-based strategy chooses among: the whole space where it is small, else a fresh sample."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ogive.spaces.paths import live_forms, written_cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space
    from ogive.strategies._history import History

_ENUMERABLE = 20_000
_RANDOM = 1000
_ELITES = 10
_NEIGHBOURS = 100
_MUTANTS = 50


class Pool:
    """Candidates and the classes of architectures that compute the same function.

    Parameters
    ----------
    space : Space
    genotypes : ndarray of int, (m, n_choices)
        Repeats are dropped.

    Attributes
    ----------
    genotypes : ndarray of int, (m, n_choices)
    kind : ndarray of int, (m,)
        Class of each candidate, numbered from 0.
    first : ndarray of int, (k,)
        The candidate of each class that has the least in it.
    cost : ndarray of float32, (m,)
        What is written down in each candidate, dead layers included: see `ogive.spaces.paths.written_cost`.
    """

    def __init__(self, space: Space, genotypes: Genotypes) -> None:
        once = {key: i for i, key in enumerate(space.keys(genotypes))}
        self.genotypes = np.asarray(genotypes[list(once.values())])
        self._space = space
        self._row = {key: i for i, key in enumerate(once)}
        number: dict[bytes, int] = {}
        kinds = [number.setdefault(key, len(number)) for key in space.keys(space.canonical(self.genotypes))]
        self.kind = np.array(kinds, dtype=np.intp)
        self.cost = written_cost(space, self.genotypes)
        order = np.lexsort((self.cost, self.kind))
        self.first = order[np.unique(self.kind[order], return_index=True)[1]]

    def __len__(self) -> int:
        return len(self.genotypes)

    @cached_property
    def form(self) -> NDArray[np.intp]:
        """Number of each candidate's live form, ``(m,)``; see `ogive.spaces.paths.live_forms`."""
        return live_forms(self._space, self.genotypes)

    def rows(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """Return where some architectures stand among the candidates; those that do not are left out."""
        found = (self._row.get(key) for key in self._space.keys(genotypes))
        return np.array([row for row in found if row is not None], dtype=np.intp)


def enumerable(space: Space) -> bool:
    """Return whether the restricted space is small enough to look at all of it."""
    return bool(math.prod(space.restriction.allowed.sum(axis=1).tolist()) <= _ENUMERABLE)


def sampled(space: Space, history: History, rng: np.random.Generator) -> Genotypes:
    """Return random architectures, neighbours of the best ones told, and mutants of these, ``(m, n_choices)``."""
    elites = history.genotypes[history.best_first()[:_ELITES]]
    parts = [space.sample(_RANDOM, rng)]
    for elite in elites[space.permits(elites)]:
        near = space.neighbours(elite)
        parts.append(near[rng.permutation(len(near))[:_NEIGHBOURS]])
        parts += [space.mutate(np.repeat(elite[None], _MUTANTS, axis=0), rng, changes=k) for k in (2, 3)]
    return np.concatenate(parts)
