"""Calibration against closed forms and simulation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import kendalltau, norm

from ogive._errors import InputError
from ogive.predictors.calibration import LEVELS, calibration


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
