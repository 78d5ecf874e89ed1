"""What the evaluations of a search say about each part of the space, and which options they speak against.

Works on any study: it takes parts and values, and asks nothing about how the candidates were chosen. Evaluations of one
evidence epoch may be compared with each other, those of different epochs only by their rank within their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InfeasibleError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEVEL = 0.90
_RESAMPLES = 200
_LEAST, _MARGIN = 3, 0.20


def rewards(values: Floats, epoch: NDArray[np.integer[Any]] | None = None) -> Floats:
    """Return the mid-rank percentile of each value inside its evidence epoch.

    Parameters
    ----------
    values : ndarray of float64, (n,)
        Higher is better; failures are -inf.
    epoch : ndarray of int, (n,), optional
        One epoch by default.

    Returns
    -------
    ndarray of float64, (n,)
        In (0, 1); 0.5 where an epoch holds a single value.

    Raises
    ------
    InputError
        If a value is NaN.
    """
    if np.isnan(values).any():
        raise InputError("a value is NaN; tell a failed evaluation as -inf")
    out = np.empty(len(values))
    labels = np.zeros(len(values), dtype=np.int64) if epoch is None else epoch
    for label in np.unique(labels):
        rows = labels == label
        _, level, count = np.unique(values[rows], return_inverse=True, return_counts=True)
        out[rows] = (np.cumsum(count) - count / 2)[level] / rows.sum()
    return out


def fitness(parts: Bools, reward: Floats, weights: Floats) -> Floats:
    """Return the mean reward of the evaluations that have each part, drawn towards 1/2 as by two evaluations.

    Parameters
    ----------
    parts : ndarray of bool, (n, n_parts)
    reward : ndarray of float64, (n,)
    weights : ndarray of float64, (n, 1) or (n, n_parts)

    Returns
    -------
    ndarray of float64, (n_parts,)
        ``(1 + sum of w r) / (2 + sum of w)``, in (0, 1).
    """
    mass = weights * parts
    return np.asarray((1.0 + reward @ mass) / (2.0 + mass.sum(axis=0)))


@dataclass(frozen=True)
class Evidence:
    """What a set of evaluations says about every part.

    Attributes
    ----------
    names : tuple of (choice, option)
    choice : ndarray of int, (n_parts,)
        Number of the choice of every part.
    total : int
        Evaluations.
    n : ndarray of int64, (n_parts,)
        Evaluations that have the part. Where it is 0 nothing is known, whatever the fitness.
    fitness : ndarray of float64, (n_parts,)
        See `fitness`.
    contrast : ndarray of float64, (n_parts,)
        Mean reward of the evaluations with the part less that of those that have another part of the same choice
        instead; NaN where there are none of either.
    low, high : ndarray of float64, (n_parts,)
        90 % percentile bootstrap interval of the contrast, from 200 seeded resamples of the evaluations. It does not
        know of the noise of an option seen once or twice.
    exposure : ndarray of int64, (n_parts,), or None
        Gradient updates that the part has had in a supernet.
    """

    names: tuple[tuple[str, str], ...]
    choice: NDArray[np.intp]
    total: int
    n: Ints
    fitness: Floats
    contrast: Floats
    low: Floats
    high: Floats
    exposure: Ints | None = None

    def best_sibling(self) -> NDArray[np.intp]:
        """Return the fittest other part of the same choice, itself where there is none, ``(n_parts,)``."""
        same = self.choice[:, None] == self.choice
        alone = same.sum(axis=1) == 1
        np.fill_diagonal(same, alone)
        return np.asarray(np.where(same, self.fitness, -np.inf).argmax(axis=1))

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one record a part, as JSON values; what is not known is None."""
        records = []
        for i, (choice, option) in enumerate(self.names):
            told = {key: _plain(getattr(self, key)[i]) for key in ("fitness", "contrast", "low", "high")}
            record = {"choice": choice, "option": option, "n": int(self.n[i]), **told}
            if self.exposure is not None:
                record["exposure"] = int(self.exposure[i])
            records.append(record)
        return records


def gather(
    space: Space,
    genotypes: Genotypes,
    values: Floats,
    *,
    epoch: NDArray[np.integer[Any]] | None = None,
    weights: Floats | None = None,
    exposure: NDArray[np.integer[Any]] | None = None,
    seed: int = 0,
) -> Evidence:
    """Return what evaluations say about every part of the space.

    Parameters
    ----------
    space : Space
    genotypes : ndarray of int, (n, n_choices)
    values : ndarray of float64, (n,)
        Higher is better; failures are -inf.
    epoch : ndarray of int, (n,), optional
        Evidence epoch of each evaluation; one epoch by default.
    weights : ndarray of float64, (n,) or (n, n_parts), optional
        How much each evaluation counts, 1 by default.
    exposure : ndarray of int, (n_choices, max options), optional
        Gradients that every option has had, as `Supernet.exposure`.
    seed : int
        Of the resamples.

    Raises
    ------
    InputError
        If a value is NaN.
    """
    parts = space.parts(genotypes)
    w = np.ones((len(parts), 1)) if weights is None or not len(parts) else weights.reshape(len(parts), -1)
    reward = rewards(values, epoch)
    contrast, low, high = _contrast(parts, space.part_choices, reward, w, seed)
    return Evidence(
        space.part_names,
        space.part_choices,
        len(parts),
        parts.sum(axis=0),
        fitness(parts, reward, w),
        contrast,
        low,
        high,
        None if exposure is None else space.by_part(exposure),
    )


def _contrast(
    parts: Bools, choice: NDArray[np.intp], reward: Floats, weights: Floats, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Return the contrast of every part and its bootstrap interval, ``(n_parts,)`` each."""
    n = len(parts)
    if not n:
        unknown = np.full(parts.shape[1], np.nan)
        return unknown, unknown, unknown
    present = np.add.reduceat(parts, np.flatnonzero(np.diff(choice, prepend=-1)), axis=1, dtype=np.int64) > 0
    instead = present[:, choice] & ~parts
    rng = np.random.Generator(np.random.PCG64(seed))
    counts = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)])

    def mean(chosen: Bools) -> Floats:
        mass = weights * chosen
        total = counts @ mass
        known = np.where(total > 0, total, np.nan)
        return np.asarray(counts @ (reward[:, None] * mass) / known)

    difference = mean(parts) - mean(instead)
    known = ~np.isnan(difference[0])
    low, high = np.full((2, parts.shape[1]), np.nan)
    if known.any():
        # A resample without the part, or without its siblings, says nothing about it.
        low[known], high[known] = np.nanquantile(difference[1:, known], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return difference[0], low, high


@dataclass(frozen=True)
class Suggestion:
    """An option that the evidence speaks against. It is shown, never acted upon by itself.

    Attributes
    ----------
    choice, option : str
    n : int
        Evaluations that have it.
    fitness, contrast, low, high : float
        See `Evidence`.
    sibling : str
        The fittest option of the same choice.
    sibling_fitness : float
    removes : int
        Genotypes inside the present restriction that excluding it takes away; those that are no architecture count.
    share : float
        The same as a share of all inside.
    best : int
        Row of the best evaluation that has it.
    """

    choice: str
    option: str
    n: int
    fitness: float
    contrast: float
    low: float
    high: float
    sibling: str
    sibling_fitness: float
    removes: int
    share: float
    best: int


def suggestions(space: Space, evidence: Evidence, genotypes: Genotypes, values: Floats) -> list[Suggestion]:
    """Return the options that may be worth excluding, weakest first.

    One is suggested when at least 3 evaluations have it, its fitness is at least 0.20 below its best sibling's, the
    interval of its contrast lies below 0, and its choice keeps an option.

    Parameters
    ----------
    space : Space
        Its restriction says which options are left.
    evidence : Evidence
        Gathered from these evaluations.
    genotypes : ndarray of int, (n, n_choices)
    values : ndarray of float64, (n,)
    """
    sibling = evidence.best_sibling()
    behind = evidence.fitness <= evidence.fitness[sibling] - _MARGIN
    parts, allowed = space.parts(genotypes), space.restriction.allowed
    box = [int(row.sum()) for row in allowed]
    found = []
    for i in np.flatnonzero((evidence.n >= _LEAST) & behind & (evidence.high < 0)).tolist():
        j = int(evidence.choice[i])
        # The options of its choice that hold the part: itself, or in a drawing all sets that it belongs to.
        holds = space.part_sets[j][:, i - int(np.searchsorted(evidence.choice, j))]
        lost = int((holds & allowed[j, : len(holds)]).sum())
        if not 0 < lost < box[j]:
            continue
        have = np.flatnonzero(parts[:, i])
        removes = math.prod(box) // box[j] * lost
        rival = int(sibling[i])
        found.append(
            Suggestion(
                choice=evidence.names[i][0],
                option=evidence.names[i][1],
                n=int(evidence.n[i]),
                fitness=float(evidence.fitness[i]),
                contrast=float(evidence.contrast[i]),
                low=float(evidence.low[i]),
                high=float(evidence.high[i]),
                sibling=evidence.names[rival][1],
                sibling_fitness=float(evidence.fitness[rival]),
                removes=removes,
                share=lost / box[j],
                best=int(have[np.argmax(values[have])]),
            )
        )
    return sorted(found, key=lambda s: s.fitness)


def assemble(space: Space, evidence: Evidence) -> Genotypes:
    """Return the architecture of the fittest allowed option of every choice, ``(1, n_choices)``.

    Where an option is a set of parts, its fitness is their mean; ties go to the first.

    Raises
    ------
    InfeasibleError
        If together they are no architecture.
    """
    out = np.zeros((1, space.n_choices), dtype=space.dtype)
    ends = np.searchsorted(evidence.choice, np.arange(1, space.n_choices))
    for j, (sets, fit) in enumerate(zip(space.part_sets, np.split(evidence.fitness, ends), strict=True)):
        mean = np.divide(sets @ fit, sets.sum(axis=1), out=np.full(len(sets), 0.5), where=sets.any(axis=1))
        out[0, j] = np.where(space.restriction.allowed[j, : len(sets)], mean, -np.inf).argmax()
    if not space.valid(out).all():
        raise InfeasibleError("the fittest options of all choices are together no architecture; lock some of them")
    return out


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
