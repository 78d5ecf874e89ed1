"""The Gaussian process behind `pool_process`: one covariance, its hyper-parameters and what follows from data.

The covariance of two architectures, with d the share of choices in which they differ, u their profiles over the pool
and c how often they use each option, is

    signal * exp(-decay * d) + additive * (1 - d) + pool * u.u' + counts * c.c' + noise * [same measurement]

around a constant that generalised least squares estimates, so the likelihood is the restricted one (Rasmussen and
Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, section 2.7 and equations 5.9 to 5.12).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.predictors.base import Floats

    Index = NDArray[np.intp]

_STEPS = 35
_JITTER = 1e-8
_BOUNDS = (-12.0, 4.0)
MEDIANS = np.log([2.0, 0.15, 0.1, 1.0, 0.03, 0.03])
"""Logarithms of decay, signal, additive, pool, counts and noise where nothing is known: the medians of their priors."""
DEVIATION = 1.5
"""Deviation of these priors on the logarithm."""


class Likeness(NamedTuple):
    """How alike the rows of two sets are: the arrays ``(n, m)`` that every covariance is made of."""

    differ: Floats
    pool: Floats
    counts: Floats


@dataclass(frozen=True)
class Profiles:
    """What the covariance reads of each architecture.

    Attributes
    ----------
    codes : ndarray of int, (N, e)
    pool : ndarray of float64, (N, k)
        Standardised latencies on k devices, divided by the root of k.
    counts : ndarray of float64, (N, o)
        How often each option is used, centred and scaled to a mean square norm of 1.
    """

    codes: NDArray[np.integer[Any]]
    pool: Floats
    counts: Floats

    def likeness(self, rows: Index | slice, others: Index) -> Likeness:
        """Compare some rows with others."""
        differ = np.zeros((len(self.pool[rows]), len(others)))
        for column in self.codes.T:  # one choice at a time keeps the memory at (n, m)
            differ += column[rows, None] != column[others]
        differ /= self.codes.shape[1]
        return Likeness(differ, self.pool[rows] @ self.pool[others].T, self.counts[rows] @ self.counts[others].T)

    def own(self, rows: Index | slice) -> Likeness:
        """Compare each row with itself, arrays ``(n,)``."""
        pool, counts = self.pool[rows], self.counts[rows]
        return Likeness(np.zeros(len(pool)), (pool**2).sum(axis=1), (counts**2).sum(axis=1))


def covariance(theta: Floats, like: Likeness) -> Floats:
    """Return the covariance of the function, noise left out, for logarithms of the hyper-parameters ``(6,)``."""
    decay, signal, additive, pool, counts, _ = np.exp(theta)
    K = np.exp(-decay * like.differ)
    K *= signal
    K += additive * (1.0 - like.differ)
    K += pool * like.pool
    K += counts * like.counts
    return np.asarray(K)


class Conditioned:
    """The process given n values.

    Attributes
    ----------
    evidence : float
        Restricted log likelihood of the values as they were given, up to a constant.
    """

    def __init__(self, theta: Floats, like: Likeness, values: Floats) -> None:
        self.theta, n = theta, len(values)
        self._offset, self._unit = float(values.mean()), float(values.std()) or 1.0
        self._y = (values - self._offset) / self._unit
        K = covariance(theta, like)
        K.flat[:: n + 1] += math.exp(theta[-1]) + _JITTER
        self._L = cholesky(K, lower=True, overwrite_a=True, check_finite=False)
        self._ones = cho_solve((self._L, True), np.ones(n), check_finite=False)
        solved = cho_solve((self._L, True), self._y, check_finite=False)
        self._total = float(self._ones.sum())
        self._mean = float(solved.sum()) / self._total
        self._weights = solved - self._mean * self._ones
        quadratic = float((self._y - self._mean) @ self._weights)
        logdet = 2.0 * float(np.log(np.diag(self._L)).sum()) + math.log(self._total)
        self.evidence = -0.5 * (quadratic + logdet) - (n - 1) * math.log(self._unit)

    def predict(self, like: Likeness, own: Likeness) -> tuple[Floats, Floats]:
        """Return mean and deviation of a new measurement of rows compared with those measured and with themselves."""
        K = covariance(self.theta, like)
        mean = K @ self._weights + self._mean
        V = solve_triangular(self._L, K.T, lower=True, check_finite=False)
        variance = covariance(self.theta, own) - np.einsum("ij,ij->j", V, V)
        variance += (1.0 - K @ self._ones) ** 2 / self._total
        deviation = np.sqrt(np.maximum(variance, 0.0) + math.exp(self.theta[-1]))
        return mean * self._unit + self._offset, deviation * self._unit

    def _inverse(self) -> Floats:
        lower, _ = dpotri(self._L, lower=1)
        full = np.tril(lower) + np.tril(lower, -1).T
        return np.asarray(full - np.outer(self._ones, self._ones) / self._total)

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return mean and deviation of each value given the others, hyper-parameters and scale staying."""
        variance = 1.0 / np.diag(self._inverse())
        mean = self._y - self._weights * variance
        return mean * self._unit + self._offset, np.sqrt(variance) * self._unit

    def gradient(self, like: Likeness) -> Floats:
        """Return the derivative of the evidence with respect to the logarithms of the hyper-parameters, ``(6,)``."""
        inner = np.outer(self._weights, self._weights) - self._inverse()
        decay, signal, additive, pool, counts, noise = np.exp(self.theta)
        smooth = signal * np.exp(-decay * like.differ)
        parts = (
            -decay * float(np.vdot(inner, smooth * like.differ)),
            float(np.vdot(inner, smooth)),
            additive * float(np.vdot(inner, 1.0 - like.differ)),
            pool * float(np.vdot(inner, like.pool)),
            counts * float(np.vdot(inner, like.counts)),
            noise * float(np.trace(inner)),
        )
        return 0.5 * np.array(parts)


def learn(like: Likeness, values: Floats, centre: Floats, deviation: Floats) -> Floats:
    """Return the hyper-parameters of largest posterior, as logarithms ``(6,)``, by L-BFGS from the prior's centre.

    Parameters
    ----------
    like : Likeness
        The measured rows among themselves.
    values : ndarray of float64, (n,)
    centre, deviation : ndarray of float64, (6,)
        The Gaussian prior on the logarithms.
    """

    def loss(theta: Floats) -> tuple[float, Floats]:
        given = Conditioned(theta, like, values)
        z = (theta - centre) / deviation
        return 0.5 * float(z @ z) - given.evidence, z / deviation - given.gradient(like)

    options: Any = {"jac": True, "bounds": [_BOUNDS] * len(centre), "options": {"maxiter": _STEPS}}
    return np.asarray(minimize(loss, np.clip(centre, *_BOUNDS), method="L-BFGS-B", **options).x)
