"""DNGO: evidence and posterior against brute force, gradient against finite differences, improvement against chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, spearmanr

from ogive._errors import InputError
from ogive.predictors.base import Predictor
from ogive.predictors.dngo import DNGO, _evidence, _gradient
from ogive.strategies.bayesian import expected_gain


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, -2.0, 1.0]
    y = 80 + 5 * np.sin(X[:, 0]) + (X[:, 3] - 1) ** 2 + 0.1 * rng.normal(size=60)
    return X, y


@pytest.mark.parametrize(("n", "width"), [(12, 30), (40, 7)])
def test_evidence_is_that_of_the_gaussian(n, width):
    rng = np.random.default_rng(n)
    phi, y = np.tanh(rng.normal(size=(n, width))), rng.normal(size=n)
    U, s, _ = np.linalg.svd(phi, full_matrices=False)
    along = U.T @ y
    for alpha, beta in ((0.3, 2.0), (5.0, 0.5), (1e-2, 300.0)):
        ours = _evidence(np.log([alpha, beta]), s, along, y @ y - along @ along, n)
        covariance = phi @ phi.T / alpha + np.eye(n) / beta
        assert ours == pytest.approx(multivariate_normal(cov=covariance).logpdf(y), rel=1e-8)


def test_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(1)
    X, y = np.hstack([rng.normal(size=(6, 3)), np.ones((6, 1))]), rng.normal(size=6)
    flat = rng.normal(size=4 * 5 + 6)

    def loss(w):
        return ((np.tanh(X @ w[:20].reshape(4, 5)) @ w[20:-1] + w[-1] - y) ** 2).mean()

    gradient = _gradient(flat[:20].reshape(4, 5), flat[20:], X, y)
    numeric = [(loss(flat + 1e-6 * e) - loss(flat - 1e-6 * e)) / 2e-6 for e in np.eye(len(flat))]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)


def test_posterior_is_bayesian_regression_on_the_hidden_units(data):
    X, y = data
    model = DNGO(width=20, epochs=20).fit(X[:40], y[:40])
    alpha, beta = np.exp(model.log_precisions)
    phi, new = model.basis(X[:40]), model.basis(X[40:])
    K = phi @ phi.T / alpha + np.eye(40) / beta
    cross = new @ phi.T / alpha
    mean = cross @ np.linalg.solve(K, (y[:40] - y[:40].mean()) / y[:40].std()) * y[:40].std() + y[:40].mean()
    variance = (new**2).sum(axis=1) / alpha - np.einsum("ij,ji->i", cross, np.linalg.solve(K, cross.T)) + 1 / beta
    ours, spread = model.predict(X[40:])
    np.testing.assert_allclose(ours, mean, rtol=1e-6)
    # A standard deviation: the published code used the variance in its place.
    np.testing.assert_allclose(spread, np.sqrt(variance) * y[:40].std(), rtol=1e-4)


def test_a_belief_narrows_as_one_more_measurement_would(data):
    X, y = data
    model = DNGO(width=20, epochs=20).fit(X[:40], y[:40])
    before, after = model.posterior(X[40:]), model.posterior(X[40:])
    after.believe(3)
    np.testing.assert_array_equal(after.mean, before.mean)
    alpha, beta = np.exp(model.log_precisions)
    phi, new = model.basis(np.vstack([X[:40], X[43:44]])), model.basis(X[40:])
    covariance = np.linalg.inv(alpha * np.eye(20) + beta * phi.T @ phi)
    np.testing.assert_allclose(after.std**2, np.einsum("ij,jk,ik->i", new, covariance, new) * y[:40].std() ** 2)
    assert after.std[3] < before.std[3]


def test_its_expected_improvement_is_that_of_many_draws(data):
    X, y = data
    model = DNGO(width=20, epochs=20).fit(X[:40], y[:40])
    seen = model.posterior(X[40:])
    best = np.sort(seen.mean)[-3]
    draws = np.random.default_rng(0).normal(seen.mean, seen.std, (400_000, 20))
    expected = np.maximum(draws - best, 0).mean(axis=0)
    gain = expected_gain(
        seen.mean[:, None], seen.std[:, None], np.array([[best]]), np.zeros(1), np.random.default_rng(0)
    )
    assert expected.max() > 0.1
    np.testing.assert_allclose(np.exp(gain), expected, atol=1e-2)


def test_learns_a_bend_from_any_scale(data):
    X, y = data
    mean, spread = DNGO(seed=1).fit(X[:45], y[:45]).predict(X[45:])
    assert spearmanr(mean, y[45:]).statistic > 0.8
    assert (spread > 0).all()
    again, _ = DNGO(seed=1).fit(X[:45], y[:45]).predict(X[45:])
    np.testing.assert_array_equal(again, mean)
    scaled, _ = DNGO(seed=1).fit(X[:45] * 100 - 7, y[:45] * 1e3).predict(X[45:] * 100 - 7)
    np.testing.assert_allclose(scaled, mean * 1e3, rtol=1e-5)
    assert isinstance(DNGO(), Predictor)


def test_the_network_can_stay_while_its_output_learns(data):
    X, y = data
    model = DNGO(width=20, epochs=20).fit(X[:20], y[:20])
    network = model.network.copy()
    first = model.predict(X[20:])[0]
    model.fit(X[:40], y[:40], learn=False)
    np.testing.assert_array_equal(model.network, network)
    assert np.abs(model.predict(X[20:])[0] - y[20:]).mean() < np.abs(first - y[20:]).mean()


def test_bad_options_and_data():
    with pytest.raises(InputError, match="width"):
        DNGO(width=0)
    with pytest.raises(InputError, match="learning rate"):
        DNGO(learning_rate=float("nan"))
    with pytest.raises(InputError, match="not finite"):
        DNGO().fit(np.zeros((3, 2)), np.array([0.0, np.nan, 1.0]))
