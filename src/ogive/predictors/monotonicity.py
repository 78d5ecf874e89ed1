"""Whether two devices order architectures the same way, and how sure a few measurements make us of it.

If the latency of one device is an increasing function of that of another, both have the same Pareto sets, so a search
for one serves the other (Lu et al., "One Proxy Device Is Enough for Hardware-Aware Neural Architecture Search", POMACS
5(3), 2021, section 3). How near a pair comes to that is measured by Spearman's rank correlation, SRCC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ogive.predictors.base import Floats

State = Literal["accept", "adapt", "cannot tell yet"]

BAR = 0.9
"""The SRCC above which the paper takes over a proxy's Pareto set."""


def srcc(a: Floats, b: Floats) -> float:
    """Return Spearman's rank correlation over the rows that both have, ties sharing their mean rank.

    NaN where there are fewer than two such rows or one side is constant.
    """
    from scipy.stats import rankdata

    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 2:
        return math.nan
    x, y = rankdata(a[both]), rankdata(b[both])
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else math.nan


def kendall(a: Floats, b: Floats) -> float:
    """Return Kendall's tau-b over the rows that both have; NaN where there are too few or one side is constant."""
    from scipy.stats import kendalltau

    both = np.isfinite(a) & np.isfinite(b)
    return float(kendalltau(a[both], b[both]).statistic) if both.sum() > 1 else math.nan


def srcc_bounds(r: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the one-sided lower and the one-sided upper bound on a rank correlation found in n rows.

    Fisher's z with the variance ``(1 + r^2 / 2) / (n - 3)`` (Bonett and Wright, "Sample size requirements for
    estimating Pearson, Kendall and Spearman correlations", Psychometrika 65, 2000). With fewer than five rows, or where
    r is not known, nothing is: (-1, 1).

    Parameters
    ----------
    r : float
    n : int
    confidence : float
        Of each bound by itself.
    """
    from scipy.special import ndtri

    if n < 5 or not math.isfinite(r):
        return -1.0, 1.0
    # A sample may be ordered perfectly; a correlation of one is never certain from it.
    z = math.atanh(min(max(r, -1.0), 1.0) * (1.0 - 1.0 / (2.0 * n**2)))
    width = float(ndtri(confidence)) * math.sqrt((1.0 + 0.5 * r**2) / (n - 3))
    return math.tanh(z - width), math.tanh(z + width)


@dataclass(frozen=True)
class Agreement:
    """How well one device's order stands for another's.

    Attributes
    ----------
    srcc, kendall : float
    n : int
        Architectures that both have.
    lower, upper : float
        One-sided 95 % bounds on the SRCC of all architectures that these are a random sample of.
    distinct : int
        Number of distinct latencies on the side that has fewer: with many ties no order can be found.
    ceiling : float
        Largest SRCC that could be seen, given how well the target's measurements repeat; 1 where that is not known.
    state : {"accept", "adapt", "cannot tell yet"}
        "accept" where the lower bound reaches the bar, "adapt" where the upper bound is below it or below what the
        bar would look like through the target's noise.
    """

    srcc: float
    kendall: float
    n: int
    lower: float
    upper: float
    distinct: int
    ceiling: float
    state: State


def agreement(proxy: Floats, target: Floats, *, bar: float = BAR, repeatability: float = 1.0) -> Agreement:
    """Compare a proxy with a few measurements of a target.

    Parameters
    ----------
    proxy, target : ndarray of float64, (n,)
        Latencies of the same architectures, NaN where one has none.
    bar : float
        SRCC that counts as the same order.
    repeatability : float
        SRCC of two measurements of the target. Noise lowers what can be seen to at most its square root (Spearman,
        "The Proof and Measurement of Association between Two Things", American Journal of Psychology 15, 1904).

    Raises
    ------
    InputError
        If the arrays differ in length, or the bar or the repeatability is not in (0, 1].
    """
    if proxy.shape != target.shape:
        raise InputError(
            f"proxy and target need latencies of the same architectures, not {proxy.shape}, {target.shape}"
        )
    for name, value in (("bar", bar), ("repeatability", repeatability)):
        if not 0.0 < value <= 1.0:
            raise InputError(f"the {name} of a rank correlation lies above 0 and at most at 1, not at {value}")
    both = np.isfinite(proxy) & np.isfinite(target)
    n, r = int(both.sum()), srcc(proxy, target)
    lower, upper = srcc_bounds(r, n)
    distinct = min(len(np.unique(proxy[both])), len(np.unique(target[both]))) if n else 0
    ceiling = math.sqrt(repeatability)
    state: State = "cannot tell yet"
    if lower >= bar:
        state = "accept"
    elif upper < bar * ceiling:
        state = "adapt"
    return Agreement(r, kendall(proxy, target), n, lower, upper, distinct, ceiling, state)


def matrix(latencies: Mapping[str, Floats], kind: Literal["srcc", "kendall"] = "srcc") -> Floats:
    """Return the rank correlation of every pair of devices, ``(k, k)`` in the order of the mapping.

    Each pair uses the rows that both have.
    """
    held = np.array(list(latencies.values()))
    if kind == "srcc" and np.isfinite(held).all():
        return _complete(held)
    measure = srcc if kind == "srcc" else kendall
    out = np.eye(len(held))
    # Pairs have rows of their own, so there is nothing to share between them.
    for i, j in zip(*np.triu_indices(len(held), 1), strict=True):
        out[i, j] = out[j, i] = measure(held[i], held[j])
    return out


def _complete(held: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks: NDArray[np.float64] = rankdata(held, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.einsum("ij,ij->i", ranks, ranks))
    with np.errstate(invalid="ignore"):
        out = (ranks @ ranks.T) / np.outer(norms, norms)
    np.fill_diagonal(out, 1.0)
    return np.asarray(out)
