"""Models of the lock search: one measurement at a time is the same as all at once, percentiles against counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import percentileofscore

from ogive.predictors.gaussian_process import GaussianProcess
from ogive.spaces.base import get_space
from ogive.strategies._lock_models import Field, Operations, Percentiles


def fitted(X, y, theta=None):
    process = GaussianProcess(length_scale=0.7, noise=0.3, optimise=False)
    if theta is not None:
        process.theta = theta
    return process.fit(X, y)


def test_a_field_that_grew_is_the_process_fitted_to_everything():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.normal(size=40)
    field = Field(fitted(X[:5], y[:5]), X)
    for row in range(5, 40):
        field.add(row)
        if row % 7 == 0:
            field.believe(50)
            field.believe(row)
            field.forget()
    field.observe(y)
    mean, std = fitted(X[:40], y).predict(X, noise=False)
    np.testing.assert_allclose(field.mean, mean, atol=1e-6)
    np.testing.assert_allclose(field.std, std, atol=1e-5)
    process = fitted(X[:40], y)
    np.testing.assert_allclose(field.left_out(), process.leave_one_out()[0], atol=1e-6)
    assert field.noise == pytest.approx(0.3 * y.std())


def test_belief_leaves_the_means_and_lowers_the_deviation_as_a_measurement_would():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=12)
    field = Field(fitted(X[:12], y), X)
    field.observe(y)
    before, std = field.mean.copy(), field.std
    field.believe(20)
    np.testing.assert_array_equal(field.mean, before)
    after = fitted(X[[*range(12), 20]], np.append(y, 0.0)).predict(X, noise=False)[1]
    unit = np.append(y, 0.0).std() / y.std()
    np.testing.assert_allclose(field.std, after / unit, atol=1e-5)
    assert (field.std <= std + 1e-12).all()


def test_percentiles_count_a_certain_space():
    values = np.random.default_rng(2).normal(size=400)
    scale = Percentiles(values, np.full(400, 1e-2))
    at = np.linspace(-2, 2, 41)
    # Higher is worse for the attacker, so the best of the space has the highest percentile.
    expected = [100.0 - percentileofscore(values, v, "mean") for v in at]
    np.testing.assert_allclose(scale(at), expected, atol=1.5)
    assert scale(np.array([-99.0, 99.0])) == pytest.approx([100.0, 0.0], abs=0.1)


def test_percentiles_are_those_of_what_would_be_measured():
    rng = np.random.default_rng(3)
    mean, std = rng.normal(size=50), rng.uniform(0.2, 1.0, 50)
    measured = mean + std * rng.standard_normal((20_000, 50))
    for value in (-1.0, 0.0, 0.7):
        scale = Percentiles(mean, std)
        assert scale(np.array([value]))[0] == pytest.approx(100 * (measured > value).mean(), abs=0.3)
        assert scale.value(float(scale(np.array([value]))[0])) == pytest.approx(value, abs=1e-9)


def test_isomorphic_cells_have_the_same_features():
    space = get_space("transnas_micro")
    cells = space.sample(300, np.random.default_rng(4))
    features = Operations(space)
    X = features(cells)
    np.testing.assert_array_equal(X, features(space.canonical(cells)))
    assert X.shape == (300, len(features.groups))
    assert sorted(set(features.groups)) == [0, 1, 2]
    assert len(np.unique(X, axis=0)) == len(np.unique(space.canonical(cells), axis=0))
