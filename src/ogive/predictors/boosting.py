"""Gradient-boosted regression trees with a spread: scikit-learn's, one ensemble member a resample of the labels.

Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", Annals of Statistics 29(5), 2001; the spread of
bootstrapped members plus their out-of-bag residuals (Breiman, "Bagging Predictors", Machine Learning 24, 1996).
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from ogive._errors import InputError
from ogive.predictors.base import PREDICTORS, Floats, checked


class Boosting:
    """Bootstrapped gradient boosting.

    Parameters
    ----------
    members : int
        Boosted models, each on its own bootstrap sample of the labels; at least 2.
    trees : int
        Trees of each model.
    depth : int
        Depth of each tree.
    learning_rate : float
    seed : int
    """

    name: ClassVar[str] = "boosting"

    def __init__(
        self, members: int = 8, trees: int = 100, depth: int = 3, learning_rate: float = 0.1, seed: int = 0
    ) -> None:
        if members < 2 or trees < 1 or depth < 1 or not 0 < learning_rate <= 1:
            raise InputError("boosting needs members >= 2, trees >= 1, depth >= 1 and a learning rate in (0, 1]")
        self.members, self.trees, self.depth, self.learning_rate, self.seed = members, trees, depth, learning_rate, seed

    def fit(self, X: Floats, y: Floats) -> Self:
        """Learn from n measured rows; see `Predictor.fit`."""
        from sklearn.ensemble import GradientBoostingRegressor

        X, y = checked(X, y)
        rng = np.random.default_rng(self.seed)
        n = len(X)
        self._models = []
        total, votes = np.zeros(n), np.zeros(n)
        for member in range(self.members):
            drawn = rng.integers(0, n, n)
            model = GradientBoostingRegressor(
                n_estimators=self.trees, max_depth=self.depth, learning_rate=self.learning_rate, random_state=member
            ).fit(X[drawn], y[drawn])
            self._models.append(model)
            out = np.setdiff1d(np.arange(n), drawn)
            if out.size:
                total[out] += model.predict(X[out])
                votes[out] += 1
        seen = votes > 0
        residual = y[seen] - total[seen] / votes[seen]
        self._noise = float(np.sqrt((residual**2).mean())) if seen.any() else float(y.std())
        return self

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a measurement of each row, two arrays ``(n,)``.

        The out-of-bag residual holds noise and the usual spread of the members; rows on which the members disagree
        more than usual get more.
        """
        X = np.asarray(X, dtype=np.float64)
        votes = np.stack([m.predict(X) for m in self._models])
        return votes.mean(axis=0), np.hypot(self._noise, votes.std(axis=0))


PREDICTORS.add("boosting", Boosting)
