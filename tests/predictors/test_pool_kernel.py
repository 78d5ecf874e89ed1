"""The pool process's likelihood, gradient, predictions and leave-one-out against direct computation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from ogive.predictors._pool_kernel import DEVIATION, MEDIANS, Conditioned, Profiles, covariance, learn

THETA = np.log([1.5, 0.3, 0.2, 0.7, 0.1, 0.05])


@pytest.fixture
def profiles():
    rng = np.random.default_rng(1)
    return Profiles(rng.integers(0, 3, (30, 4)), rng.normal(size=(30, 3)), rng.normal(size=(30, 2)))


@pytest.fixture
def values():
    return np.random.default_rng(2).normal(5, 3, size=20)


def dense(profiles, theta):
    """The covariance entry by entry, as the module's docstring writes it."""
    decay, signal, additive, pool, counts, _ = np.exp(theta)
    K = np.empty((30, 30))
    for i in range(30):
        for j in range(30):
            d = np.mean(profiles.codes[i] != profiles.codes[j])
            K[i, j] = signal * np.exp(-decay * d) + additive * (1 - d)
            K[i, j] += pool * profiles.pool[i] @ profiles.pool[j] + counts * profiles.counts[i] @ profiles.counts[j]
    return K


def test_covariance(profiles):
    rows = np.arange(30)
    np.testing.assert_allclose(covariance(THETA, profiles.likeness(rows, rows)), dense(profiles, THETA))
    np.testing.assert_allclose(covariance(THETA, profiles.own(rows)), np.diag(dense(profiles, THETA)))


def test_evidence_is_the_likelihood_of_differences(profiles, values):
    """Restricted likelihood: that of the values with their constant removed, whatever basis removes it."""
    seen = np.arange(20)
    K = dense(profiles, THETA)[:20, :20] + np.exp(THETA[-1]) * np.eye(20)
    basis = np.linalg.svd(np.eye(20) - 1 / 20)[0][:, :19]

    def reference(theta_scale):
        y = values * theta_scale
        z = (y - y.mean()) / y.std()
        return multivariate_normal(np.zeros(19), basis.T @ K @ basis).logpdf(basis.T @ z) - 19 * np.log(y.std())

    like = profiles.likeness(seen, seen)
    offsets = [Conditioned(THETA, like, values * s).evidence - reference(s) for s in (1.0, 3.0)]
    assert offsets[0] == pytest.approx(offsets[1], abs=1e-4)
    other = np.random.default_rng(5).normal(size=20)
    z = (other - other.mean()) / other.std()
    expected = multivariate_normal(np.zeros(19), basis.T @ K @ basis).logpdf(basis.T @ z) - 19 * np.log(other.std())
    assert Conditioned(THETA, like, other).evidence - expected == pytest.approx(offsets[0], abs=1e-4)


def test_gradient(profiles, values):
    like = profiles.likeness(np.arange(20), np.arange(20))
    numeric = approx_fprime(THETA, lambda t: Conditioned(t, like, values).evidence, 1e-6)
    np.testing.assert_allclose(Conditioned(THETA, like, values).gradient(like), numeric, rtol=1e-3, atol=1e-4)


def test_predictions_are_those_of_kriging(profiles, values):
    """Universal kriging with an unknown constant: the bordered linear system."""
    seen, unseen = np.arange(20), np.arange(20, 30)
    K = dense(profiles, THETA)
    noise = np.exp(THETA[-1])
    bordered = np.block([[K[:20, :20] + noise * np.eye(20), np.ones((20, 1))], [np.ones((1, 20)), np.zeros((1, 1))]])
    right = np.vstack([K[:20, 20:], np.ones((1, 10))])
    weights = np.linalg.solve(bordered, right)
    given = Conditioned(THETA, profiles.likeness(seen, seen), values)
    mean, deviation = given.predict(profiles.likeness(unseen, seen), profiles.own(unseen))
    np.testing.assert_allclose(mean, weights[:20].T @ values, rtol=1e-6)
    variance = np.diag(K)[20:] + noise - np.einsum("ij,ij->j", weights, right)
    np.testing.assert_allclose(deviation, np.sqrt(variance) * values.std(), rtol=1e-6)


def test_leave_one_out_is_that_of_leaving_each_out(profiles, values):
    seen = np.arange(20)
    mean, deviation = Conditioned(THETA, profiles.likeness(seen, seen), values).leave_one_out()
    for i in range(0, 20, 3):
        rest = np.delete(seen, i)
        given = Conditioned(THETA, profiles.likeness(rest, rest), values[rest])
        one, spread = given.predict(profiles.likeness(seen[i : i + 1], rest), profiles.own(seen[i : i + 1]))
        assert mean[i] == pytest.approx(one[0], rel=1e-5)
        assert deviation[i] / values.std() == pytest.approx(spread[0] / values[rest].std(), rel=1e-5)


def test_learning_climbs_to_a_flat_place(profiles, values):
    like = profiles.likeness(np.arange(20), np.arange(20))
    found = learn(like, values, MEDIANS, np.full(6, DEVIATION))

    def posterior(theta):
        return Conditioned(theta, like, values).evidence - 0.5 * (((theta - MEDIANS) / DEVIATION) ** 2).sum()

    assert posterior(found) > posterior(MEDIANS)
    for step in np.vstack([np.eye(6), -np.eye(6)]) * 0.3:
        assert posterior(found) >= posterior(found + step)
