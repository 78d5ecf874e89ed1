"""Trust: statistics against SciPy, intervals against simulation, and the rules of wording and anchors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from ogive._errors import InputError
from ogive.metrics.trust import choose_anchors, judge, kendall, spearman

LEVELS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=40)


@settings(max_examples=200)
@given(LEVELS)
def test_correlations_are_those_of_scipy_also_with_ties(pairs):
    x, y = np.array(pairs, dtype=float).T
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    assert kendall(x, y) == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_correlations_of_many_numbers_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    y = np.round(x + rng.normal(size=500), 1)
    assert kendall(x, y) == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_a_constant_side_has_no_correlation():
    assert np.isnan(kendall(np.ones(4), np.arange(4.0)))
    assert np.isnan(spearman(np.arange(4.0), np.ones(4)))


def test_figures_and_intervals_are_those_of_a_loop_over_resamples():
    rng = np.random.default_rng(1)
    score, truth = rng.integers(0, 8, 14).astype(float), rng.integers(0, 9, 14).astype(float)
    found = judge(score, truth, seed=4)
    rows = np.random.Generator(np.random.PCG64(4)).integers(0, 14, (1000, 14))
    for estimate, statistic in ((found.tau, kendalltau), (found.rho, spearmanr)):
        resampled = [statistic(score[r], truth[r]).statistic for r in rows]
        assert estimate.value == pytest.approx(statistic(score, truth).statistic)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(np.nanquantile(resampled, [0.05, 0.95])))
    regrets = [truth[r].max() - truth[r][score[r].argmax()] for r in rows]
    assert (found.regret.low, found.regret.high) == tuple(np.quantile(regrets, [0.05, 0.95]))
    assert found.order.low == pytest.approx((found.tau.low + 1) / 2)


@pytest.mark.parametrize(("m", "r"), [(12, 0.0), (12, 0.5), (20, 0.6), (40, 0.8)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(m, r):
    """Normal pairs, whose tau is 2/pi asin(r) and whose rho is 6/pi asin(r/2)."""
    rng = np.random.default_rng(5)
    tau, rho = 2 / np.pi * np.arcsin(r), 6 / np.pi * np.arcsin(r / 2)
    covered = np.zeros(2)
    for seed in range(300):
        x, e = rng.normal(size=(2, m))
        found = judge(x, r * x + np.sqrt(1 - r**2) * e, seed=seed)
        covered += found.tau.low <= tau <= found.tau.high, found.rho.low <= rho <= found.rho.high
    assert (covered / 300 >= 0.85).all()
    assert (covered / 300 <= 0.95).all()


def test_hit_and_regret_speak_of_the_top():
    truth = np.array([70.0, 60.0, 65.0, 50.0, 55.0, 40.0, 45.0])
    score = np.array([1.0, 9.0, 8.0, 2.0, 7.0, 0.0, 0.5])
    found = judge(score, truth)
    assert (found.k, found.hit.value) == (3, 2 / 3)
    assert found.regret.value == 10.0


def test_the_ceiling_is_the_agreement_of_trainings_of_the_same_anchors():
    rng = np.random.default_rng(2)
    quality = rng.normal(size=12)
    runs = quality[:, None] + 0.3 * rng.normal(size=(12, 2))
    runs[5:9, 1] = np.nan
    both = ~np.isnan(runs[:, 1])
    found = judge(quality, runs)
    assert found.ceiling.value == pytest.approx(kendalltau(*runs[both].T).statistic)
    assert found.tau.value == pytest.approx(kendalltau(quality, np.nanmean(runs, axis=1)).statistic)
    runs[3:, 1] = np.nan
    assert judge(quality, runs).ceiling.value is None
    three = quality[:, None] + 0.3 * rng.normal(size=(12, 3))
    pairs = [kendalltau(three[:, i], three[:, j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
    assert judge(quality, three).ceiling.value == pytest.approx(np.mean(pairs))


def test_wording_goes_by_the_interval():
    x = np.arange(12.0)
    assert judge(x, x).wording == "good"
    assert judge(x, -x).wording == "worse than chance"
    assert judge(x[:5], x[:5]).wording == "too few anchors"
    assert judge(x, np.ones(12)).wording == "no evidence of ranking"
    rng = np.random.default_rng(0)
    for _ in range(30):
        found = judge(x, x + rng.normal(0, 8, 12))
        low, high = found.tau.low, found.tau.high
        expected = "good" if low > 0.5 else "no evidence of ranking" if low <= 0 <= high else "rough"
        assert found.wording == expected


def test_a_report_is_plain_json():
    json.dumps(judge(np.arange(7.0), np.ones(7)).to_dict(), allow_nan=False)


def test_anchors_are_the_top_a_spread_the_pinned_and_random_ones():
    score = -np.arange(200.0)
    found = choose_anchors(score, pinned=[150, 1, 77], seed=1)
    why = {}
    for i, reason in found:
        why.setdefault(reason, []).append(i)
    assert why["top"] == [0, 1, 2, 3]
    assert why["spread"] == [28, 77, 126, 175]
    assert why["pinned"] == [150]
    assert [len(why[k]) for k in ("top", "spread", "pinned", "random")] == [4, 4, 1, 3]
    assert len(dict(found)) == 12
    assert found == choose_anchors(score, pinned=[150, 1, 77], seed=1)
    assert found != choose_anchors(score, pinned=[150, 1, 77], seed=2)


def test_few_candidates_are_all_anchors():
    assert sorted(i for i, _ in choose_anchors(np.array([3.0, 1.0, 2.0, 5.0, 4.0]))) == [0, 1, 2, 3, 4]
    assert [i for i, _ in choose_anchors(np.array([1.0]), m=1)] == [0]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: judge(np.arange(3.0), np.arange(4.0)), "same length"),
        (lambda: judge(np.array([1.0, np.nan]), np.arange(2.0)), "not finite"),
        (lambda: judge(np.arange(2.0), np.array([1.0, np.nan])), "anchor 1 has not been trained"),
        (lambda: judge(np.empty(0), np.empty(0)), "no anchors"),
        (lambda: choose_anchors(np.array([1.0, np.nan])), "NaN"),
        (lambda: choose_anchors(np.arange(3.0), pinned=[3]), "numbered 0 to 2"),
    ],
)
def test_unusable_input_is_refused(call, complaint):
    with pytest.raises(InputError, match=complaint):
        call()
