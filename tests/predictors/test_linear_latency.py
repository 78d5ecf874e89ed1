"""Linear latency predictors on the published table (P7) and their safety (P6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from ogive.predictors.latency import get_latency_predictor
from ogive.predictors.linear_latency import AdaProxy, LinearRidge, PoolRidge, RawProxy, proxy_latencies
from ogive.predictors.ridge import Ridge
from tests.predictors.conftest import PROXY


def mean_srcc(top, make, n, seeds=10):
    found = []
    for target in top.targets:
        candidates, truth = top.candidates(target), top.latencies[target]
        for seed in range(seeds):
            seen, unseen = top.split(target, seed, n)
            mean, _ = make().fit(candidates, seen, truth[seen]).predict()
            found.append(spearmanr(mean[unseen], truth[unseen]).statistic)
    return np.mean(found)


@pytest.mark.parametrize(("n", "bar"), [(20, 0.78), (30, 0.84), (50, 0.895), (100, 0.93)])
def test_adaproxy_reaches_its_bar(top, n, bar):
    assert mean_srcc(top, lambda: AdaProxy(proxy=PROXY), n) >= bar


def test_the_raw_proxy_has_the_published_correlation(top):
    assert mean_srcc(top, lambda: RawProxy(proxy=PROXY), 10, seeds=2) == pytest.approx(0.714, abs=0.003)


@pytest.mark.parametrize(
    ("make", "n", "published"),
    [(RawProxy, 50, 0.883), (PoolRidge, 20, 0.898), (PoolRidge, 100, 0.941), (LinearRidge, 100, 0.940)],
    ids=["best of pool", "pool ridge 20", "pool ridge 100", "ridge"],
)
def test_others_are_near_the_published_figures(top, make, n, published):
    assert mean_srcc(top, make, n, seeds=3) == pytest.approx(published, abs=0.02)


def test_selection_by_hold_out_is_worse(top):
    loo, held = (mean_srcc(top, lambda s=s: AdaProxy(proxy=PROXY, select=s), 30, seeds=3) for s in ("loo", "holdout"))
    assert held < loo - 0.02


@pytest.mark.parametrize("p", [1, 2, "inf"])
def test_dependent_columns_change_nothing(top, p):
    target = "eagle_sd855_cpu_int8"
    candidates, truth = top.candidates(target), top.latencies[target]
    X = candidates.encoding
    wide = replace(candidates, encoding=np.hstack([X, X[:, :7], X[:, [3]] - 2 * X[:, [8]], X.sum(axis=1)[:, None]]))
    seen, _ = top.split(target, 0, 40)
    one, other = (AdaProxy(proxy=PROXY, p=p).fit(c, seen, truth[seen]) for c in (candidates, wide))
    np.testing.assert_allclose(other.predict()[0], one.predict()[0], rtol=1e-8)
    np.testing.assert_allclose(other.leave_one_out()[0], one.leave_one_out()[0], rtol=1e-8)
    assert np.abs(one.proxy_weights).max() < 1e3 * top.latencies[PROXY].max()


def test_a_monotone_transform_keeps_its_order(toy):
    candidates, _ = toy
    target = candidates.pool["two"] ** 2 + 1.0
    for n in (1, 2, 5, 20):
        index = np.random.default_rng(n).permutation(300)[:n]
        mean, _ = RawProxy(proxy="two").fit(candidates, index, target[index]).predict()
        assert spearmanr(mean, target).statistic == pytest.approx(1.0)


def test_a_power_law_is_found(toy):
    candidates, _ = toy
    target = 3.0 * candidates.pool["one"] ** 1.5
    index = np.random.default_rng(0).permutation(300)[:80]
    mean, spread = RawProxy(proxy="one").fit(candidates, index, target[index]).predict()
    assert np.abs(mean / target - 1).max() < 0.05
    assert (spread < 0.05 * mean).all()


def test_the_nearest_proxy_is_picked(toy):
    candidates, _ = toy
    rng = np.random.default_rng(1)
    for name in ("one", "two", "macs"):
        target = proxy_latencies(candidates)[name] * np.exp(0.01 * rng.normal(size=300))
        model = RawProxy().fit(candidates, np.arange(40), target[:40])
        assert model.chosen_proxy == name
        assert AdaProxy().fit(candidates, np.arange(40), target[:40]).chosen_proxy == name


def test_without_measurements_a_proxy_stands_as_it_is(toy):
    candidates, _ = toy
    model = RawProxy(proxy="one").fit(candidates, [], [])
    mean, spread = model.predict()
    np.testing.assert_array_equal(mean, candidates.pool["one"])
    np.testing.assert_allclose(spread, 0.5 * mean)


def test_leaving_out_picks_the_proxy_anew(toy):
    candidates, truth = toy
    index = np.arange(12)
    model = RawProxy().fit(candidates, index, truth[index])
    for i in range(12):
        rest = np.delete(index, i)
        nearest = RawProxy().fit(candidates, rest, truth[rest]).chosen_proxy
        again = RawProxy(proxy=nearest).fit(candidates, index, truth[index])
        assert model.leave_one_out()[0][i] == pytest.approx(again.predict()[0][i])


def test_ridges_are_ridge_regressions(toy):
    candidates, truth = toy
    index = np.arange(60)
    flat = Ridge().fit(candidates.encoding[index], truth[index])
    model = get_latency_predictor("ridge").fit(candidates, index, truth[index])
    np.testing.assert_allclose(model.predict()[0], flat.predict(candidates.encoding)[0])
    X = np.log(np.column_stack([candidates.pool["one"], candidates.pool["two"], candidates.macs]))
    pooled = Ridge().fit(X[index], np.log(truth[index]))
    model = get_latency_predictor("pool_ridge").fit(candidates, index, truth[index])
    np.testing.assert_allclose(model.predict()[0], np.exp(pooled.predict(X)[0]))
    np.testing.assert_allclose(model.leave_one_out()[0], np.exp(pooled.leave_one_out()[0]))


def test_spread_is_the_relative_error_of_leave_one_out(toy):
    candidates, truth = toy
    model = get_latency_predictor("ridge").fit(candidates, np.arange(50), truth[:50])
    error = truth[:50] / model.leave_one_out()[0] - 1
    mean, spread = model.predict()
    np.testing.assert_allclose(spread / mean, np.sqrt((error**2).mean()))
