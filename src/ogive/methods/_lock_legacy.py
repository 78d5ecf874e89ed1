"""The published evolutionary loop of ArchLock, for comparison: a binary comparator ranks a small ageing population.

Zhou, Ren and Xu, ICLR 2024. As released, the loop returns the member of its history with the lowest *true* target
accuracy, and it measures the true source accuracy of every candidate without counting it. Here every measurement is
counted, the member of the best fitness is returned, and the released choice has to be asked for as `peek`.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InfeasibleError
from ogive.metrics.base import Context, resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.guard import forbidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from ogive.methods._lock_problem import LockProblem
    from ogive.metrics.evaluate import Cache
    from ogive.metrics.percentile import Aggregate
    from ogive.spaces.base import Genotypes, Space

Floats = NDArray[np.float64]

POPULATION = 10
"""Members alive; the first ones are random, then the oldest leaves."""

TOURNAMENT = 10
"""Members drawn, with replacement; the fittest is the parent."""

STEPS = 40
"""Members in all."""

HISTORY = 30
"""Members kept, the fittest ones, from which the final choice is made."""

PENALTY = 2.0
"""Weight of the source rank in the fitness; lambda in the paper."""

PATIENCE = 15
"""Mutations of one parent that may fail the gate before random architectures are drawn instead."""


class PairComparator(Protocol):
    """Says which of two architectures is better at a task."""

    def win_probability(self, a: Genotypes, b: Genotypes, task: str) -> Floats:
        """Return the probability that each row of `a` beats the same row of `b`, ``(n,)``.

        Parameters
        ----------
        a, b : ndarray of int, (n, n_choices)
        task : str
            One of the problem's metrics. A half is a tie.
        """


class CoinFlip:
    """Knows nothing: the null model of every comparator."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def win_probability(self, a: Genotypes, b: Genotypes, task: str) -> Floats:
        """Return 0 or 1 with equal chance."""
        del b, task
        return self._rng.integers(0, 2, size=len(a)).astype(np.float64)


class TrueOrder:
    """Reads the true values, those of the targets as well: what a perfect comparator would do."""

    def __init__(self, space: Space, context: Context | None = None) -> None:
        self._space, self._context = space, context or Context()
        self._cache: Cache = {}

    def win_probability(self, a: Genotypes, b: Genotypes, task: str) -> Floats:
        """Return 1 where `a` is truly better, 0 where `b` is, a half where they are equal."""
        both = evaluate([task], self._space, np.concatenate([a, b]), self._context, cache=self._cache).values[task]
        gap = both[: len(a)] - both[len(a) :]
        return np.asarray(0.5 + 0.5 * np.sign(gap if resolve(task).direction == "max" else -gap))


def standing(wins: Floats) -> Floats:
    """Return positions by wins within each set: 0 is the best, equals share their mean position, ``(..., n)``."""
    behind = (wins[..., None, :] > wins[..., :, None]).sum(axis=-1)
    equal = (wins[..., None, :] == wins[..., :, None]).sum(axis=-1)
    return np.asarray(behind + 0.5 * (equal - 1))


def fitness(source_wins: Floats, target_wins: Floats, aggregate: Aggregate, penalty: float = PENALTY) -> Floats:
    """Return target rank minus `penalty` times source rank within each set of n architectures; higher is better.

    Rank 0 is the best, so that a high target rank means poor at the targets.

    Parameters
    ----------
    source_wins : ndarray of float64, (..., n)
        Comparisons won at the source.
    target_wins : ndarray of float64, (..., n, k)
        Comparisons won at each target. Their mean orders as the sum does that the released code takes; without
        ties and cycles it also orders as the mean of the ranks does.
    aggregate : Aggregate
    penalty : float

    Returns
    -------
    ndarray of float64, (..., n)
    """
    return standing(aggregate(target_wins).round(9)) - penalty * standing(source_wins)


@dataclass
class LegacyRuns:
    """What independent runs of the loop gave.

    Attributes
    ----------
    genotypes : ndarray of int, (runs, n_choices)
        The architecture each run returns.
    source : ndarray of float64, (runs,)
        Its true source value.
    evaluations : dict of str to ndarray of int64, (runs,)
        True measurements of each metric, repeats and those that failed the gate included.
    comparisons : int
        Pairs compared on one task each, over all runs.
    """

    genotypes: Genotypes
    source: Floats
    evaluations: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    comparisons: int = 0


def run_legacy(
    problem: LockProblem,
    comparator: PairComparator,
    bound: float,
    *,
    peek: bool = False,
    runs: int = 1,
    context: Context | None = None,
) -> LegacyRuns:
    """Run the published loop, several independent times in lock-step.

    Parameters
    ----------
    problem : LockProblem
        Its budget is of true source evaluations, and its seed fixes all runs together. A run whose budget ends early
        returns the best of what it has.
    comparator : PairComparator
        Asked about the source and about ``problem.searched``.
    bound : float
        Worst source value that passes the gate, from ``problem.gate.bound``.
    peek : bool
        Return the member of the history with the lowest true target value, as the released code does in either
        setting; of several targets, the lowest aggregated rank within the history. In setting "tu" that is a leak: the
        search has seen what it claims not to know.
    runs : int
    context : Context, optional

    Returns
    -------
    LegacyRuns

    Raises
    ------
    InfeasibleError
        If a run finds no architecture that passes the gate, naming the best source value it saw.
    LeakError
        If the comparator reads a target in setting "tu".
    """
    loop = _Loop(problem, comparator, bound, runs, context or Context())
    with forbidden(*problem.targets) if problem.setting == "tu" else nullcontext():
        loop.search()
        if not peek:
            return loop.result(loop.fittest())
    return loop.result(loop.poorest())


class _Loop:
    """State of all runs; row i of every array belongs to run i."""

    def __init__(
        self, problem: LockProblem, comparator: PairComparator, bound: float, runs: int, context: Context
    ) -> None:
        self.problem, self.comparator, self.bound, self.context = problem, comparator, bound, context
        self.space, self.rng = problem.space, np.random.default_rng(problem.seed)
        self.sign = 1.0 if resolve(problem.source).direction == "max" else -1.0
        self.members = np.zeros((runs, STEPS, self.space.n_choices), dtype=self.space.dtype)
        self.source = np.full((runs, STEPS), np.nan)
        self.count = np.zeros(runs, dtype=np.int64)
        self.kept = np.full((runs, HISTORY), -1)  # the history: positions in `members`
        self.best_seen = np.full(runs, np.nan)
        self.evaluations = {m: np.zeros(runs, dtype=np.int64) for m in (problem.source, *problem.targets)}
        self.comparisons = 0
        self.cache: Cache = {}

    def search(self) -> None:
        """Let every run take its steps, or as many as its budget allows."""
        for step in range(STEPS):
            alive = np.flatnonzero(self.count == step)
            if not alive.size:
                break
            self._accept(step, alive, self._parents(step, alive) if step >= POPULATION else None)
            grown = alive[self.count[alive] > step]
            if step < HISTORY:
                self.kept[grown, step] = step
            elif grown.size:
                held = np.column_stack([self.kept[grown], np.full(grown.size, step)])
                worst = self._fitness(grown, held).argmin(axis=1)
                stays = np.arange(HISTORY + 1) != worst[:, None]
                self.kept[grown] = held[stays].reshape(grown.size, HISTORY)
        if not self.count.all():
            run = int(self.count.argmin())
            raise InfeasibleError(
                f"no architecture passed gate {self.problem.gate} of '{self.problem.source}' ({self.bound:.10g}) in "
                f"{self.problem.budget} evaluations; the best value seen is {self.best_seen[run]:.10g}"
            )

    def _parents(self, step: int, alive: NDArray[np.intp]) -> Genotypes:
        """Return the winner of a tournament in the population of each run."""
        now = np.broadcast_to(np.arange(step - POPULATION, step), (alive.size, POPULATION))
        drawn = self.rng.integers(0, POPULATION, size=(alive.size, TOURNAMENT))
        scores = np.take_along_axis(self._fitness(alive, now), drawn, axis=1)
        winner = np.take_along_axis(drawn, scores.argmax(axis=1, keepdims=True), axis=1)[:, 0]
        return np.asarray(self.members[alive, step - POPULATION + winner])

    def _accept(self, step: int, alive: NDArray[np.intp], parents: Genotypes | None) -> None:
        """Draw for each run until a candidate passes the gate or the budget ends; every draw is measured."""
        spent = self.evaluations[self.problem.source]
        todo, tries = np.arange(alive.size), 0
        while (todo := todo[spent[alive[todo]] < self.problem.budget]).size:
            if parents is not None and tries < PATIENCE:
                drawn = self.space.mutate(parents[todo], self.rng)
            else:
                drawn = self.space.sample(todo.size, self.rng)
            runs = alive[todo]
            values = self._measure(self.problem.source, drawn, runs)
            self.best_seen[runs] = self.sign * np.fmax(self.sign * self.best_seen[runs], self.sign * values)
            passed = self.sign * values >= self.sign * self.bound
            self.members[runs[passed], step], self.source[runs[passed], step] = drawn[passed], values[passed]
            self.count[runs[passed]] += 1
            todo, tries = todo[~passed], tries + 1

    def _measure(self, metric: str, genotypes: Genotypes, runs: NDArray[np.intp]) -> Floats:
        np.add.at(self.evaluations[metric], runs, 1)
        return evaluate([metric], self.space, genotypes, self.context, cache=self.cache).values[metric]

    def _fitness(self, runs: NDArray[np.intp], at: NDArray[np.intp]) -> Floats:
        """Return the fitness of the members at some positions of some runs, each run a set of its own, ``(r, n)``."""
        sets = self.members[runs[:, None], at]
        first, second = np.triu_indices(at.shape[1], k=1)
        a, b = (sets[:, i].reshape(-1, self.space.n_choices) for i in (first, second))
        wins = np.zeros((*at.shape, 1 + len(self.problem.searched)))
        for column, task in enumerate((self.problem.source, *self.problem.searched)):
            p = np.asarray(self.comparator.win_probability(a, b, task)).reshape(len(runs), -1)
            beats = np.zeros((*at.shape, at.shape[1]))
            beats[:, first, second] = won = np.where(p == 0.5, 0.5, p > 0.5)
            beats[:, second, first] = 1.0 - won
            wins[..., column] = beats.sum(axis=-1)
            self.comparisons += p.size
        return fitness(wins[..., 0], wins[..., 1:], self.problem.aggregate)

    def fittest(self) -> NDArray[np.intp]:
        """Return the position of each run's fittest member of the history."""
        return self._choose(lambda runs, kept: -self._fitness(runs, kept))

    def poorest(self) -> NDArray[np.intp]:
        """Return the position of the member of each run's history that truly does worst at the targets."""

        def rank(runs: NDArray[np.intp], kept: NDArray[np.intp]) -> Floats:
            genotypes = self.members[runs[:, None], kept].reshape(-1, self.space.n_choices)
            owners = np.repeat(runs, kept.shape[1])
            columns = [
                (1 if resolve(t).direction == "max" else -1) * self._measure(t, genotypes, owners).reshape(kept.shape)
                for t in self.problem.targets
            ]
            return self.problem.aggregate(np.stack([-standing(c) for c in columns], axis=-1))

        return self._choose(rank)

    def _choose(self, rank: Callable[[NDArray[np.intp], NDArray[np.intp]], Floats]) -> NDArray[np.intp]:
        """Return the lowest by `rank` in each history; histories are ranked together where they are equally long."""
        chosen = np.zeros(len(self.count), dtype=np.intp)
        lengths = np.minimum(self.count, HISTORY)
        for length in np.unique(lengths).tolist():
            runs = np.flatnonzero(lengths == length)
            kept = self.kept[runs, :length]
            chosen[runs] = kept[np.arange(runs.size), rank(runs, kept).argmin(axis=1)]
        return chosen

    def result(self, chosen: NDArray[np.intp]) -> LegacyRuns:
        """Return what each run gives, its member at the position `chosen`."""
        run = np.arange(len(chosen))
        return LegacyRuns(self.members[run, chosen], self.source[run, chosen], self.evaluations, self.comparisons)
