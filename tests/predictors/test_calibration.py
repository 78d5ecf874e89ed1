"""Calibration against closed forms and simulation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import kendalltau, norm

from ogive._errors import InputError
from ogive.predictors.calibration import LEVELS, calibration, pair_calibration


def test_a_perfect_forecaster_is_calibrated():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=20_000), rng.uniform(0.5, 2, 20_000)
    report = calibration(mean + std * rng.normal(size=20_000), mean, std)
    assert report.calibration_error < 0.01
    for level, found in ((0.5, report.coverage_50), (0.9, report.coverage_90), (0.95, report.coverage_95)):
        assert found == pytest.approx(level, abs=0.012)
    # Mean CRPS of N(0, s) forecasts that are right is s / sqrt(pi).
    assert report.crps == pytest.approx(std.mean() / np.sqrt(np.pi), rel=0.02)


def test_overconfidence_shows_in_closed_form():
    rng = np.random.default_rng(1)
    y = rng.normal(size=40_000)
    report = calibration(y, np.zeros_like(y) + 1e-9 * y, np.full_like(y, 0.5))
    expected = np.abs(norm.cdf(0.5 * norm.ppf(LEVELS)) - LEVELS).mean()
    assert report.calibration_error == pytest.approx(expected, abs=0.005)
    assert report.coverage_95 == pytest.approx(2 * norm.cdf(0.5 * norm.ppf(0.975)) - 1, abs=0.01)


def test_crps_is_that_of_the_integral():
    grid = np.linspace(-40, 40, 400_001)
    y, mean, std = np.array([0.3, -2.0]), np.array([0.0, 1.0]), np.array([0.7, 1.9])
    integrals = [
        np.trapezoid((norm.cdf(grid, m, s) - (grid >= v)) ** 2, grid) for v, m, s in zip(y, mean, std, strict=True)
    ]
    assert calibration(y, mean, std).crps == pytest.approx(np.mean(integrals), abs=1e-4)


def test_the_rest_of_the_report():
    y, mean = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 1.0, 3.0, 5.0])
    report = calibration(y, mean, np.ones(4))
    assert report.n == 4
    assert report.rmse == pytest.approx(np.sqrt((0.25 + 1 + 0 + 1) / 4))
    assert report.kendall == pytest.approx(kendalltau(y, mean).statistic)
    assert json.loads(json.dumps(report.to_dict()))["sharpness"] == 1.0


@pytest.mark.parametrize(
    ("y", "std", "message"),
    [
        (np.zeros(3), np.ones(2), "three arrays"),
        (np.zeros(2), np.zeros(2), "positive"),
        (np.array([0, np.inf]), np.ones(2), "finite"),
    ],
)
def test_bad_input(y, std, message):
    with pytest.raises(InputError, match=message):
        calibration(y, np.zeros(2), std)


def test_true_probabilities_are_calibrated_and_shrunk_ones_are_not():
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    won = rng.random(50_000) < p
    report = pair_calibration(p, won, np.maximum(p, 1 - p) >= 0.8)
    assert report.calibration_error < 0.01
    # Integrals over a uniform probability: E max(p, 1-p), the same above 0.8, and E p(1-p).
    assert report.accuracy == pytest.approx(0.75, abs=0.01)
    assert report.sure == pytest.approx(0.4, abs=0.01)
    assert report.sure_accuracy == pytest.approx(0.9, abs=0.01)
    assert report.brier == pytest.approx(1 / 6, abs=0.005)
    timid = pair_calibration(0.5 + 0.5 * (p - 0.5), won, np.ones(50_000, bool))
    assert timid.accuracy == report.accuracy
    assert timid.calibration_error == pytest.approx(0.125, abs=0.01)


def test_pairs_may_be_written_either_way_round():
    rng = np.random.default_rng(1)
    p, won, sure = rng.random(200), rng.random(200) < 0.5, rng.random(200) < 0.5
    turned = rng.random(200) < 0.5
    other = pair_calibration(np.where(turned, 1 - p, p), won ^ turned, sure)
    for name, value in pair_calibration(p, won, sure).to_dict().items():
        np.testing.assert_allclose(other.to_dict()[name], value)


def test_the_curve_of_a_few_pairs():
    report = pair_calibration(np.array([0.9, 0.08, 0.5, 0.72]), np.array([True, False, True, False]), np.zeros(4, bool))
    np.testing.assert_allclose(report.curve, [(0.5, 0.5, 1), (0.72, 0.0, 1), (0.91, 1.0, 2)])
    assert report.calibration_error == pytest.approx((0.0 + 0.72 + 2 * 0.09) / 4)
    assert report.accuracy == pytest.approx(2.5 / 4)
    assert json.loads(json.dumps(report.to_dict()))["sure_accuracy"] is None


def test_bad_pairs():
    with pytest.raises(InputError, match="three arrays"):
        pair_calibration(np.zeros(2), np.zeros(3, bool), np.zeros(2, bool))
    with pytest.raises(InputError, match="outside"):
        pair_calibration(np.array([np.nan]), np.ones(1, bool), np.ones(1, bool))
