"""Bayesian linear regression on the features that a small network learns (DNGO).

Snoek et al., "Scalable Bayesian Optimization Using Deep Neural Networks", ICML 2015 (arXiv 1502.05700), with the sizes
of Yan et al., "Does Unsupervised Architecture Representation Learning Help Neural Architecture Search?", NeurIPS 2020
(arXiv 2006.06936): one hidden layer of 128 tanh units, hyper-parameters by the evidence. The evidence is that of
Bishop, "Pattern Recognition and Machine Learning", 2006, equation 3.86, and a deviation here is the root of a variance;
the code published with arch2vec has an unsquared residual, a determinant that overflows, and the variance itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.optimize import minimize

from ogive._errors import InputError
from ogive.predictors.base import PREDICTORS, Floats, checked

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOMENT1, _MOMENT2, _TINY = 0.9, 0.999, 1e-8
_BOUNDS = ((-10.0, 10.0), (-4.0, 16.0))
"""Of the logarithms of the weights' precision and the noise's precision."""


class DNGO:
    """A network of one hidden layer, and an exact Gaussian posterior over the weights of its output.

    Features and targets are scaled to mean 0 and deviation 1.

    Parameters
    ----------
    width : int
        Hidden tanh units.
    epochs, batch : int
        Passes over the rows, and rows of a step of Adam.
    learning_rate : float
    seed : int
        Fixes initial weights and the order of the rows.
    """

    name: ClassVar[str] = "dngo"

    def __init__(
        self, width: int = 128, epochs: int = 100, batch: int = 10, learning_rate: float = 0.01, seed: int = 0
    ) -> None:
        if min(width, epochs, batch) < 1 or not 0 < learning_rate < math.inf:
            raise InputError("DNGO needs width, epochs and batch >= 1 and a positive learning rate")
        self.width, self.epochs, self.batch, self.learning_rate, self.seed = width, epochs, batch, learning_rate, seed
        self.network: Floats | None = None

    def fit(self, X: Floats, y: Floats, *, learn: bool = True) -> Self:
        """Learn from n measured rows; see `Predictor.fit`.

        Parameters
        ----------
        X : ndarray of float64, (n, d)
        y : ndarray of float64, (n,)
        learn : bool
            Whether the network is trained anew, or `network` stays and only its output layer learns.
        """
        X, y = checked(X, y)
        self._offset, self._unit = float(y.mean()), float(y.std()) or 1.0
        target = (y - self._offset) / self._unit
        if learn or self.network is None:
            centre, spread = X.mean(axis=0), X.std(axis=0)
            spread = np.where(spread > 1e-9, spread, 1.0)
            hidden = _train(
                (X - centre) / spread, target, self.width, self.epochs, self.batch, self.learning_rate, self.seed
            )
            # The scaling of the features goes into the first layer, so that the network is one array.
            weights = hidden[:-1] / spread[:, None]
            self.network = np.vstack([weights, hidden[-1] - centre @ weights])
        phi = self.basis(X)
        # Eigenvectors of the Gram matrix: every evidence on the way costs as many operations as there are units.
        U, s, Vt = np.linalg.svd(phi, full_matrices=False)
        along = U.T @ target
        rest = max(float(target @ target - along @ along), 0.0)
        options: Any = {"method": "Nelder-Mead", "bounds": _BOUNDS, "options": {"xatol": 1e-3, "fatol": 1e-4}}

        def loss(log_precisions: Floats) -> float:
            return -_evidence(log_precisions, s, along, rest, len(y))

        found = minimize(loss, np.array([0.0, 2.0]), **options)
        self.log_precisions = np.asarray(found.x)
        alpha, beta = np.exp(self.log_precisions)
        self._weights = Vt.T @ (beta * s * along / (alpha + beta * s**2))
        shrink = 1.0 / (alpha + beta * s**2) - 1.0 / alpha
        self._covariance = np.eye(self.width) / alpha + (Vt.T * shrink) @ Vt
        return self

    def basis(self, X: Floats) -> Floats:
        """Return the hidden units of each row, ``(n, width)``."""
        assert self.network is not None
        return np.asarray(np.tanh(np.asarray(X, dtype=np.float64) @ self.network[:-1] + self.network[-1]))

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, in units of the targets' deviation."""
        return float(np.exp(-0.5 * self.log_precisions[1]))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a measurement of each row, two arrays ``(n,)``."""
        seen = self.posterior(X)
        return seen.mean, np.asarray(np.hypot(seen.std, seen.noise))

    def posterior(self, X: Floats) -> LinearPosterior:
        """Return the joint posterior over some rows, which can be conditioned on more of them."""
        return LinearPosterior(
            self.basis(X), self._weights, self._covariance, self.noise, scale=(self._offset, self._unit)
        )


class LinearPosterior:
    """What a Bayesian linear model says of a fixed set of m rows; the counterpart of `gaussian_process.Posterior`.

    Parameters
    ----------
    basis : ndarray of float64, (m, width)
    weights : ndarray of float64, (width,)
        Their posterior mean.
    covariance : ndarray of float64, (width, width)
        Their posterior covariance.
    noise : float
        Standard deviation of a measurement.
    scale : (float, float)
        Offset and unit of the targets.

    Attributes
    ----------
    mean : ndarray of float64, (m,)
        In the unit of the targets.
    noise : float
        In the unit of the targets.
    """

    def __init__(
        self, basis: Floats, weights: Floats, covariance: Floats, noise: float, *, scale: tuple[float, float]
    ) -> None:
        self._basis, self._covariance, self._noise = basis, covariance, noise
        offset, self._unit = scale
        self.mean = basis @ weights * self._unit + offset
        self.noise = noise * self._unit
        self._variance = np.einsum("ij,ij->i", basis @ covariance, basis)

    @property
    def std(self) -> Floats:
        """Standard deviation of the function at each row, noise left out, ``(m,)``."""
        return np.asarray(np.sqrt(np.maximum(self._variance, 0.0)) * self._unit)

    def believe(self, row: int) -> None:
        """Condition on a measurement of one row that comes out as its mean: the variances fall."""
        along = self._covariance @ self._basis[row]
        gain = along / math.sqrt(float(self._basis[row] @ along) + self._noise**2)
        self._covariance = self._covariance - np.outer(gain, gain)
        self._variance = self._variance - (self._basis @ gain) ** 2


def _evidence(log_precisions: Floats, s: Floats, along: Floats, rest: float, n: int) -> float:
    """Return the log marginal likelihood of the targets under ``N(0, basis basis' / alpha + I / beta)``.

    Parameters
    ----------
    log_precisions : ndarray of float64, (2,)
        Logarithms of alpha and beta.
    s : ndarray of float64, (r,)
        Singular values of the basis.
    along : ndarray of float64, (r,)
        Targets along the left singular vectors.
    rest : float
        Squared length of what is left of the targets.
    n : int
        Rows of the basis.
    """
    alpha, beta = np.exp(log_precisions)
    precision = alpha + beta * s**2
    residual = beta * rest + float((alpha * beta * along**2 / precision).sum())
    volume = len(s) * log_precisions[0] - float(np.log(precision).sum())
    return 0.5 * float(volume + n * (log_precisions[1] - math.log(2.0 * math.pi)) - residual)


def _train(
    X: Floats, y: Floats, width: int, epochs: int, batch: int, learning_rate: float, seed: int
) -> NDArray[np.float64]:
    """Return the hidden layer, weights above biases, of a network trained by Adam on the squared error."""
    rng = np.random.default_rng(seed)
    d = X.shape[1]
    ones = np.hstack([X, np.ones((len(X), 1))])
    hidden = rng.uniform(-1.0, 1.0, (d + 1, width)) / math.sqrt(d)
    out = rng.uniform(-1.0, 1.0, width + 1) / math.sqrt(width)
    first, second = (np.zeros(hidden.size + out.size) for _ in range(2))
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch):
            rows = order[start : start + batch]
            step += 1
            gradient = _gradient(hidden, out, ones[rows], y[rows])
            first += (1.0 - _MOMENT1) * (gradient - first)
            second += (1.0 - _MOMENT2) * (gradient**2 - second)
            scale = np.sqrt(second / (1.0 - _MOMENT2**step)) + _TINY
            move = learning_rate / (1.0 - _MOMENT1**step) * first / scale
            hidden -= move[: hidden.size].reshape(hidden.shape)
            out -= move[hidden.size :]
    return hidden


def _gradient(hidden: Floats, out: Floats, X: Floats, y: Floats) -> Floats:
    """Return the gradient of the mean squared error, hidden layer first, as one vector; X ends in a column of ones."""
    h = np.tanh(X @ hidden)
    delta = 2.0 * (h @ out[:-1] + out[-1] - y) / len(y)
    back = X.T @ ((1.0 - h**2) * np.outer(delta, out[:-1]))
    return np.concatenate([back.reshape(-1), h.T @ delta, [delta.sum()]])


PREDICTORS.add("dngo", DNGO)
