"""Ridge regression, with its penalty chosen by exact leave-one-out.

Hoerl and Kennard, "Ridge Regression", Technometrics 12(1), 1970; leave-one-out residuals from the diagonal of the
hat matrix as in Golub, Heath and Wahba, Technometrics 21(2), 1979, equation 1.4 ff. (the PRESS of Allen).
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from ogive._errors import InputError
from ogive.predictors.base import PREDICTORS, Floats, checked

_PENALTIES = np.logspace(-4, 4, 33)


class Ridge:
    """Linear regression with a squared penalty on the weights of scaled features.

    Parameters
    ----------
    penalty : float, optional
        Weight of the squared norm relative to the mean squared error. By default the one of 33 values from 1e-4 to
        1e4 that has the smallest mean squared leave-one-out residual.
    """

    name: ClassVar[str] = "ridge"

    def __init__(self, penalty: float | None = None) -> None:
        if penalty is not None and not (np.isfinite(penalty) and penalty > 0):
            raise InputError(f"the penalty of a ridge regression is positive, not {penalty}")
        self.penalty = penalty

    def fit(self, X: Floats, y: Floats) -> Self:
        """Learn from n measured rows; see `Predictor.fit`."""
        X, self._y = checked(X, y)
        self._centre, spread = X.mean(axis=0), X.std(axis=0)
        # A constant column has a deviation of rounding errors.
        self._scale = np.where(spread > 1e-9 * np.abs(X).max(axis=0), spread, 1.0)
        self._offset = float(self._y.mean())
        U, s, Vt = np.linalg.svd((X - self._centre) / self._scale, full_matrices=False)
        n = len(X)
        penalties = _PENALTIES if self.penalty is None else np.array([self.penalty])
        shrink = s**2 / (s**2 + n * penalties[:, None])
        target = self._y - self._offset
        residual = target - (shrink * (U.T @ target)) @ U.T
        # The intercept is not penalised and takes 1/n of every row's leverage.
        leverage = shrink @ (U**2).T + 1.0 / n
        left_out = residual / np.maximum(1.0 - leverage, 1e-12)
        best = int((left_out**2).mean(axis=1).argmin())
        self.chosen_penalty = float(penalties[best])
        self._leverage, self._left_out = leverage[best], left_out[best]
        freedom = max(1.0, n - float(self._leverage.sum()))
        self._noise = float(np.sqrt((residual[best] ** 2).sum() / freedom))
        inverse = 1.0 / (s**2 + n * self.chosen_penalty)
        self._weights = Vt.T @ (s * inverse * (U.T @ target))
        self._root = Vt.T * np.sqrt(inverse)
        # Directions in which the labels do not vary keep the prior's variance.
        self._ridge = n * self.chosen_penalty
        self._axes = Vt
        self._n = n
        return self

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a measurement of each row, two arrays ``(n,)``.

        The deviation is that of the Bayesian linear model with the same mean: noise, times one plus what the weights'
        posterior spreads over the row.
        """
        Z = (np.asarray(X, dtype=np.float64) - self._centre) / self._scale
        outside = np.maximum((Z**2).sum(axis=1) - ((Z @ self._axes.T) ** 2).sum(axis=1), 0.0) / self._ridge
        spread = ((Z @ self._root) ** 2).sum(axis=1) + outside
        return Z @ self._weights + self._offset, self._noise * np.sqrt(1.0 + 1.0 / self._n + spread)

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of each label given the others, two arrays ``(n,)``.

        Penalty, noise and scaling of the features stay those found from all labels.
        """
        return self._y - self._left_out, self._noise / np.sqrt(np.maximum(1.0 - self._leverage, 1e-12))


PREDICTORS.add("ridge", Ridge)
