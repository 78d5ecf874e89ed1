"""Guided search: draw every choice from what the evidence says about its options, and keep looking elsewhere too.

The loop of Tyagi, Xie and Mueller, "NAS-Navigator: Visual Steering for Explainable One-Shot Deep Neural Network
Synthesis", IEEE VIS 2022, made concrete: a person can read the distribution, and push it with nudges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ogive._errors import InputError
from ogive.spaces.preference import softmax
from ogive.strategies._history import History
from ogive.strategies._set_shares import set_shares
from ogive.strategies.base import STRATEGIES, Floats, Strategy
from ogive.strategies.evidence import fitness, rewards
from ogive.strategies.pareto import non_dominated_ranks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space

KINDS = ("uniform", "mutation", "guided")

_PARENTS = 5
_ROUNDS = 20
_LAST_DRAWS = 256
_HALF_LIFE = 3  # refreshes of the supernet


class Origin(NamedTuple):
    """Why a candidate was proposed.

    Attributes
    ----------
    kind : {"uniform", "mutation", "guided"}
    parent : tuple of int or None
        Genotype that a mutation changed.
    probability : float
        Of the candidate under the distribution of that moment.
    """

    kind: str
    parent: tuple[int, ...] | None
    probability: float


def slider(position: float) -> dict[str, float]:
    """Return the options ``T`` and ``uniform`` of a position between exploit, 0, and explore, 1.

    They move together and evenly on a logarithmic scale: T over [0.02, 1], the uniform share over [0.02, 0.5].

    Raises
    ------
    InputError
        If the position is not in [0, 1].
    """
    _check("the slider", "position", position, 0.0, 1.0)
    return {"T": 0.02 * 50.0**position, "uniform": 0.02 * 25.0**position}


class Guided(Strategy):
    """Guided search of one or several objectives.

    A proposal is, by chance, one of three: a uniform draw from the space; one of the five best so far with one choice
    drawn anew; or a guided walk, every choice drawn with probability proportional to ``exp(score / T)``, where ``score
    = fitness + c sqrt(ln(1 + N) / (1 + n))`` of N evaluations, n of which have the option, and its nudge adds a half.
    An option that is a set of alternatives has the probability that Gumbel-top-k draws them when it draws as many.
    Restrictions decide over everything. Proposals are new: what is no architecture or has been proposed before is drawn
    again, up to 20 times, and last replaced by a uniform draw that is new, if one turns up.

    Fitness is learnt from mid-rank percentiles, in several objectives of the non-dominated fronts, so that values may
    drift from one evidence epoch to the next. See `ogive.strategies.evidence`.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    T : float
        Temperature: how many points of fitness make the odds of an option e times as high.
    uniform, mutation : float
        Shares of the proposals.
    c : float
        Weight of what has hardly been tried.

    Attributes
    ----------
    nudges : ndarray of float64, (n_choices, max options)
        Human preferences from -1 to 1, 0 at first; assign or change them at any time.
    origins : list of Origin
        One for each proposal of the last `ask`.
    """

    name = "guided"
    multi_objective = True
    batch = 8

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        T: float = 0.10,
        uniform: float = 0.12,
        mutation: float = 0.25,
        c: float = 0.25,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        self.T = _check(f"strategy '{self.name}'", "T", T, 1e-3, 1e3)
        self.uniform = _check(f"strategy '{self.name}'", "uniform", uniform, 0.0, 1.0)
        self.mutation = _check(f"strategy '{self.name}'", "mutation", mutation, 0.0, 1.0 - self.uniform)
        self.c = _check(f"strategy '{self.name}'", "c", c, 0.0, 1e3)
        self.nudges = np.zeros(space.restriction.allowed.shape)
        self.origins: list[Origin] = []
        self._history = History(space, n_objectives)
        self._epoch = self._refreshes = 0
        self._stamps = np.zeros((0, 2), dtype=np.int64)  # epoch and refreshes at the time of each answer
        self._edits = np.zeros((0, space.n_choices), dtype=np.int64)  # later edits of each choice
        self._seen: set[bytes] = set()

    # ---------------------------------------------------------------- what is known

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Take answers into the present evidence epoch; an answer told again replaces the older one."""
        self._history.tell(genotypes, values, violation)
        new = len(self._history) - len(self._stamps)
        self._stamps = np.concatenate([self._stamps, np.zeros((new, 2), dtype=np.int64)])
        self._edits = np.concatenate([self._edits, np.zeros((new, self.space.n_choices), dtype=np.int64)])
        rows = self._history.rows(np.asarray(genotypes, dtype=self.space.dtype))
        self._stamps[rows], self._edits[rows] = (self._epoch, self._refreshes), 0
        self._seen.update(self._keys(genotypes))

    def new_epoch(self) -> None:
        """Begin an evidence epoch: what is told from now on is not compared with what was told before."""
        self._epoch += 1

    def refreshed(self) -> None:
        """Note that the supernet has been trained on: after three of these an answer counts half."""
        self._refreshes += 1

    def edited(self, choices: Iterable[int]) -> None:
        """Note that some choices have been edited: what older answers say about their options counts half."""
        self._edits[:, list(choices)] += 1

    def standing(self) -> Floats:
        """Return the reward of every answer told, its mid-rank percentile in its epoch, ``(n,)``."""
        values, violation, epoch = self._history.values, self._history.violation, self._stamps[:, 0]
        ranks = np.empty(len(values))
        for label in np.unique(epoch):
            rows = epoch == label
            ranks[rows] = non_dominated_ranks(values[rows], violation[rows])
        return rewards(-ranks, epoch)

    def weights(self) -> Floats:
        """Return how much every answer counts as evidence about every part, ``(n, n_parts)``."""
        age = (self._refreshes - self._stamps[:, 1]) // _HALF_LIFE
        return np.asarray(0.5 ** (age[:, None] + self._edits[:, self.space.part_choices]))

    # ---------------------------------------------------------------- distribution

    def distribution(self) -> Floats:
        """Return the probability of each option in a guided walk, ``(n_choices, max options)``; each row adds up to 1.

        It is what the next `ask` draws from, also after `nudges`, `T` or the restriction have been changed.
        """
        parts = self.space.parts(self._history.genotypes)
        n = parts.sum(axis=0)
        bonus = self.c * np.sqrt(math.log1p(len(parts)) / (1.0 + n))
        score = fitness(parts, self.standing(), self.weights()) + bonus
        allowed, weights = self.space.restriction.allowed, self.space.restriction.weights
        logits = self._logits(score / self.T) + self.nudges / (2.0 * self.T)
        return softmax(np.where(allowed, logits + np.log(np.where(allowed, weights, 1.0)), -np.inf))

    def _logits(self, score: Floats) -> Floats:
        """Return the logits of options, given those of their parts."""
        out = np.zeros(self.nudges.shape)
        starts = np.searchsorted(self.space.part_choices, np.arange(self.space.n_choices))
        # One step a choice: choices differ in how many parts they have and how many of them an option holds.
        for j, (start, sets) in enumerate(zip(starts, self.space.part_sets, strict=True)):
            own = score[start : start + sets.shape[1]]
            sizes = sets.sum(axis=1)
            for size in np.unique(sizes):
                rows = np.flatnonzero(sizes == size)
                if size == 1 and rows.size == len(sizes):
                    out[j, rows] = sets @ own
                else:
                    share = set_shares(own, sets[rows]) * rows.size
                    out[j, rows] = np.log(np.maximum(share, np.finfo(np.float64).tiny))
        return out

    # ---------------------------------------------------------------- proposals

    def ask(self, n: int) -> Genotypes:
        """Return new candidates, ``(n, n_choices)``; once none can be found, repeats."""
        p = self.distribution()
        parents = self._parents()
        bounds = np.cumsum([self.uniform, self.mutation if len(parents) else 0.0])
        kind = np.searchsorted(bounds, self.rng.random(n), side="right")
        out = np.zeros((n, self.space.n_choices), dtype=self.space.dtype)
        parent = np.full(n, -1)
        todo = np.arange(n)
        for _ in range(_ROUNDS):
            out[todo], parent[todo] = self._draw(kind[todo], parents, p)
            todo = todo[~self._take(out[todo], todo.size)]
            if not todo.size:
                break
        else:
            self._fill(out, todo)
            kind[todo], parent[todo] = 0, -1
        chance = p[np.arange(out.shape[1]), out].prod(axis=1)
        self.origins = [
            Origin(KINDS[k], tuple(parents[i].tolist()) if i >= 0 else None, float(q))
            for k, i, q in zip(kind.tolist(), parent.tolist(), chance, strict=True)
        ]
        self._history.asked(out)
        return out

    def _parents(self) -> Genotypes:
        """Return the best answers inside the restriction, newest first among equals, where one can be mutated."""
        g = self._history.genotypes
        usable = np.flatnonzero(self.space.permits(g))
        if not (self.space.restriction.allowed.sum(axis=1) > 1).any():
            usable = usable[:0]
        order = np.lexsort((-usable, -self.standing()[usable]))
        return np.asarray(g[usable[order[:_PARENTS]]])

    def _draw(self, kind: NDArray[np.intp], parents: Genotypes, p: Floats) -> tuple[Genotypes, NDArray[np.intp]]:
        """Return one candidate of each kind asked for, which may be no architecture, and the parent it has or -1."""
        out = _drawn(np.broadcast_to(p, (len(kind), *p.shape)), self.rng).astype(self.space.dtype)
        parent = np.full(len(kind), -1)
        changed = np.flatnonzero(kind == KINDS.index("mutation"))
        if changed.size:
            parent[changed] = self.rng.integers(0, len(parents), size=changed.size)
            out[changed] = self._mutated(parents[parent[changed]], p)
        free = np.flatnonzero(kind == KINDS.index("uniform"))
        out[free] = self.space.sample(free.size, self.rng)
        return out, parent

    def _mutated(self, parents: Genotypes, p: Floats) -> Genotypes:
        """Return each parent with one choice drawn anew, another option than it has."""
        children, rows = parents.copy(), np.arange(len(parents))
        mutable = np.flatnonzero(self.space.restriction.allowed.sum(axis=1) > 1)
        column = mutable[self.rng.integers(0, mutable.size, size=len(parents))]
        # An allowed option keeps a chance where the one there is has all of it.
        odds = np.where(self.space.restriction.allowed, np.maximum(p, np.finfo(np.float64).tiny), 0.0)[column]
        odds[rows, parents[rows, column]] = 0.0
        children[rows, column] = _drawn(odds, self.rng)
        return children

    def _take(self, genotypes: Genotypes, most: int) -> NDArray[np.bool_]:
        """Return which rows are architectures not proposed before, the first ones, and remember those."""
        keys, taken = self._keys(genotypes), np.zeros(len(genotypes), dtype=np.bool_)
        # Row by row, for a row may repeat an earlier one.
        for i in np.flatnonzero(self.space.valid(genotypes)).tolist():
            if most and keys[i] not in self._seen:
                self._seen.add(keys[i])
                taken[i] = True
                most -= 1
        return taken

    def _fill(self, out: Genotypes, todo: NDArray[np.intp]) -> None:
        """Replace rows by uniform draws, new ones as long as there are."""
        drawn = self.space.sample(_LAST_DRAWS, self.rng)
        new = np.flatnonzero(self._take(drawn, todo.size))
        out[todo] = self.space.sample(todo.size, self.rng)
        out[todo[: new.size]] = drawn[new]

    def _keys(self, genotypes: Genotypes) -> list[bytes]:
        return self.space.keys(self.space.canonical(np.asarray(genotypes)))

    # ---------------------------------------------------------------- state

    def _state(self) -> dict[str, Any]:
        return {
            **self._history.state(),
            "stamps": self._stamps,
            "edits": self._edits,
            "now": [self._epoch, self._refreshes],
            "nudges": self.nudges,
            "settings": [self.T, self.uniform, self.mutation, self.c],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._history = History.restored(self.space, state)
        self._stamps, self._edits, self.nudges = state["stamps"], state["edits"], state["nudges"]
        self._epoch, self._refreshes = state["now"]
        self.T, self.uniform, self.mutation, self.c = state["settings"]
        self._seen = set(self._keys(self._history.genotypes)) | set(self._keys(self._history.pending))


def _drawn(odds: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return one index along the last axis, with probability proportional to the odds there."""
    total = np.cumsum(odds, axis=-1)
    # Below the total, so that rounding never draws what comes after the last option with a chance.
    u = rng.random(odds.shape[:-1]) * total[..., -1]
    below = np.minimum(u, np.nextafter(total[..., -1], 0.0))[..., None]
    return np.asarray((total <= below).sum(axis=-1))


def _check(where: str, name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise InputError(f"{where} needs a number {name} from {low:g} to {high:g}, not {value!r}")


STRATEGIES.add("guided", Guided)
