"""Which choices drive the gap between a lock's source and its targets: effects of options, and Shapley values.

The gap of an architecture is its source percentile less the aggregated percentile of its targets, in points; a lock
wants it large. Where the whole space is known the answers are exact averages. Where a search measured a part of it they
come from models of that part, and what the search did not look at has wide intervals.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space

Floats = NDArray[np.float64]

_LISTED = 20_000
"""Largest space whose architectures are all listed, and predicted where they are not known."""

_NORMAL = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Effect:
    """What one option of one choice does to the gap.

    Attributes
    ----------
    choice, option : str
    effect : float
        Points of gap, against the mean over the choice's options; higher locks better.
    low, high : float
        95 % interval; both equal `effect` where the whole space is known.
    count : int
        Architectures with the option among those the answer rests on.
    chosen : bool
        Whether the chosen architecture has the option.
    """

    choice: str
    option: str
    effect: float
    low: float
    high: float
    count: int
    chosen: bool


@dataclass(frozen=True)
class Explanation:
    """Why an architecture locks.

    Attributes
    ----------
    effects : tuple of Effect
        By choice, then option.
    shapley : dict of str to float, or None
        Choice to its share of `gap` less `mean`, in points. None where the space is too large to list.
    gap, mean : float
        Gap of the chosen architecture and the mean gap of the space, both in points; predicted where not `exact`.
    exact : bool
        Whether every architecture of the space is known, so that nothing is estimated.
    n : int
        Architectures that the answer rests on.
    """

    effects: tuple[Effect, ...]
    shapley: dict[str, float] | None
    gap: float
    mean: float
    exact: bool
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        return {
            "gap": self.gap,
            "mean_gap": self.mean,
            "exact": self.exact,
            "architectures": self.n,
            "shapley": self.shapley,
            "effects": [vars(e) for e in self.effects],
        }


def explain(space: Space, chosen: Genotypes, genotypes: Genotypes, gap: Floats, *, exact: bool) -> Explanation:
    """Say which choices drive the gap.

    Parameters
    ----------
    space : Space
    chosen : ndarray of int, (n_choices,)
        The architecture to explain.
    genotypes : ndarray of int, (n, n_choices)
        Distinct architectures, at least two.
    gap : ndarray of float64, (n,)
        Source percentile less aggregated target percentile of each, in points.
    exact : bool
        Whether these are all architectures of the space. If not, effects come from Bayesian ridge regression on the
        options, with its credible intervals, and Shapley values from a Gaussian process that predicts the gap of every
        architecture.
    """
    estimate = _averages if exact else _regression
    effect, half = estimate(space, genotypes, gap)
    # By choice and option: there are few, and each becomes a record.
    effects = []
    for c, choice in enumerate(space.choices):
        for o, option in enumerate(choice.options):
            at, count = (c, o), int((genotypes[:, c] == o).sum())
            if count:
                low, high = float(effect[at] - half[at]), float(effect[at] + half[at])
                effects.append(Effect(choice.name, option, float(effect[at]), low, high, count, bool(chosen[c] == o)))
    if exact:
        every, values = genotypes, gap
    elif space.size <= _LISTED:
        every = space.free().enumerate()
        values = _predicted(space, genotypes, gap, every)
    else:
        here = float(gap[(genotypes == chosen).all(axis=1)].mean())
        return Explanation(tuple(effects), None, here, float(gap.mean()), False, len(genotypes))
    shares = shapley(space, chosen, every, values)
    names = [c.name for c in space.choices]
    return Explanation(
        tuple(effects),
        dict(zip(names, shares.tolist(), strict=True)),
        float(values[(every == chosen).all(axis=1)][0]),
        float(values.mean()),
        exact,
        len(genotypes),
    )


def shapley(space: Space, chosen: Genotypes, genotypes: Genotypes, values: Floats) -> Floats:
    """Return the Shapley value of every choice of one architecture, by enumeration.

    The worth of a set of choices is the mean value of all architectures that agree with `chosen` in them, so the shares
    add up to the value of `chosen` less the mean of all (Shapley, "A Value for n-Person Games", 1953; Strumbelj and
    Kononenko, JMLR 11, 2010, with the space itself as the background).

    Parameters
    ----------
    space : Space
    chosen : ndarray of int, (n_choices,)
        One of `genotypes`.
    genotypes : ndarray of int, (n, n_choices)
        All architectures of the space.
    values : ndarray of float64, (n,)

    Returns
    -------
    ndarray of float64, (n_choices,)
    """
    shape = tuple(space.cardinalities.tolist())
    total, count = np.zeros(shape), np.zeros(shape)
    total[tuple(genotypes.T)] = values
    count[tuple(genotypes.T)] = 1.0
    # Every axis shrinks from its options to two entries: the choice is free, or it is as in `chosen`.
    for axis, option in enumerate(chosen.tolist()):
        total, count = (np.stack([t.sum(axis=axis), t.take(option, axis=axis)], axis=axis) for t in (total, count))
    worth = total / count
    k = len(shape)
    size = np.indices((2,) * (k - 1)).sum(axis=0)
    weight = np.array([1.0 / (k * math.comb(k - 1, s)) for s in range(k)])[size]
    return np.array([(weight * (worth.take(1, axis=i) - worth.take(0, axis=i))).sum() for i in range(k)])


def _averages(space: Space, genotypes: Genotypes, gap: Floats) -> tuple[Floats, Floats]:
    """Return the mean of every option less that of its choice's options, and half widths of 0, by (choice, option)."""
    means = np.full((space.n_choices, int(space.cardinalities.max())), np.nan)
    for c, o in itertools.product(*map(range, means.shape)):
        having = genotypes[:, c] == o
        if having.any():
            means[c, o] = gap[having].mean()
    return means - np.nanmean(means, axis=1, keepdims=True), np.zeros_like(means)


def _regression(space: Space, genotypes: Genotypes, gap: Floats) -> tuple[Floats, Floats]:
    """Return effects and half widths of their intervals by Bayesian ridge regression, by (choice, option)."""
    from sklearn.linear_model import BayesianRidge

    model = BayesianRidge().fit(space.encode(genotypes).astype(np.float64), gap)
    effect = np.zeros((space.n_choices, int(space.cardinalities.max())))
    half = np.zeros_like(effect)
    first = 0
    for c, m in enumerate(space.cardinalities.tolist()):
        own = slice(first, first + m)
        centred = np.eye(m) - 1.0 / m
        effect[c, :m] = centred @ model.coef_[own]
        half[c, :m] = _NORMAL * np.sqrt(np.diag(centred @ model.sigma_[own, own] @ centred))
        first += m
    return effect, half


def _predicted(space: Space, genotypes: Genotypes, gap: Floats, every: Genotypes) -> Floats:
    """Return the gap of every architecture as a Gaussian process sees it."""
    from ogive.predictors.features import Features
    from ogive.predictors.gaussian_process import GaussianProcess

    features = Features(space)
    model = GaussianProcess(groups=features.groups.tolist())
    mean, _ = model.fit(features(genotypes), gap).predict(features(every))
    return mean
