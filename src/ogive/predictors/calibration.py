"""Whether a predictor's uncertainty can be trusted: coverage, reliability and calibration error on held-out rows.

Kuleshov, Fenner and Ermon, "Accurate Uncertainties for Deep Learning Using Calibrated Regression", ICML 2018, section
3.5; the score is the continuous ranked probability score of a Gaussian (Gneiting and Raftery, JASA 102, 2007, eq. 5).
For probabilities of winning a pair: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 5.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.predictors.base import Floats

LEVELS = np.linspace(0.05, 0.95, 19)
"""Probabilities at which reliability is looked at."""


@dataclass(frozen=True)
class Calibration:
    """How predictions with uncertainty compare with what was measured.

    Attributes
    ----------
    n : int
        Rows.
    rmse : float
        Root mean squared error, in the target's unit; lower is better.
    spearman, kendall : float
        Rank correlations of mean and measurement; higher is better.
    coverage_50, coverage_90, coverage_95 : float
        Share of measurements inside the central interval of this probability; calibrated if equal to it.
    calibration_error : float
        Mean absolute difference, over 19 levels, of a quantile's level and the share of measurements below it; 0 is
        calibrated, 0.5 the worst.
    sharpness : float
        Mean predicted standard deviation; lower is better where calibration is equal.
    crps : float
        Mean continuous ranked probability score of the Gaussian prediction; lower is better.
    reliability : tuple of (level, share)
        The points of the reliability diagram.
    """

    n: int
    rmse: float
    spearman: float
    kendall: float
    coverage_50: float
    coverage_90: float
    coverage_95: float
    calibration_error: float
    sharpness: float
    crps: float
    reliability: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def calibration(y: Floats, mean: Floats, std: Floats) -> Calibration:
    """Compare Gaussian predictions with measurements of the same rows.

    Parameters
    ----------
    y, mean, std : ndarray of float64, (n,)
        Measurements, predicted means and predicted standard deviations, of rows that the predictor was not fitted on
        (or from `leave_one_out`).

    Raises
    ------
    InputError
        If the shapes differ, there are fewer than two rows, or a deviation is not positive.
    """
    from scipy.special import ndtr, ndtri
    from scipy.stats import kendalltau, spearmanr

    y, mean, std = (np.asarray(a, dtype=np.float64) for a in (y, mean, std))
    if y.ndim != 1 or y.shape != mean.shape or y.shape != std.shape or len(y) < 2:
        raise InputError(f"calibration needs three arrays (n,) with n >= 2, not {y.shape}, {mean.shape}, {std.shape}")
    if not (np.isfinite(y).all() and np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise InputError("calibration needs finite numbers and positive standard deviations")
    z = (y - mean) / std
    below = (ndtr(z)[:, None] <= LEVELS).mean(axis=0)
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    crps = std * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))

    def coverage(level: float) -> float:
        return float((np.abs(z) <= ndtri(0.5 + level / 2.0)).mean())

    return Calibration(
        n=len(y),
        rmse=float(np.sqrt(((y - mean) ** 2).mean())),
        spearman=float(spearmanr(y, mean).statistic),
        kendall=float(kendalltau(y, mean).statistic),
        coverage_50=coverage(0.5),
        coverage_90=coverage(0.9),
        coverage_95=coverage(0.95),
        calibration_error=float(np.abs(below - LEVELS).mean()),
        sharpness=float(std.mean()),
        crps=float(crps.mean()),
        reliability=tuple(zip(LEVELS.round(2).tolist(), below.tolist(), strict=True)),
    )


BINS = 10
"""Bins of equal width between confidence 0.5 and 1."""


@dataclass(frozen=True)
class PairCalibration:
    """How probabilities of winning a pair compare with who won.

    Attributes
    ----------
    n : int
        Pairs.
    accuracy : float
        Share of pairs whose likelier winner won; an even probability counts half.
    brier : float
        Mean squared difference of probability and outcome; 0.25 for who always says 0.5, lower is better.
    calibration_error : float
        Expected calibration error: over bins of confidence, the mean absolute difference of mean confidence and
        accuracy, weighted by pairs; 0 is calibrated. Confidence is the likelier winner's probability, so the number
        does not depend on which of the two is written first.
    sure : float
        Share of pairs with a sure answer; the rest is abstained from.
    sure_accuracy : float
        Accuracy among those; NaN if there are none.
    curve : tuple of (confidence, accuracy, pairs)
        The points of the reliability diagram, empty bins left out.
    """

    n: int
    accuracy: float
    brier: float
    calibration_error: float
    sure: float
    sure_accuracy: float
    curve: tuple[tuple[float, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; None where no answer was sure."""
        return asdict(self) | ({} if self.sure else {"sure_accuracy": None})


def pair_calibration(probability: Floats, won: NDArray[np.bool_], sure: NDArray[np.bool_]) -> PairCalibration:
    """Compare probabilities that the first of a pair wins with who won.

    Parameters
    ----------
    probability : ndarray of float64, (n,)
    won : ndarray of bool, (n,)
        Whether the first one won; pairs that are truly tied are left out beforehand.
    sure : ndarray of bool, (n,)
        Where the answer counts as given.

    Raises
    ------
    InputError
        If the shapes differ, there is no pair, or a probability is outside [0, 1].
    """
    p = np.asarray(probability, dtype=np.float64)
    won, sure = np.asarray(won, dtype=bool), np.asarray(sure, dtype=bool)
    if p.ndim != 1 or p.shape != won.shape or p.shape != sure.shape or not len(p):
        raise InputError(
            f"pair calibration needs three arrays (n,) with n >= 1, not {p.shape}, {won.shape}, {sure.shape}"
        )
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("a probability is outside [0, 1]")
    confidence = np.maximum(p, 1.0 - p)
    right = np.where(p == 0.5, 0.5, (p > 0.5) == won)
    at = np.minimum(((confidence - 0.5) * 2.0 * BINS).astype(np.intp), BINS - 1)
    pairs, stated, found = (np.bincount(at, w, BINS) for w in (None, confidence, right))
    there = pairs > 0
    points = zip(stated[there] / pairs[there], found[there] / pairs[there], pairs[there], strict=True)
    return PairCalibration(
        n=len(p),
        accuracy=float(right.mean()),
        brier=float(((p - won) ** 2).mean()),
        calibration_error=float(np.abs(stated - found).sum() / len(p)),
        sure=float(sure.mean()),
        sure_accuracy=float(right[sure].mean()) if sure.any() else float("nan"),
        curve=tuple((float(c), float(a), int(k)) for c, a, k in points),
    )
