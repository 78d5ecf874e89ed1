"""AdaProxy's penalised least squares: exact solutions, paths over the penalty, leave-one-out without refitting.

The problem is, with z the proxy's contribution of each feature (Lu et al., POMACS 5(3), 2021, and the authors' code),

    minimise over a, b, c:   mean((z @ (a + b) + c - y)**2) + penalty * norm(b, p)

a rescales the device, c is its fixed cost, b corrects single features. Neither a nor c is penalised, so both are
projected out first and what is left is a penalised regression in b alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.predictors.base import Floats

STEPS = 33
_TOLERANCE = 1e-9
_NORMS = {"1": 1.0, "2": 2.0, "inf": math.inf}


class Solution(NamedTuple):
    """One point of a path: where it is on it, the corrections, and what each label weighs in its own fit."""

    at: float
    b: Floats
    leverage: Floats


def norm_of(p: float | str) -> float:
    """Return the order of the norm that an option names: 1, 2 or inf."""
    if str(p) not in _NORMS:
        raise InputError(f"AdaProxy's norm p is 1, 2 or inf, not {p}")
    return _NORMS[str(p)]


def independent(X: Floats) -> list[int]:
    """Return the columns that are no linear combination of those before them.

    One-hot codes and a constant are linearly dependent; what a model of the columns kept predicts does not change when
    further dependent columns are added.
    """
    R = np.asarray(np.linalg.qr(X, mode="r"))
    basis = np.zeros((len(R), 0))
    kept = []
    for j, column in enumerate(R.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > 1e-8 * float(np.linalg.norm(column)):
            basis = np.column_stack([basis, rest / length])
            kept.append(j)
    return kept


class Problem:
    """The labels and contributions with the free terms a and c projected out.

    Parameters
    ----------
    z : ndarray of float64, (n, d)
        Feature times the proxy's weight of it.
    y : ndarray of float64, (n,)
    """

    def __init__(self, z: Floats, y: Floats) -> None:
        self.z, self.y, n = z, y, len(y)
        total = z.sum(axis=1)
        total = total - total.mean()
        length = float(np.linalg.norm(total))
        free = [np.full(n, 1.0 / math.sqrt(n))]
        if length > _TOLERANCE * float(np.abs(z).sum(axis=1).max(initial=0.0)):
            free.append(total / length)
        self._free = np.column_stack(free)
        self.A, self.r = self._project(z), self._project(y)

    def _project(self, v: Floats) -> Floats:
        return np.asarray(v - self._free @ (self._free.T @ v))

    def path(self, p: float) -> Iterator[Solution]:
        """Yield solutions from no correction at all to hardly a penalty."""
        yield Solution(0.0, np.zeros(self.z.shape[1]), self._leverage(self.A[:, :0]))
        if p == 2:
            yield from self._ridge_path(np.logspace(4, -4, STEPS))
        elif p == 1:
            largest = float(np.abs(self.A.T @ self.r).max(initial=0.0)) / len(self.r)
            if largest > 0:
                penalties = largest * np.logspace(0, -4, STEPS)
                for at, b in zip(penalties, self._lasso(penalties), strict=True):
                    yield Solution(float(at), b, self._leverage(self.A[:, b != 0]))
        else:
            for bound in self._widest() * np.logspace(-4, 0, STEPS):
                if bound > 0:
                    b = self._boxed(bound)
                    tight = np.abs(b) >= bound * (1 - _TOLERANCE)
                    tied = self.A[:, tight] @ np.sign(b[tight])
                    yield Solution(float(bound), b, self._leverage(np.column_stack([self.A[:, ~tight], tied])))

    def left_out(self, solution: Solution) -> Floats:
        """Return the residual of each label when it is left out, with the selected features staying, ``(n,)``."""
        return (self.r - self.A @ solution.b) / np.maximum(1.0 - solution.leverage, _TOLERANCE)

    def solve(self, penalty: float, p: float) -> Floats:
        """Return b at the minimum of the objective for this penalty."""
        n, slope = len(self.r), 2.0 / len(self.r) * (self.A.T @ self.r)
        if np.linalg.norm(slope, {1: math.inf, 2: 2, math.inf: 1}[p]) <= penalty:
            return np.zeros(len(slope))
        if p == 1:
            return np.asarray(self._lasso(np.array([penalty / 2.0]))[0])
        from scipy.optimize import brentq

        if p == 2:
            # At the minimum the norm acts as a squared penalty mu = n * penalty / (2 |b|).
            U, s, Vt = np.linalg.svd(self.A, full_matrices=False)
            turned = U.T @ self.r

            def excess(log_mu: float) -> float:
                mu = math.exp(log_mu)
                return float(2.0 * mu * np.linalg.norm(s * turned / (s**2 + mu)) - n * penalty)

            top = math.log(float(s[0]) ** 2)
            mu = math.exp(brentq(excess, top - 60.0, top + 60.0, xtol=1e-13))
            return np.asarray(Vt.T @ (s * turned / (s**2 + mu)))

        def derivative(bound: float) -> float:
            if bound == 0:
                return penalty - float(np.abs(slope).sum())
            residual = self.r - self.A @ self._boxed(bound)
            return penalty - float(np.abs(2.0 / n * (self.A.T @ residual)).sum())

        widest = self._widest()
        return self._boxed(brentq(derivative, 0.0, widest, xtol=1e-13 * widest))

    def terms(self, b: Floats) -> tuple[float, float]:
        """Return the a and c that go best with b."""
        total = self.z.sum(axis=1)
        rest = self.y - self.z @ b
        centred = total - total.mean()
        a = 0.0 if self._free.shape[1] == 1 else float(centred @ rest) / float(centred @ centred)
        return a, float(rest.mean() - a * total.mean())

    # ---------------------------------------------------------------- one norm each

    def _ridge_path(self, penalties: Floats) -> Iterator[Solution]:
        n = len(self.r)
        U, s, Vt = np.linalg.svd(self.A, full_matrices=False)
        turned, free = U.T @ self.r, (self._free**2).sum(axis=1)
        for mu in penalties:
            inverse = 1.0 / (s**2 + n * mu)
            yield Solution(float(mu), Vt.T @ (s * inverse * turned), free + U**2 @ (s**2 * inverse))

    def _lasso(self, penalties: Floats) -> Floats:
        """Return the minimum of ``|r - A b|^2 / (2 n) + penalty * |b|_1`` for falling penalties, a row each."""
        from sklearn.linear_model import lars_path

        knots, _, coefficients = lars_path(self.A, self.r, method="lasso")
        # The solution is linear in the penalty between the knots, which fall.
        rows = [np.interp(penalties, knots[::-1], row[::-1]) for row in coefficients]
        return np.array(rows).reshape(len(rows), len(penalties)).T

    def _boxed(self, bound: float) -> Floats:
        """Return the least squares b with no entry beyond the bound."""
        from scipy.optimize import lsq_linear

        steps = 100 * self.A.shape[1]
        solved: Any = lsq_linear(self.A, self.r, (-bound, bound), method="bvls", tol=1e-14, max_iter=steps)
        return np.asarray(solved.x, dtype=np.float64)

    def _widest(self) -> float:
        """Return a bound that holds nothing back: the largest entry of the shortest least-squares solution."""
        return float(np.abs(np.linalg.lstsq(self.A, self.r, rcond=1e-10)[0]).max(initial=0.0))

    def _leverage(self, columns: Floats) -> Floats:
        """Return the diagonal of the projection on the free terms and these columns, ``(n,)``."""
        U, s, _ = np.linalg.svd(np.column_stack([self._free, columns]), full_matrices=False)
        return np.asarray((U[:, s > 1e-10 * s[0]] ** 2).sum(axis=1))
