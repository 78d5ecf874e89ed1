"""Ridge against scikit-learn and brute-force leave-one-out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference

from ogive._errors import InputError
from ogive.predictors.ridge import Ridge


@pytest.fixture(params=[(40, 6), (15, 30)], ids=["tall", "wide"])
def data(request):
    rng = np.random.default_rng(2)
    n, d = request.param
    X = rng.normal(2, 3, size=(n, d))
    return X, X @ rng.normal(size=d) + rng.normal(size=n), rng.normal(2, 3, size=(50, d))


def test_mean_is_that_of_scikit_learn(data):
    X, y, Z = data
    mine = Ridge(0.3).fit(X, y)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    other = Reference(alpha=0.3 * len(X)).fit((X - centre) / scale, y)
    np.testing.assert_allclose(mine.predict(Z)[0], other.predict((Z - centre) / scale), atol=1e-8)


def test_leave_one_out_is_that_of_leaving_each_out(data):
    X, y, _ = data
    model = Ridge(0.3).fit(X, y)
    mean, std = model.leave_one_out()
    S = (X - X.mean(axis=0)) / X.std(axis=0)
    for i in range(len(X)):
        others = np.delete(np.arange(len(X)), i)
        other = Reference(alpha=0.3 * len(X)).fit(S[others], y[others])
        assert mean[i] == pytest.approx(other.predict(S[i : i + 1])[0], abs=1e-7)
    assert (std > 0).all()


def test_the_penalty_is_the_one_with_the_least_left_out_error(data):
    X, y, _ = data
    best = Ridge().fit(X, y)
    error = np.mean((y - best.leave_one_out()[0]) ** 2)
    for penalty in np.logspace(-4, 4, 33):
        assert np.mean((y - Ridge(penalty).fit(X, y).leave_one_out()[0]) ** 2) >= error - 1e-9
    assert best.chosen_penalty in np.logspace(-4, 4, 33)


def test_deviation_is_that_of_the_bayesian_linear_model(data):
    X, y, Z = data
    model = Ridge(0.3).fit(X, y)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    S, T = (X - centre) / scale, (Z - centre) / scale
    posterior = np.linalg.inv(S.T @ S + 0.3 * len(X) * np.eye(X.shape[1]))
    expected = model._noise * np.sqrt(1 + 1 / len(X) + np.einsum("ij,jk,ik->i", T, posterior, T))
    np.testing.assert_allclose(model.predict(Z)[1], expected, rtol=1e-8)


def test_constant_columns_are_no_trap():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(20, 2)), np.full((20, 1), 0.1)])
    mean, std = Ridge().fit(X, X[:, 0]).predict(np.array([[1.0, 0.0, 5.0]]))
    assert abs(mean[0]) < 10
    assert np.isfinite(std).all()


def test_bad_penalty_is_refused():
    with pytest.raises(InputError, match="penalty"):
        Ridge(-1.0)
