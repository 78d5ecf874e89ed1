"""Latency predictors: CPU time of fit and predict over 2,000 cells, against scikit-learn's Gaussian process.

pytest benchmarks/bench_latency.py --benchmark-only --benchmark-timer=time.process_time
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ogive.predictors.latency import Candidates, get_latency_predictor
from ogive.spaces.base import get_space

MEASURED, ROWS, DEVICES = 100, 2000, 14


@pytest.fixture(scope="module")
def devices():
    """A pool of additive devices with noise, and a target that is no different."""
    rng = np.random.default_rng(0)
    space = get_space("nasbench201")
    codes = space.sample(ROWS, rng)
    X = np.hstack([space.encode(codes, "onehot"), np.ones((ROWS, 1))]).astype(float)
    table = {
        f"d{k}": X @ rng.gamma(2.0, 1.0, X.shape[1]) * np.exp(0.03 * rng.normal(size=ROWS)) for k in range(DEVICES)
    }
    target = X @ rng.gamma(2.0, 1.0, X.shape[1])
    return Candidates(codes, X, 1.0 + X @ rng.gamma(2.0, 1.0, X.shape[1]), table), target


@pytest.mark.parametrize("name", ["raw", "adaproxy", "adaproxy:p=1", "ridge", "pool_ridge", "pool_gp", "default"])
def test_first_fit(benchmark, devices, name):
    """With what the pool teaches learned anew, as for a table just read."""
    candidates, target = devices
    benchmark.group = f"fit on {MEASURED} cells and predict {ROWS:,}"
    index = np.arange(MEASURED)
    benchmark.pedantic(
        lambda: get_latency_predictor(name).fit(replace(candidates), index, target[index]).predict(), rounds=5
    )


@pytest.mark.parametrize("name", ["pool_gp", "default"])
def test_next_fit(benchmark, devices, name):
    candidates, target = devices
    benchmark.group = f"fit on {MEASURED} cells and predict {ROWS:,}, the pool known"
    index = np.arange(MEASURED)
    model = get_latency_predictor(name)
    benchmark.pedantic(lambda: model.fit(candidates, index, target[index]).predict(), rounds=5, warmup_rounds=1)


def test_scikit_learn(benchmark, devices):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

    candidates, target = devices
    benchmark.group = f"fit on {MEASURED} cells and predict {ROWS:,}"
    X = np.hstack([candidates.encoding, np.log(np.stack(list(candidates.pool.values()), axis=1))])
    kernel = ConstantKernel() * Matern(3.0, nu=2.5) + DotProduct() + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, normalize_y=True)
    benchmark.pedantic(lambda: model.fit(X[:MEASURED], np.log(target[:MEASURED])).predict(X, return_std=True), rounds=3)
