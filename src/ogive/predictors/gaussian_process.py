"""Exact Gaussian process regression, small enough to read and fast enough to refit after every answer.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", MIT Press 2006: algorithm 2.1 (prediction),
equation 5.9 (gradient of the log marginal likelihood), equations 5.10 to 5.12 (leave-one-out).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from ogive._errors import InputError
from ogive.predictors.base import PREDICTORS, Floats, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_ROWS = 2000
_BLOCK = 4096
_JITTER = 1e-8
_ROOT5 = math.sqrt(5.0)

Prior = tuple[float, float]
"""Mean and standard deviation of a Gaussian on the logarithm of a hyper-parameter."""


class GaussianProcess:
    """A Gaussian process with constant mean, one length scale for each group of features, and Gaussian noise.

    The covariance of two rows is ``signal**2 * k(r)`` with ``r**2`` the sum over groups of their mean squared
    difference in the group over the squared length scale, and the targets are scaled to mean 0 and deviation 1.

    Parameters
    ----------
    kernel : {"matern52", "rbf"}
        ``k(r)``: Matérn with smoothness 5/2, or the squared exponential.
    groups : sequence of int, optional
        Group of every feature, numbered from 0; all in one group by default, the isotropic kernel. One number a
        feature gives automatic relevance determination, which needs more than a hundred labels.
    length_scale : float or sequence of float
        One for all groups or one a group; where `fit` starts looking.
    signal, noise : float
        Standard deviations of the function and of the noise, in units of the targets' deviation; where `fit` starts.
    optimise : bool
        Whether `fit` maximises the posterior of the hyper-parameters (marginal likelihood times priors), by L-BFGS
        from where the last fit ended; else they stay as given.
    steps : int
        Iterations of L-BFGS at most.
    length_prior, signal_prior, noise_prior : (float, float)
        Mean and deviation of the Gaussian prior on each hyper-parameter's logarithm; an infinite deviation is none.
    """

    name: ClassVar[str] = "gaussian_process"

    def __init__(
        self,
        kernel: Literal["matern52", "rbf"] = "matern52",
        *,
        groups: Sequence[int] | None = None,
        length_scale: float | Sequence[float] = 1.0,
        signal: float = 1.0,
        noise: float = 0.2,
        optimise: bool = True,
        steps: int = 50,
        length_prior: Prior = (0.3, 1.5),
        signal_prior: Prior = (0.0, 1.0),
        noise_prior: Prior = (-1.7, 1.5),
    ) -> None:
        if kernel not in ("matern52", "rbf"):
            raise InputError(f"a Gaussian process has kernel matern52 or rbf, not '{kernel}'")
        self.kernel = kernel
        self.groups = None if groups is None else np.asarray(groups, dtype=np.intp)
        self.n_groups = 1 if self.groups is None else int(self.groups.max()) + 1
        scales = np.broadcast_to(np.asarray(length_scale, dtype=np.float64), self.n_groups)
        start = np.array([signal, *scales, noise], dtype=np.float64)
        if not (np.isfinite(start).all() and (start > 0).all()):
            raise InputError("length scales, signal and noise of a Gaussian process are positive")
        self.theta = np.log(start)
        self.optimise, self.steps = optimise, steps
        priors = [signal_prior, *[length_prior] * self.n_groups, noise_prior]
        self._centre, self._spread = np.array(priors, dtype=np.float64).T

    # ---------------------------------------------------------------- hyper-parameters

    @property
    def signal(self) -> float:
        """Standard deviation of the function, in units of the targets' deviation."""
        return float(np.exp(self.theta[0]))

    @property
    def length_scales(self) -> Floats:
        """Length scale of each group, ``(n_groups,)``."""
        return np.asarray(np.exp(self.theta[1:-1]))

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, in units of the targets' deviation."""
        return float(np.exp(self.theta[-1]))

    # ---------------------------------------------------------------- covariance

    def _split(self, X: Floats) -> list[Floats]:
        """Return the features of each group, scaled so that squared distances are means over the group."""
        if self.groups is None:
            return [X / math.sqrt(max(1, X.shape[1]))]
        if len(self.groups) != X.shape[1]:
            raise InputError(f"the groups name {len(self.groups)} features, the rows have {X.shape[1]}")
        parts = [X[:, self.groups == g] for g in range(self.n_groups)]
        return [p / math.sqrt(max(1, p.shape[1])) for p in parts]

    def _correlation(self, squared: Floats) -> Floats:
        """Return k(r) for squared scaled distances, in place where it can."""
        if self.kernel == "rbf":
            return np.asarray(np.exp(np.multiply(squared, -0.5, out=squared), out=squared))
        r = np.sqrt(squared, out=squared)
        r *= _ROOT5
        decay = np.exp(-r)
        # 1 + r + r^2/3, evaluated from the inside.
        r *= 1.0 + r / 3.0
        r += 1.0
        r *= decay
        return r

    def _slope(self, squared: Floats) -> Floats:
        """Return the derivative of k with respect to the squared distance."""
        if self.kernel == "rbf":
            return np.asarray(-0.5 * np.exp(-0.5 * squared))
        r = _ROOT5 * np.sqrt(squared)
        return np.asarray(-5.0 / 6.0 * (1.0 + r) * np.exp(-r))

    def covariance(self, A: Floats, B: Floats) -> Floats:
        """Return the covariance of the function between two sets of rows, ``(n, m)``, noise left out."""
        total: Floats | None = None
        for a, b, scale in zip(self._split(A), self._split(B), self.length_scales, strict=True):
            part = squared_distances(a / scale, b / scale)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        K = self._correlation(total)
        K *= self.signal**2
        return K

    # ---------------------------------------------------------------- learning

    def fit(self, X: Floats, y: Floats) -> Self:
        """Learn from n <= 2,000 measured rows; see `Predictor.fit`."""
        X, y = checked(X, y, least=1)
        if len(X) > _MAX_ROWS:
            raise InputError(f"an exact Gaussian process takes at most {_MAX_ROWS:,} rows, not {len(X):,}")
        self._X = X
        self._offset = float(y.mean())
        self._unit = float(y.std()) or 1.0
        self._y = (y - self._offset) / self._unit
        self._distances = [squared_distances(p, p) for p in self._split(X)]
        if self.optimise and len(X) > 2:
            bounds = [(-3.0, 3.0), *[(-3.0, 6.0)] * self.n_groups, (-7.0, 1.0)]
            start = np.clip(self.theta, *np.array(bounds).T)
            options: Any = {"jac": True, "bounds": bounds, "options": {"maxiter": self.steps}}
            found = minimize(self._loss, start, method="L-BFGS-B", **options)
            self.theta = np.asarray(found.x)
        K = self._gram(self.theta)[0]
        self._L = cholesky(K, lower=True, overwrite_a=True, check_finite=False)
        self._weights = cho_solve((self._L, True), self._y, check_finite=False)
        return self

    def _gram(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the covariance of the labels, noise included, and their squared scaled distances."""
        inverse = np.exp(-2.0 * theta[1:-1])
        squared = self._distances[0] * inverse[0]
        for d, w in zip(self._distances[1:], inverse[1:], strict=True):
            squared += d * w
        K = self._correlation(squared.copy())
        K *= math.exp(2.0 * theta[0])
        K.flat[:: len(K) + 1] += math.exp(2.0 * theta[-1]) + _JITTER
        return K, squared

    def log_marginal_likelihood(self, theta: Floats | None = None) -> tuple[float, Floats]:
        """Return the log marginal likelihood of the scaled targets and its gradient.

        Parameters
        ----------
        theta : ndarray of float64, (n_groups + 2,), optional
            Logarithms of signal, length scales and noise; those fitted by default.
        """
        theta = self.theta if theta is None else np.asarray(theta, dtype=np.float64)
        K, squared = self._gram(theta)
        n = len(K)
        L = cholesky(K, lower=True, check_finite=False)
        a = cho_solve((L, True), self._y, check_finite=False)
        value = -0.5 * float(self._y @ a) - float(np.log(np.diag(L)).sum()) - 0.5 * n * math.log(2.0 * math.pi)
        lower, _ = dpotri(L, lower=1)
        inverse = np.tril(lower) + np.tril(lower, -1).T
        # d/dt = tr((a a' - K^-1) dK/dt) / 2
        inner = np.outer(a, a) - inverse
        noise = math.exp(2.0 * theta[-1])
        trace = float(np.trace(inner))
        slope = inner * self._slope(squared)
        slope *= math.exp(2.0 * theta[0])
        shrink = -np.exp(-2.0 * theta[1:-1])
        by_length = [s * float(np.vdot(slope, d)) for s, d in zip(shrink, self._distances, strict=True)]
        by_signal = float(np.vdot(inner, K)) - trace * (noise + _JITTER)
        return value, np.array([by_signal, *by_length, trace * noise])

    def _loss(self, theta: Floats) -> tuple[float, Floats]:
        value, gradient = self.log_marginal_likelihood(theta)
        z = (theta - self._centre) / self._spread
        return 0.5 * float(z @ z) - value, z / self._spread - gradient

    # ---------------------------------------------------------------- prediction

    def predict(self, X: Floats, *, noise: bool = True) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of each row, two arrays ``(n,)``.

        Parameters
        ----------
        X : ndarray of float64, (n, d)
        noise : bool
            Whether the deviation is that of a new measurement, or of the function itself.
        """
        X = np.asarray(X, dtype=np.float64)
        mean, variance = np.empty(len(X)), np.empty(len(X))
        for i in range(0, len(X), _BLOCK):
            K = self.covariance(self._X, X[i : i + _BLOCK])
            mean[i : i + _BLOCK] = self._weights @ K
            V = solve_triangular(self._L, K, lower=True, overwrite_b=True, check_finite=False)
            variance[i : i + _BLOCK] = self.signal**2 - np.einsum("ij,ij->j", V, V)
        np.maximum(variance, 0.0, out=variance)
        deviation = np.sqrt(variance + noise * self.noise**2)
        return mean * self._unit + self._offset, deviation * self._unit

    def posterior(self, X: Floats) -> Posterior:
        """Return the joint posterior over some rows, which can be conditioned on more of them."""
        return Posterior(self, np.asarray(X, dtype=np.float64))

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of each label given the others, two arrays ``(n,)``.

        Hyper-parameters and scaling of the targets stay those found from all labels.
        """
        lower = solve_triangular(self._L, np.eye(len(self._L)), lower=True, check_finite=False)
        variance = 1.0 / np.einsum("ij,ij->j", lower, lower)
        mean = self._y - self._weights * variance
        return mean * self._unit + self._offset, np.sqrt(variance) * self._unit


class Posterior:
    """A Gaussian process over a fixed set of m rows, for choosing several of them one after another.

    Parameters
    ----------
    process : GaussianProcess
        Fitted.
    X : ndarray of float64, (m, d)

    Attributes
    ----------
    mean : ndarray of float64, (m,)
        In the unit of the targets.
    """

    def __init__(self, process: GaussianProcess, X: Floats) -> None:
        K = process.covariance(process._X, X)
        self.process, self._X = process, X
        self.mean = process._weights @ K * process._unit + process._offset
        self._V = solve_triangular(process._L, K, lower=True, overwrite_b=True, check_finite=False)
        self._variance = process.signal**2 - np.einsum("ij,ij->j", self._V, self._V)
        self.noise = process.noise * process._unit

    @property
    def std(self) -> Floats:
        """Standard deviation of the function at each row, noise left out, ``(m,)``."""
        return np.asarray(np.sqrt(np.maximum(self._variance, 0.0)) * self.process._unit)

    def believe(self, row: int) -> None:
        """Condition on a measurement of one row that comes out as its mean.

        The means stay, the variances fall, so a next choice looks elsewhere (the hallucinations of Desautels, Krause
        and Burdick, "Parallelizing Exploration-Exploitation Tradeoffs", JMLR 15, 2014, section 4.1).
        """
        own = self._V[:, row]
        pivot = math.sqrt(max(float(self._variance[row]), 0.0) + self.process.noise**2 + _JITTER)
        gain = (self.process.covariance(self._X[row : row + 1], self._X)[0] - own @ self._V) / pivot
        self._V = np.vstack([self._V, gain])
        self._variance = self._variance - gain**2


def squared_distances(A: Floats, B: Floats) -> Floats:
    """Return the squared Euclidean distances between two sets of rows, ``(n, m)``, never negative."""
    out = A @ (-2.0 * B.T)
    out += np.einsum("ij,ij->i", A, A)[:, None]
    out += np.einsum("ij,ij->i", B, B)
    return np.maximum(out, 0.0, out=out)


PREDICTORS.add("gaussian_process", GaussianProcess)
