"""The Gaussian process against scikit-learn, finite differences and brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import rankdata, spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from ogive._errors import InputError
from ogive.predictors.base import rank_gaussian
from ogive.predictors.features import Features
from ogive.predictors.gaussian_process import GaussianProcess
from ogive.spaces.base import get_space

GROUPS = [0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    y = 70 + 3 * np.sin(X[:, 0]) + X[:, 1] ** 2 + 0.2 * rng.normal(size=60)
    return X, y, rng.normal(size=(200, 5))


def fixed(kernel, **options):
    return GaussianProcess(
        kernel, groups=GROUPS, length_scale=[1.3, 0.8], signal=0.9, noise=0.3, optimise=False, **options
    )


@pytest.mark.parametrize("kernel", ["matern52", "rbf"])
def test_agrees_with_scikit_learn(kernel, data):
    X, y, Z = data
    mine = fixed(kernel).fit(X, y)
    # One length scale a feature: ours are of the mean over a group.
    scales = np.array([1.3 * np.sqrt(2)] * 2 + [0.8 * np.sqrt(3)] * 3)
    shape = Matern(scales, nu=2.5) if kernel == "matern52" else RBF(scales)
    other = GaussianProcessRegressor(ConstantKernel(0.81) * shape + WhiteKernel(0.09), alpha=1e-8, optimizer=None).fit(
        X, (y - y.mean()) / y.std()
    )
    mean, std = other.predict(Z, return_std=True)
    ours, spread = mine.predict(Z)
    np.testing.assert_allclose(ours, mean * y.std() + y.mean(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(spread, std * y.std(), rtol=0, atol=1e-6)
    assert mine.log_marginal_likelihood()[0] == pytest.approx(other.log_marginal_likelihood_value_, abs=1e-6)


@pytest.mark.parametrize("kernel", ["matern52", "rbf"])
def test_gradient_is_that_of_finite_differences(kernel, data):
    X, y, _ = data
    process = fixed(kernel).fit(X, y)
    for theta in ([0.2, 0.4, -0.3, -1.0], [-0.5, 1.5, 0.7, -2.5]):
        numeric = approx_fprime(np.array(theta), lambda t: process.log_marginal_likelihood(t)[0], 1e-6)
        np.testing.assert_allclose(process.log_marginal_likelihood(np.array(theta))[1], numeric, rtol=1e-4, atol=1e-3)
        loss = approx_fprime(np.array(theta), lambda t: process._loss(t)[0], 1e-6)
        np.testing.assert_allclose(process._loss(np.array(theta))[1], loss, rtol=1e-4, atol=1e-3)


def test_fit_climbs_to_a_stationary_point(data):
    X, y, Z = data
    process = GaussianProcess(groups=GROUPS, steps=500).fit(X, y)
    assert np.abs(process._loss(process.theta)[1]).max() < 1e-2
    assert process._loss(process.theta)[0] < process._loss(GaussianProcess(groups=GROUPS).theta)[0]
    truth = 70 + 3 * np.sin(Z[:, 0]) + Z[:, 1] ** 2
    inner = np.abs(Z).max(axis=1) < 1.5
    assert np.corrcoef(process.predict(Z)[0][inner], truth[inner])[0, 1] > 0.95


@pytest.mark.parametrize("kernel", ["matern52", "rbf"])
def test_leave_one_out_is_that_of_leaving_each_out(kernel, data):
    X, y, _ = data
    process = fixed(kernel).fit(X, y)
    mean, std = process.leave_one_out()
    K = process.covariance(X, X) + (process.noise**2 + 1e-8) * np.eye(len(X))
    scaled = (y - y.mean()) / y.std()
    for i in range(0, len(X), 7):
        others = np.delete(np.arange(len(X)), i)
        solved = np.linalg.solve(K[np.ix_(others, others)], np.stack([scaled[others], K[others, i]], axis=1))
        assert mean[i] == pytest.approx(K[i, others] @ solved[:, 0] * y.std() + y.mean(), abs=1e-8)
        assert std[i] == pytest.approx(np.sqrt(K[i, i] - K[i, others] @ solved[:, 1]) * y.std(), abs=1e-8)


def test_believing_is_fitting_with_the_mean_as_a_label(data):
    X, y, Z = data
    process = fixed("matern52").fit(X, y)
    posterior = process.posterior(Z)
    np.testing.assert_allclose(posterior.mean, process.predict(Z)[0], atol=1e-10)
    np.testing.assert_allclose(posterior.std, process.predict(Z, noise=False)[1], atol=1e-8)
    before = posterior.mean
    for row in (3, 50, 4):
        posterior.believe(row)
    K = process.covariance(np.vstack([X, Z[[3, 50, 4]]]), np.vstack([X, Z[[3, 50, 4]], Z]))
    own = K[:, :63] + (process.noise**2 + 1e-8) * np.eye(63)
    variance = process.signal**2 - np.einsum("ij,ij->j", K[:, 63:], np.linalg.solve(own, K[:, 63:]))
    np.testing.assert_allclose(posterior.std, np.sqrt(variance) * y.std(), atol=1e-6)
    np.testing.assert_allclose(posterior.mean, before)


def test_noise_can_be_left_out(data):
    X, y, Z = data
    process = fixed("rbf").fit(X, y)
    wide, narrow = process.predict(Z)[1], process.predict(Z, noise=False)[1]
    np.testing.assert_allclose(wide**2 - narrow**2, (0.3 * y.std()) ** 2, rtol=1e-9)


def test_blocks_change_nothing(data):
    X, y, _ = data
    process = fixed("matern52").fit(X, y)
    many = np.random.default_rng(1).normal(size=(5000, 5))
    np.testing.assert_allclose(process.predict(many)[0][4990:], process.predict(many[4990:])[0], atol=1e-12)


def test_constant_targets_and_repeated_rows_are_no_trap():
    X = np.zeros((6, 2))
    mean, std = GaussianProcess().fit(X, np.full(6, 3.0)).predict(np.ones((2, 2)))
    np.testing.assert_allclose(mean, 3.0)
    assert np.isfinite(std).all()


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((3, 2)), np.zeros(4), "features"),
        (np.zeros((3, 2)), np.array([0, np.nan, 1]), "not finite"),
        (np.zeros((2001, 2)), np.zeros(2001), "at most 2,000"),
    ],
)
def test_bad_rows_are_refused(X, y, message):
    with pytest.raises(InputError, match=message):
        GaussianProcess().fit(X, y)


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="kernel"):
        GaussianProcess("cubic")
    with pytest.raises(InputError, match="positive"):
        GaussianProcess(noise=0.0)
    with pytest.raises(InputError, match="groups name 5"):
        GaussianProcess(groups=GROUPS).fit(np.zeros((4, 3)), np.arange(4.0))


@pytest.mark.slow
def test_a_hundred_labels_a_task_tell_tasks_apart_on_transnas_micro(shared):
    frame = pd.read_csv(shared / "transnasbench101_micro.csv.gz")
    space = get_space("transnas_micro")
    features, genotypes = Features(space), space.parse(frame["arch"].tolist())
    X, groups = features(genotypes), features.groups.tolist()
    scores = np.stack([frame[c].to_numpy() for c in frame if c.endswith("_val")])
    kinds = space.index(space.canonical(genotypes))
    rhos, gaps = [], []
    for seed in range(5):
        train = np.random.default_rng(seed).permutation(len(X))[:100]
        # Only cells that compute another function than every labelled one are unseen.
        test = ~np.isin(kinds, kinds[train])
        models = [GaussianProcess(groups=groups).fit(X[train], rank_gaussian(y[train])) for y in scores]
        predicted = rankdata([model.predict(X[test])[0] for model in models], axis=1)
        true = rankdata(scores[:, test], axis=1)
        rhos += [spearmanr(p, t).statistic for p, t in zip(predicted, true, strict=True)]
        pairs = combinations(range(len(scores)), 2)
        gaps += [spearmanr(predicted[i] - predicted[j], true[i] - true[j]).statistic for i, j in pairs]
    # The specification asks for 0.75 and 0.40.
    assert np.mean(rhos) >= 0.75
    assert np.mean(gaps) >= 0.48
