"""What every latency predictor must do: shapes, positive numbers, bad input, hostile input (specification 7.3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ogive._errors import InputError, UnknownNameError
from ogive.predictors.latency import LATENCY_PREDICTORS, Candidates, bend, get_latency_predictor

ALL = ["raw", "adaproxy", "adaproxy:p=1", "adaproxy:p=inf", "ridge", "pool_ridge", "pool_gp", "blend", "default"]


def draw(n, seed=0):
    return np.random.default_rng(seed).permutation(300)[:n]


def ranks(model, truth):
    unseen = np.setdiff1d(np.arange(len(truth)), model.measured)
    return spearmanr(model.predict()[0][unseen], truth[unseen]).statistic


def test_the_names():
    assert LATENCY_PREDICTORS.names() == sorted({name.split(":")[0] for name in ALL})


@pytest.mark.parametrize("name", ALL)
def test_predictions(toy, name):
    candidates, truth = toy
    index = draw(40)
    model = get_latency_predictor(name).fit(candidates, index, truth[index])
    mean, spread = model.predict()
    left_out, left_out_spread = model.leave_one_out()
    assert mean.shape == spread.shape == (300,)
    assert left_out.shape == left_out_spread.shape == (40,)
    assert min(a.min() for a in (mean, spread, left_out, left_out_spread)) > 0
    np.testing.assert_array_equal(model.measured, index)
    np.testing.assert_allclose(model.feasibility(), np.full(300, 41 / 42))
    assert ranks(model, truth) > 0.7
    # What is left out is predicted, not repeated, and about as well as what was never seen.
    assert spearmanr(left_out, truth[index]).statistic < 0.9999
    unseen = np.setdiff1d(np.arange(300), index)
    error, seen = np.abs(mean / truth - 1)[unseen].mean(), np.abs(left_out / truth[index] - 1).mean()
    assert 0.5 * error < seen < 2 * error


@pytest.mark.parametrize("name", ALL)
def test_the_unit_does_not_matter(toy, name):
    candidates, truth = toy
    index = draw(30)
    ms = get_latency_predictor(name).fit(candidates, index, truth[index]).predict()
    seconds = replace(candidates, pool={d: v / 1000 for d, v in candidates.pool.items()})
    s = get_latency_predictor(name).fit(seconds, index, truth[index] / 1000).predict()
    np.testing.assert_array_equal(np.argsort(s[0], kind="stable"), np.argsort(ms[0], kind="stable"))
    np.testing.assert_allclose(s[0] * 1000, ms[0], rtol=1e-5)
    np.testing.assert_allclose(s[1] * 1000, ms[1], rtol=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_numbers_of_operations_are_names(toy, name):
    candidates, truth = toy
    index = draw(30)
    renamed = replace(candidates, codes=np.array([3, 0, 4, 1, 2])[candidates.codes])
    a = get_latency_predictor(name).fit(candidates, index, truth[index]).predict()[0]
    b = get_latency_predictor(name).fit(renamed, index, truth[index]).predict()[0]
    np.testing.assert_allclose(a, b, rtol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_equal_latencies(toy, name):
    candidates, _ = toy
    mean, spread = get_latency_predictor(name).fit(candidates, draw(12), np.full(12, 7.0)).predict()
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()
    assert (spread > 0).all()
    if name != "raw":
        np.testing.assert_allclose(mean, 7.0, rtol=0.2)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_hardly_any_measurement(toy, name, n):
    candidates, truth = toy
    index, model = draw(n), get_latency_predictor(name)
    if n < model.least:
        with pytest.raises(InputError, match=f"needs {model.least} latencies or more, not {n}"):
            model.fit(candidates, index, truth[index])
        return
    mean, spread = model.fit(candidates, index, truth[index]).predict()
    assert np.isfinite(mean).all()
    assert (mean > 0).all()
    assert (spread > 0).all()
    assert model.leave_one_out()[0].shape == (n,)


@pytest.mark.parametrize("name", ALL)
def test_pools_of_one_and_none(toy, name):
    candidates, truth = toy
    index = draw(40)
    for pool in (["one"], []):
        model = get_latency_predictor(name).fit(candidates.with_pool(pool), index, truth[index])
        assert ranks(model, truth) > (0.7 if pool else 0.3)


@pytest.mark.parametrize("name", ALL)
def test_everything_measured(toy, name):
    candidates, truth = toy
    mean, _ = get_latency_predictor(name).fit(candidates, np.arange(300), truth).predict()
    assert spearmanr(mean, truth).statistic > 0.8


@pytest.mark.parametrize("name", ALL)
def test_duplicated_graphs(toy, name):
    candidates, truth = toy
    twice = Candidates(
        np.tile(candidates.codes, (2, 1)), np.tile(candidates.encoding, (2, 1)), np.tile(candidates.macs, 2),
        {d: np.tile(v, 2) for d, v in candidates.pool.items()},
    )  # fmt: skip
    index = np.r_[draw(20), draw(20) + 300]
    mean, _ = get_latency_predictor(name).fit(twice, index, np.tile(truth, 2)[index]).predict()
    np.testing.assert_allclose(mean[:300], mean[300:], rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_gaps_in_the_pool(toy, name):
    candidates, truth = toy
    gappy = {d: np.where(np.random.default_rng(i).random(300) < 0.3, np.nan, v)
             for i, (d, v) in enumerate(candidates.pool.items())}  # fmt: skip
    index = draw(40)
    mean, spread = get_latency_predictor(name).fit(replace(candidates, pool=gappy), index, truth[index]).predict()
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()


@pytest.mark.parametrize(
    ("index", "latency", "message"),
    [
        ([1, 2], [3.0], "rows"),
        ([1.5], [3.0], "rows"),
        ([[1]], [[3.0]], "rows"),
        ([300], [3.0], "numbered 0 to 299"),
        ([-1], [3.0], "numbered 0 to 299"),
        ([4, 4], [3.0, 3.1], "measured twice"),
        ([4, 5], [3.0, -1.0], "a latency of -1 ms; latencies are positive"),
        ([4, 5], [3.0, 0.0], "a latency of 0 ms"),
        ([4, 5], [3.0, np.inf], "a latency of inf ms"),
    ],
)
def test_bad_measurements_are_refused(toy, index, latency, message):
    with pytest.raises(InputError, match=message):
        get_latency_predictor("default").fit(toy[0], index, latency)


def test_the_target_in_the_pool_is_refused(toy):
    candidates, truth = toy
    leaking = replace(candidates, pool={**candidates.pool, "copy": truth})
    with pytest.raises(InputError, match="'copy' is the target itself"):
        get_latency_predictor("default").fit(leaking, draw(20), truth[draw(20)])
    # Few equal whole milliseconds prove nothing.
    get_latency_predictor("default").fit(leaking, draw(4), truth[draw(4)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"macs": np.ones(299)}, "multiply-adds"),
        ({"macs": np.zeros(300)}, "not positive"),
        ({"encoding": np.full((300, 2), np.nan)}, "not finite"),
        ({"pool": {"x": np.ones(3)}}, "pool device 'x'"),
        ({"pool": {"x": np.full(300, -1.0)}}, "pool device 'x' has a latency of -1 ms"),
        ({"pool": {"x": np.full(300, np.nan)}}, "no latency at all"),
    ],
)
def test_bad_candidates_are_refused(toy, change, message):
    with pytest.raises(InputError, match=message):
        replace(toy[0], **change)


def test_unknown_names_are_refused(toy):
    with pytest.raises(UnknownNameError, match="did you mean 'pool_gp'"):
        get_latency_predictor("pool_gb")
    with pytest.raises(InputError, match="adaproxy:q=2"):
        get_latency_predictor("adaproxy:q=2")
    with pytest.raises(UnknownNameError, match="pool device 'three'"):
        toy[0].with_pool(["three"])
    with pytest.raises(UnknownNameError, match="proxy 'three'"):
        get_latency_predictor("raw:proxy=three").fit(toy[0], [0], [1.0])
    with pytest.raises(InputError, match="loo or holdout"):
        get_latency_predictor("adaproxy:select=best")


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20, unique=True), st.floats(1e-3, 1e3))
def test_bending_keeps_order_and_makes_positive(values, floor):
    v = np.sort(np.array(values))
    bent = bend(v, floor)
    assert (bent > 0).all()
    assert (np.diff(bent) >= 0).all()
    np.testing.assert_array_equal(bent[v >= floor], v[v >= floor])
