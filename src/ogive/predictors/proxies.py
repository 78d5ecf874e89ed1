"""Zero-cost proxies as evidence on pairs: how often each orders a pair rightly, which sign it deserves, and their vote.

A proxy ranks by a convention of its paper, which need not hold in another space or on another task; so its sign is
taken from measured architectures, and a proxy that cannot be told from a coin is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ogive.predictors.base import Floats

_Z95 = 1.96


@dataclass(frozen=True)
class PairAccuracy:
    """How well a proxy orders the pairs of a task.

    Attributes
    ----------
    proxy, task : str
    accuracy : float
        Share of pairs ordered as the measured scores order them, of those that neither ties; 0.5 is a coin.
    error : float
        Its standard error, architectures being the sample.
    """

    proxy: str
    task: str
    accuracy: float
    error: float

    @property
    def sign(self) -> int:
        """1 where the proxy is surely better than a coin, -1 where it is surely worse, 0 where neither is shown."""
        gap = self.accuracy - 0.5
        return int(np.sign(gap)) if abs(gap) > _Z95 * self.error else 0

    @property
    def warning(self) -> str | None:
        """What a user of the proxy must know, in one line, or None."""
        if self.sign > 0:
            return None
        found = f"orders {self.accuracy:.3f} ± {_Z95 * self.error:.3f} of the pairs of '{self.task}' rightly"
        if self.sign < 0:
            return f"'{self.proxy}' is worse than chance: it {found}; turn its sign, or leave it out"
        return f"'{self.proxy}' is not shown to be better than chance: it {found}; leave it out"


def pair_order(scores: Floats) -> NDArray[np.int8]:
    """Return the sign of each row's score minus each column's, ``(n, n)``; 0 where equal or either is NaN.

    Parameters
    ----------
    scores : ndarray of float64, (n,)
        Higher is better. Minus infinity is below every number.
    """
    s = np.asarray(scores, dtype=np.float64)
    return (s[:, None] > s).astype(np.int8) - (s[:, None] < s).astype(np.int8)


def majority(proxies: Floats) -> NDArray[np.int8]:
    """Return the vote of p proxies ``(p, n)`` on every pair, ``(n, n)``: the sign of the sum of their signs."""
    return np.sign(sum(pair_order(p).astype(np.int16) for p in proxies)).astype(np.int8)


def pair_accuracy(order: NDArray[np.int8], scores: Floats, proxy: str, task: str) -> PairAccuracy:
    """Compare the order of pairs with measured scores.

    The standard error is that of a U-statistic (Hoeffding, "A Class of Statistics with Asymptotically Normal
    Distribution", Annals of Mathematical Statistics 19, 1948, theorem 7.1): pairs share architectures, so counting them
    as independent would make it far too small.

    Parameters
    ----------
    order : ndarray of int8, (n, n)
        Of `pair_order` or `majority`.
    scores : ndarray of float64, (n,)
        Measured, higher is better; NaN where not measured.
    proxy, task : str
        Names for the report.

    Raises
    ------
    InputError
        If the shapes do not fit, or no pair is left.
    """
    truth = np.asarray(scores, dtype=np.float64)
    if order.shape != (len(truth), len(truth)):
        raise InputError(f"the order of pairs has shape {order.shape}, the scores are {len(truth)}")
    agreement = order * pair_order(truth)
    pairs = np.abs(agreement).sum(axis=1, dtype=np.float64)
    right = (agreement > 0).sum(axis=1, dtype=np.float64)
    if not pairs.any():
        raise InputError(f"proxy '{proxy}' and task '{task}' have no pair of architectures that both tell apart")
    accuracy = right.sum() / pairs.sum()
    influence = 2.0 * (right - accuracy * pairs) / pairs.mean()
    return PairAccuracy(proxy, task, float(accuracy), float(influence.std() / np.sqrt(len(truth))))


def proxy_report(proxies: Mapping[str, Floats], scores: Mapping[str, Floats]) -> list[PairAccuracy]:
    """Return the pairwise accuracy of each proxy, and of their majority vote, on each task.

    Parameters
    ----------
    proxies : mapping of str to ndarray of float64, (n,)
        Higher is better by their own convention; of the same architectures as the scores.
    scores : mapping of str to ndarray of float64, (n,)
    """
    orders = {name: pair_order(values) for name, values in proxies.items()}
    if len(proxies) > 1:
        orders["majority"] = majority(np.stack([*proxies.values()]))
    return [pair_accuracy(order, y, name, task) for task, y in scores.items() for name, order in orders.items()]


class SignedProxies:
    """Proxies on one scale, higher meaning better, with signs from measured tasks: features beside an encoding.

    Attributes
    ----------
    signs : ndarray of int, (p,)
        1, -1, or 0 for a proxy that is not told from chance and becomes a column of zeros.
    """

    def fit(self, proxies: Floats, scores: Floats) -> Self:
        """Learn signs and scales.

        Parameters
        ----------
        proxies : ndarray of float64, (n, p)
            Minus infinity is below every number; NaN is refused.
        scores : ndarray of float64, (t, n)
            Measured, higher is better; NaN where not measured. Tasks count alike, and as they may agree fully, their
            number does not narrow the interval.

        Raises
        ------
        InputError
            If a proxy is NaN, the shapes do not fit, or there is no pair to compare.
        """
        proxies = _without_nan(proxies)
        named = {f"column {j}": column for j, column in enumerate(proxies.T)}
        tasks = {f"row {t}": y for t, y in enumerate(scores)}
        signs = []
        for name, values in named.items():
            found = proxy_report({name: values}, tasks)
            mean, error = np.mean([(f.accuracy, f.error) for f in found], axis=0)
            signs.append(PairAccuracy(name, "all", float(mean), float(error)).sign)
        self.signs = np.array(signs, dtype=np.intp)
        self._sorted = np.sort(proxies, axis=0)
        return self

    def __call__(self, proxies: Floats) -> Floats:
        """Return signed normal scores, ``(n, p)``: where each value lies among those of `fit`, as a quantile."""
        from scipy.special import ndtri

        columns = zip(self._sorted.T, _without_nan(proxies).T, strict=True)
        below = [np.searchsorted(s, v, "left") + np.searchsorted(s, v, "right") for s, v in columns]
        n = len(self._sorted)
        return np.asarray(ndtri((np.stack(below, axis=1) / 2.0 + 0.5) / (n + 1)) * self.signs)


def _without_nan(proxies: Floats) -> Floats:
    values = np.asarray(proxies, dtype=np.float64)
    if values.ndim != 2 or np.isnan(values).any():
        raise InputError("proxies are an array (n, p) without NaN; a score that does not exist is minus infinity")
    return values
