"""Where an architecture stands in its space: rank percentiles, what a lock takes away, and how targets are aggregated.

A percentile says how many architectures are worse, not how much worse: on a narrow metric half the percentiles lie
within a few per cent of the best value. `raw_drop` belongs beside every `reduction`.

Zhou, Ren and Xu, "ArchLock: Locking DNN Transferability at the Architecture Level with a Zero-Cost Binary Predictor",
ICLR 2024, measures transferability this way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError

Floats = NDArray[np.float64]
Direction = Literal["max", "min"]


def percentiles(values: Floats, direction: Direction = "max") -> Floats:
    """Return the percentile of every value among all of them: ``100 * rank / n``, ranks ascending in goodness.

    Equal values share their mean rank, as in ``pandas.Series.rank(pct=True)``. The single best value has 100.

    Parameters
    ----------
    values : ndarray of float64, (n,)
    direction : {"max", "min"}
        Whether higher or lower values are better.

    Returns
    -------
    ndarray of float64, (n,)
        Above 0, at most 100; higher is better.

    Raises
    ------
    InputError
        If there is no value, or one is NaN.
    """
    return Reference(values, direction).percentile(values)


class Reference:
    """The distribution of one metric over a whole space, or over a sample of it.

    Parameters
    ----------
    values : ndarray of float64, (n,)
        Infinities are allowed, NaN is not.
    direction : {"max", "min"}
        Whether higher or lower values are better.

    Raises
    ------
    InputError
        If there is no value, or one is NaN.
    """

    def __init__(self, values: Floats, direction: Direction = "max") -> None:
        self.direction = direction
        self._sorted = np.sort(self._goodness(values))
        if not self._sorted.size:
            raise InputError("a percentile needs at least one value to compare with")

    def _goodness(self, values: Floats) -> Floats:
        v = np.asarray(values, dtype=np.float64).ravel()
        if np.isnan(v).any():
            raise InputError("a value is NaN and has no percentile; leave out what was not measured")
        return v if self.direction == "max" else -v

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self._sorted)

    def percentile(self, values: Floats) -> Floats:
        """Return the percentile of each value, ``(m,)``.

        A value that is not among the reference's gets the share of the reference that is worse than it: the percentile
        of the next worse value where that one has no equals, 0 below all and 100 above all of them. This is
        ``scipy.stats.percentileofscore(..., kind="rank")``.

        Raises
        ------
        InputError
            If a value is NaN.
        """
        v = self._goodness(values)
        below = np.searchsorted(self._sorted, v, side="left")
        upto = np.searchsorted(self._sorted, v, side="right")
        return np.asarray((below + upto + (upto > below)) * 50.0 / self.n)

    def threshold(self, percentile: float) -> float:
        """Return the worst value of the reference whose percentile is at least `percentile`.

        Where equals keep even the best value below that, it is the best value.

        Raises
        ------
        InputError
            If the percentile is not above 0 and at most 100.
        """
        if not 0 < percentile <= 100:
            raise InputError(f"a percentile is above 0 and at most 100, not {percentile:g}")
        rising = self._sorted if self.direction == "max" else -self._sorted
        reached = np.searchsorted(self.percentile(rising), percentile)
        return float(rising[min(int(reached), self.n - 1)])


def reduction(before: float, after: float) -> float:
    """Return by how many per cent of itself a percentile fell, from `before` to `after`; negative where it rose.

    ArchLock's transferability reduction. It is relative: 81.81 to 40.48 is 50.5 %.

    Raises
    ------
    InputError
        If `before` is not above 0.
    """
    if not before > 0:
        raise InputError(f"a reduction needs a percentile above 0 to start from, not {before:g}")
    return 100.0 * (before - after) / before


def raw_drop(best: float, value: float, direction: Direction = "max") -> float:
    """Return by how many per cent of `best` a raw value is worse than it; negative where it is better.

    Raises
    ------
    InputError
        If `best` is 0 or a value is not finite.
    """
    if best == 0 or not (math.isfinite(best) and math.isfinite(value)):
        raise InputError(f"a drop in per cent of {best:g} to {value:g} is not defined; it needs finite values, not 0")
    worse = best - value if direction == "max" else value - best
    return 100.0 * worse / abs(best)


@dataclass(frozen=True)
class Aggregate:
    """How the percentiles of several targets become one number; lower is better locked.

    Attributes
    ----------
    kind : {"mean", "worst", "cvar"}
        The mean; the largest, so that every target is protected; or the conditional value at risk.
    alpha : float
        Of "cvar": the share of the targets, those with the largest percentiles, whose mean is taken. With k targets
        it holds ``alpha * k`` of them, the last one in part: the mean of ``alpha = 1``, the worst where
        ``alpha <= 1 / k`` (Rockafellar and Uryasev 2002, for k equally likely outcomes).
    """

    kind: Literal["mean", "worst", "cvar"] = "mean"
    alpha: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``mean``, ``worst`` or ``cvar:ALPHA`` with ``0 < ALPHA <= 1``.

        Raises
        ------
        InputError
            If the text has another form.
        """
        kind, colon, share = text.strip().partition(":")
        if kind in {"mean", "worst"} and not colon:
            return cls(kind)  # type: ignore[arg-type]
        try:
            alpha = float(share)
        except ValueError:
            alpha = math.nan
        if kind != "cvar" or not 0 < alpha <= 1:
            raise InputError(f"unknown aggregation '{text}'; write mean, worst or cvar:ALPHA, for example cvar:0.5")
        return cls("cvar", alpha)

    def __call__(self, percentiles: Floats) -> Floats:
        """Return one number for each architecture.

        Parameters
        ----------
        percentiles : ndarray of float64, (..., k)
            One column a target; any scale on which higher means that it transfers better.

        Returns
        -------
        ndarray of float64, (...,)
        """
        p = np.asarray(percentiles, dtype=np.float64)
        if self.kind == "mean":
            return np.asarray(p.mean(axis=-1))
        if self.kind == "worst":
            return np.asarray(p.max(axis=-1))
        k = p.shape[-1]
        weights = np.clip(self.alpha * k - np.arange(k), 0.0, 1.0)
        return np.asarray(-np.sort(-p, axis=-1) @ (weights / weights.sum()))

    def __str__(self) -> str:
        return f"cvar:{self.alpha:g}" if self.kind == "cvar" else self.kind
