"""What the lock search believes: a Gaussian process a column that takes measurements in one at a time, and percentiles.

Between two fits of the hyper-parameters a new measurement adds one row to a triangular factor, which costs a pass over
the candidates instead of a factorisation (Rasmussen and Williams, "Gaussian Processes for Machine Learning", MIT Press
2006, algorithm 2.1, row by row).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtr

from ogive.predictors.features import Features

if TYPE_CHECKING:
    from ogive.predictors.gaussian_process import GaussianProcess
    from ogive.spaces.base import Genotypes, Space
    from ogive.strategies.base import Floats

_POINTS = 256
_TAIL = 4.0


class Operations(Features):
    """What architectures compute, and the operations their canonical form is written with."""

    def __init__(self, space: Space) -> None:
        super().__init__(space, "functional")
        self._written = Features(space, "onehot")
        self.groups = np.concatenate([self.groups, self._written.groups + self.groups.max() + 1])

    def __call__(self, genotypes: Genotypes) -> Floats:
        """Return the features of each genotype, ``(n, d)``; isomorphic architectures have the same."""
        canonical = self._space.canonical(genotypes)
        return np.hstack([super().__call__(canonical), self._written(canonical)])


class Field:
    """A Gaussian process over a fixed set of m rows, and what has been measured of them.

    Parameters
    ----------
    process : GaussianProcess
        Fitted to the first n measurements.
    X : ndarray of float64, (m, d)

    Attributes
    ----------
    process : GaussianProcess
    mean : ndarray of float64, (m,)
        In the unit of what was observed.
    noise : float
        Standard deviation of a measurement, in the same unit.
    """

    def __init__(self, process: GaussianProcess, X: Floats) -> None:
        self.process, self._X = process, X
        V = solve_triangular(process._L, process.covariance(process._X, X), lower=True, check_finite=False)
        n = self._n = len(V)
        self._V, self._L = np.empty((2 * n, len(X))), np.zeros((2 * n, 2 * n))
        self._V[:n], self._L[:n, :n] = V, np.tril(process._L)
        self._variance = process.signal**2 - np.einsum("ij,ij->j", V, V)
        self._measured = self._n, self._variance

    def __len__(self) -> int:
        return self._n

    @property
    def std(self) -> Floats:
        """Standard deviation of the function at each row, noise left out, ``(m,)``."""
        return np.asarray(np.sqrt(np.maximum(self._variance, 0.0)) * self._unit)

    def add(self, row: int) -> None:
        """Take in that one of the rows has been measured."""
        self.believe(row)
        self._measured = self._n, self._variance

    def believe(self, row: int) -> None:
        """Take in that one of the rows will be measured; the means stay."""
        n = self._n
        if n == len(self._V):
            self._V, self._L = np.concatenate([self._V, np.empty_like(self._V)]), np.pad(self._L, (0, n))
        own = self._V[:n, row].copy()
        pivot = math.sqrt(max(float(self._variance[row]), 0.0) + self.process.noise**2)
        self._V[n] = (self.process.covariance(self._X[row : row + 1], self._X)[0] - own @ self._V[:n]) / pivot
        self._L[n, :n], self._L[n, n] = own, pivot
        self._variance = self._variance - self._V[n] ** 2
        self._n += 1

    def forget(self) -> None:
        """Go back to what has been measured."""
        self._n, self._variance = self._measured

    def observe(self, y: Floats) -> None:
        """Take in what the measurements were, in the order in which they were added, ``(n,)``."""
        self._y, self._unit = y, float(y.std()) or 1.0
        self.noise = self.process.noise * self._unit
        self._weights = solve_triangular(self._L[: self._n, : self._n], y - y.mean(), lower=True, check_finite=False)
        self.mean = self._weights @ self._V[: self._n] + y.mean()

    def left_out(self) -> Floats:
        """Return what each measurement would be expected to be, had it not been made, ``(n,)``."""
        lower = solve_triangular(self._L[: self._n, : self._n], np.eye(self._n), lower=True, check_finite=False)
        return np.asarray(self._y - self._weights @ lower / np.einsum("ij,ij->j", lower, lower))


class Percentiles:
    """The attacker's percentile in a space, as a function of a column on its model's scale.

    Parameters
    ----------
    mean, std : ndarray of float64, (m,)
        What the model expects to measure at a random sample of the space; higher is worse for the attacker.
    """

    def __init__(self, mean: Floats, std: Floats) -> None:
        self._low, high = float((mean - _TAIL * std).min()), float((mean + _TAIL * std).max())
        self._step = (high - self._low) / (_POINTS - 1)
        self._grid = np.linspace(self._low, high, _POINTS)
        self._percentile = 100.0 * (1.0 - ndtr((self._grid[:, None] - mean) / std).mean(axis=1))

    def __call__(self, values: Floats) -> Floats:
        """Return 100 times the share of the space that is at least as bad for the attacker as each value."""
        # The grid is even, so that the place in it is a division, not a search.
        at = np.clip((values - self._low) / self._step, 0.0, _POINTS - 1.0)
        left = np.minimum(at.astype(np.intp), _POINTS - 2)
        low = self._percentile[left]
        return np.asarray(low + (at - left) * (self._percentile[left + 1] - low))

    def value(self, percentile: float) -> float:
        """Return where on the model's scale this percentile lies."""
        return float(np.interp(percentile, self._percentile[::-1], self._grid[::-1]))
