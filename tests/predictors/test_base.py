"""Every registered predictor learns from real architectures and says how sure it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata, spearmanr

from ogive._errors import InputError, UnknownNameError
from ogive.predictors import PREDICTORS, get_predictor
from ogive.predictors.base import LeaveOneOut, Predictor, rank_gaussian
from ogive.predictors.calibration import calibration
from ogive.predictors.features import Features
from ogive.spaces.base import get_space

CALIBRATED = {"gaussian_process": 0.85, "ridge": 0.75, "boosting": 0.85, "graph_network": 0.75, "comparator": 0.85}
"""Spearman correlation that each must reach from 100 labels; `specs` measured .76 to .94 for models of this kind."""


@pytest.fixture(scope="module")
def cells(shared):
    space = get_space("nasbench201")
    genotypes = space.from_index(space.official())
    y = rank_gaussian(pd.read_csv(shared / "nasbench201.csv.gz")["cifar10_val_accuracy"].to_numpy())
    order = np.random.default_rng(0).permutation(len(y))
    return space, genotypes, y, order[:100], order[100:2100]


@pytest.mark.parametrize("name", sorted(PREDICTORS))
def test_predicts_and_is_calibrated(name, cells):
    space, genotypes, y, train, test = cells
    X = space.encode(genotypes, "graph") if name == "graph_network" else Features(space)(genotypes)
    spec = "graph_network:members=2,steps=80" if name == "graph_network" else name
    mean, std = get_predictor(spec).fit(X[train], y[train]).predict(X[test])
    report = calibration(y[test], mean, std)
    assert report.spearman > CALIBRATED[name]
    assert report.calibration_error < 0.15
    assert 0.8 < report.coverage_95 <= 1.0


@pytest.mark.parametrize("name", sorted(PREDICTORS))
def test_is_deterministic_and_leaves_its_input_alone(name):
    space = get_space("nasbench201")
    genotypes = space.sample(30, np.random.default_rng(1))
    X = space.encode(genotypes, "graph").astype(np.float64)
    y = genotypes.sum(axis=1).astype(np.float64)
    spec = "graph_network:members=2,steps=5" if name == "graph_network" else name
    before = X.copy(), y.copy()
    first, second = (get_predictor(spec).fit(X, y).predict(X) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == (30,)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert isinstance(get_predictor(spec), Predictor)


def test_closed_forms():
    assert {n for n in PREDICTORS if isinstance(get_predictor(n), LeaveOneOut)} == {"gaussian_process", "ridge"}


def test_rank_gaussian_is_the_normal_quantile_of_the_mean_rank():
    values = np.array([3.0, -np.inf, 7.0, 3.0, 1e300])
    np.testing.assert_allclose(rank_gaussian(values), norm.ppf((rankdata(values) - 0.5) / 5))
    assert spearmanr(values[1:], rank_gaussian(values)[1:]).statistic == pytest.approx(1.0)
    assert rank_gaussian(np.empty(0)).shape == (0,)


def test_unknown_names_and_options():
    with pytest.raises(UnknownNameError, match="ridge"):
        get_predictor("rigde")
    with pytest.raises(InputError, match="ridge:width=3"):
        get_predictor("ridge:width=3")
    with pytest.raises(InputError, match="members"):
        get_predictor("boosting:members=1")
    with pytest.raises(InputError, match="members"):
        get_predictor("graph_network:members=1")


@pytest.mark.parametrize("name", ["boosting", "ridge", "graph_network"])
def test_too_few_rows_are_refused(name):
    with pytest.raises(InputError, match="at least 2"):
        get_predictor(name).fit(np.zeros((1, 2)), np.zeros(1))


def test_graph_network_reads_graphs_only():
    with pytest.raises(InputError, match="'graph'"):
        get_predictor("graph_network").fit(np.zeros((4, 5)), np.arange(4.0))


def test_graph_network_does_not_see_how_vertices_are_numbered():
    # Two orders of the same diamond: input -> a, input -> b, both -> output.
    ops = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 1, 3], [0, 2, 2, 3]])
    adjacency = np.zeros((4, 4, 4))
    adjacency[:, 0, 1] = adjacency[:, 0, 2] = adjacency[:, 1, 3] = adjacency[:, 2, 3] = 1
    X = np.hstack([ops, adjacency.reshape(4, -1)])
    model = get_predictor("graph_network:members=2,steps=20").fit(X, np.array([1.0, 1.0, 0.0, 3.0]))
    mean, _ = model.predict(X)
    assert mean[0] == pytest.approx(mean[1], abs=1e-5)
    assert abs(mean[2] - mean[3]) > 0.1
