"""How far a cheap score, such as that of a supernet, can be trusted to rank architectures trained alone.

Anchors are a few architectures that are trained alone. All that is said of the ranking comes with a bootstrap interval
over them, and with a ceiling: how well two trainings of the same anchors agree with each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEVEL = 0.90
_RESAMPLES = 1000
_FEW, _FEW_REPEATED = 6, 4
_GOOD = 0.5


def kendall(x: Floats, y: Floats) -> float:
    """Return Kendall's tau-b, which counts ties; NaN where one side is constant. Shapes ``(n,)``.

    Source: Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 1945.
    """
    return float(_tau(np.ones((1, len(x))), *_finite(x, y))[0])


def spearman(x: Floats, y: Floats) -> float:
    """Return Spearman's rank correlation with mid-ranks for ties; NaN where one side is constant. Shapes ``(n,)``."""
    return float(_rho(np.ones((1, len(x))), *_finite(x, y))[0])


@dataclass(frozen=True)
class Estimate:
    """A figure with its 90 % percentile bootstrap interval over anchors; None where there is none.

    For a dozen anchors or more the interval of tau and rho covers the truth in 88 to 95 % of simulated normal pairs
    with a correlation up to 0.8, and in up to 96 % at 0.9.

    Attributes
    ----------
    value, low, high : float or None
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Trust:
    """What anchors say about a score.

    Attributes
    ----------
    anchors : int
    tau, rho : Estimate
        Kendall's tau-b and Spearman's correlation of score and truth.
    order : Estimate
        ``(tau + 1) / 2``: the share of pairs in the right order, a tie counting half.
    hit : Estimate
        Share of the `k` best by truth that are among the `k` best by score.
    k : int
        A third of the anchors, rounded up.
    regret : Estimate
        Truth of the best anchor less that of the anchor with the best score, in units of the truth.
    ceiling : Estimate
        Kendall's tau-b between two trainings of the same anchors, the mean over pairs of seeds: what another training
        would reach. Known from four anchors on that have been trained more than once.
    wording : str
        "too few anchors" below 6; "good" where the interval of tau lies above 0.5, "no evidence of ranking" where it
        holds 0 or is unknown, "worse than chance" where it lies below 0, else "rough".
    """

    anchors: int
    tau: Estimate
    rho: Estimate
    order: Estimate
    hit: Estimate
    k: int
    regret: Estimate
    ceiling: Estimate
    wording: str

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def judge(score: Floats, truth: Floats, *, seed: int = 0) -> Trust:
    """Compare a score with the truth about some anchors.

    Parameters
    ----------
    score : ndarray of float64, (m,)
        Higher is better.
    truth : ndarray of float64, (m,) or (m, seeds)
        What training alone gave, higher is better; with several columns one a seed, NaN where an anchor was not trained
        with it. The mean over an anchor's trainings is its truth.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        If the lengths differ, a score is not finite, or an anchor has no finite truth.
    """
    if not len(truth):
        raise InputError("there are no anchors to judge by; train some alone")
    runs = np.asarray(truth, dtype=np.float64).reshape(len(truth), -1)
    trained = ~np.isnan(runs)
    if not trained.any(axis=1).all():
        raise InputError(f"anchor {int(np.argmin(trained.any(axis=1)))} has not been trained; leave it out")
    x, y = _finite(score, np.where(trained, runs, 0.0).sum(axis=1) / trained.sum(axis=1))
    m = len(x)
    # The anchors themselves, then resamples of them.
    rows = np.vstack([np.arange(m), np.random.Generator(np.random.PCG64(seed)).integers(0, m, (_RESAMPLES, m))])
    counts = np.zeros((len(rows), m))
    np.add.at(counts, (np.arange(len(rows))[:, None], rows), 1.0)
    tau = _tau(counts, x, y)
    k = -(-m // 3)
    hit, regret = _top(x[rows], y[rows], k)
    of_tau = _estimate(tau)
    return Trust(
        anchors=m,
        tau=of_tau,
        rho=_estimate(_rho(counts, x, y)),
        order=_estimate((tau + 1) / 2),
        hit=_estimate(hit),
        k=k,
        regret=_estimate(regret),
        ceiling=_ceiling(runs, counts),
        wording=_wording(m, of_tau),
    )


def choose_anchors(score: Floats, *, pinned: Iterable[int] = (), m: int = 12, seed: int = 0) -> list[tuple[int, str]]:
    """Choose which candidates to train alone: a third at the top, a third spread over the rest, the rest at random.

    Parameters
    ----------
    score : ndarray of float64, (n,)
        Of every candidate, higher is better.
    pinned : iterable of int
        Candidates that a person chose; they take the places of random ones, first come first served.
    m : int
        Anchors wanted; all candidates where there are not more.
    seed : int
        Of the random ones.

    Returns
    -------
    list of (int, str)
        Candidate and why: "top", "spread", "pinned" or "random". None is there twice.

    Raises
    ------
    InputError
        If a score is NaN, or a pinned candidate does not exist.
    """
    if np.isnan(score).any():
        raise InputError("a score is NaN; leave out what failed")
    wanted = list(dict.fromkeys(int(i) for i in pinned))
    for i in wanted:
        if not 0 <= i < len(score):
            raise InputError(f"there is no candidate {i} to pin; they are numbered 0 to {len(score) - 1}")
    third = m // 3
    best_first = np.argsort(-score, kind="stable")
    chosen = dict.fromkeys(best_first[:third].tolist(), "top")
    rest = best_first[third:]
    middles = ((np.arange(third) + 0.5) / max(third, 1) * len(rest)).astype(np.intp)
    chosen |= dict.fromkeys(rest[middles].tolist() if len(rest) else [], "spread")
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(score)).tolist()
    for why, candidates in (("pinned", wanted), ("random", shuffled)):
        for i in candidates:
            if len(chosen) < m:
                chosen.setdefault(i, why)
    return list(chosen.items())


# ---------------------------------------------------------------- statistics of many resamples at once


def _tau(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Return tau-b of each resample, given how often it holds each item, ``(b, n)`` to ``(b,)``."""
    a, b = (np.sign(v[:, None] - v) for v in (x, y))

    def pairs(of: Floats) -> Floats:
        return np.asarray(((counts @ of) * counts).sum(axis=1))

    return _ratio(pairs(a * b), pairs(a * a), pairs(b * b))


def _rho(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Return Spearman's correlation of each resample, ``(b, n)`` to ``(b,)``."""
    ranks = []
    for v in (x, y):
        below, equal = (v[:, None] > v).astype(np.float64), (v[:, None] == v).astype(np.float64)
        rank = counts @ below.T + (counts @ equal.T + 1) / 2
        ranks.append(rank - (counts * rank).sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True))
    a, b = ranks
    return _ratio(*((counts * p * q).sum(axis=1) for p, q in ((a, b), (a, a), (b, b))))


def _ratio(both: Floats, one: Floats, other: Floats) -> Floats:
    scale = np.sqrt(one * other)
    return np.asarray(np.divide(both, scale, out=np.full(len(scale), np.nan), where=scale > 0))


def _top(x: Floats, y: Floats, k: int) -> tuple[Floats, Floats]:
    """Return hit and regret of each resample, ``(b, n)`` to ``(b,)`` each; ties go to the first."""
    by_score, by_truth = (np.argsort(-v, axis=1, kind="stable") for v in (x, y))
    shared = (by_score[:, :k, None] == by_truth[:, None, :k]).any(axis=2).sum(axis=1)
    picked = np.take_along_axis(y, by_score[:, :1], axis=1)[:, 0]
    return shared / k, y.max(axis=1) - picked


def _ceiling(runs: Floats, counts: Floats) -> Estimate:
    found = []
    for i, j in combinations(range(runs.shape[1]), 2):
        both = ~np.isnan(runs[:, [i, j]]).any(axis=1)
        if both.sum() >= _FEW_REPEATED:
            found.append(_tau(counts[:, both], runs[both, i], runs[both, j]))
    return _estimate(np.mean(found, axis=0)) if found else Estimate(None, None, None)


def _estimate(found: Floats) -> Estimate:
    """Return the first figure with the interval of the others."""
    resampled = found[1:][~np.isnan(found[1:])]
    if np.isnan(found[0]) or not resampled.size:
        return Estimate(None, None, None)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(found[0]), float(low), float(high))


def _wording(m: int, tau: Estimate) -> str:
    if m < _FEW:
        return "too few anchors"
    if tau.low is None or tau.high is None or tau.low <= 0 <= tau.high:
        return "no evidence of ranking"
    if tau.high < 0:
        return "worse than chance"
    return "good" if tau.low > _GOOD else "rough"


def _finite(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"a ranking compares two lists of the same length, not shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("a score is not finite; leave out what failed")
    return a, b
