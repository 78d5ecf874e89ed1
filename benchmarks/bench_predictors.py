"""Predictors: CPU time of fit and predict over all of NAS-Bench-201, ours against scikit-learn's Gaussian process.

pytest benchmarks/bench_predictors.py --benchmark-only --benchmark-timer=time.process_time
"""

from __future__ import annotations

import numpy as np
import pytest

from ogive.predictors import get_predictor
from ogive.predictors.features import Features
from ogive.predictors.gaussian_process import GaussianProcess
from ogive.spaces.base import get_space

LABELS = 200


@pytest.fixture(scope="module")
def cells():
    space = get_space("nasbench201")
    genotypes = space.enumerate()
    features = Features(space)
    order = np.random.default_rng(0).permutation(len(genotypes))[:LABELS]
    X = features(genotypes)
    y = (genotypes == 3).sum(axis=1) + 0.3 * np.random.default_rng(1).normal(size=len(genotypes))
    return space, genotypes, X, y, order, features.groups.tolist()


def test_gaussian_process(benchmark, cells):
    _, _, X, y, order, groups = cells
    benchmark.group = "fit on 200 cells and predict 15,625"
    benchmark(lambda: GaussianProcess(groups=groups).fit(X[order], y[order]).predict(X))


def test_gaussian_process_of_scikit_learn(benchmark, cells):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    _, _, X, y, order, _ = cells
    benchmark.group = "fit on 200 cells and predict 15,625"
    kernel = ConstantKernel() * Matern(7.0, nu=2.5) + WhiteKernel(0.1)
    benchmark.pedantic(
        lambda: GaussianProcessRegressor(kernel, normalize_y=True).fit(X[order], y[order]).predict(X, return_std=True),
        rounds=3,
    )


@pytest.mark.parametrize("name", ["ridge", "boosting", "comparator"])
def test_other_predictors(benchmark, cells, name):
    _, _, X, y, order, _ = cells
    benchmark.group = "fit on 200 cells and predict 15,625"
    benchmark.pedantic(lambda: get_predictor(name).fit(X[order], y[order]).predict(X), rounds=3)


def test_graph_network(benchmark, cells):
    import torch

    torch.set_num_threads(1)
    space, genotypes, _, y, order, _ = cells
    G = space.encode(genotypes, "graph")
    benchmark.group = "fit on 200 cells and predict 15,625"
    benchmark.pedantic(lambda: get_predictor("graph_network").fit(G[order], y[order]).predict(G), rounds=1)


def test_functional_encoding(benchmark, cells):
    space, genotypes, *_ = cells
    space.canonical(genotypes[:1])
    benchmark.group = "encode 15,625"
    benchmark(lambda: space.encode(genotypes, "functional"))
