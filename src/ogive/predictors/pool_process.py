"""The pool process: a Gaussian process that learns from the other devices what latencies look like.

It reads an architecture as its choices, how often it uses each option, and its latencies on the pool (`_pool_kernel`).
The same model is fitted to every pool device as a pretend target; the hyper-parameters found there are the prior of
the real target's and, weighted by how well they explain the measurements, predict along with its own, once for
latency and once for its logarithm.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from ogive.predictors._pool_kernel import DEVIATION, MEDIANS, Conditioned, Profiles, learn
from ogive.predictors.families import related
from ogive.predictors.latency import LATENCY_PREDICTORS, LatencyPredictor, bend

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ogive.predictors.base import Floats
    from ogive.predictors.latency import Candidates, Index

_PRETEND = 100
"""Architectures measured on a pool device when it stands in for the target."""
_TEMPER = 1.0 / 3.0
"""Power of the evidence in the weights of the members: few as they are, the best is less sure than it looks."""
_BLOCK = 4096


class PoolProcess(LatencyPredictor):
    """Evidence-weighted Gaussian processes on choices and pool latencies.

    Parameters
    ----------
    meta : bool
        Whether to learn the prior of the hyper-parameters from the pool; else it is the fixed one.
    """

    name: ClassVar[str] = "pool_gp"
    least: ClassVar[int] = 2

    def __init__(self, meta: bool = True) -> None:
        self.meta = meta

    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None:
        self._floor = 0.5 * float(latency.min())
        self._models: list[tuple[_Scale, Index, list[Conditioned]]] = []
        evidence = []
        for scale in _scales(candidates):
            values, like = scale.of(latency), scale.profiles.likeness(index, index)
            found = scale.pretended if self.meta else np.empty((0, len(MEDIANS)))
            members = [Conditioned(t, like, values) for t in (learn(like, values, *_prior(found)), *found)]
            self._models.append((scale, index, members))
            evidence += [m.evidence + scale.log_jacobian(latency) for m in members]
        weights = np.exp(_TEMPER * (np.array(evidence) - max(evidence)))
        self._weights = weights / weights.sum()

    def _mixed(self, parts: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        """Return mean and deviation of the mixture of the members' predictions."""
        means, deviations = (np.stack(p) for p in zip(*parts, strict=True))
        means = bend(means, self._floor)
        mean = self._weights @ means
        return mean, np.sqrt(self._weights @ (deviations**2 + (means - mean) ** 2))

    def _predict(self) -> tuple[Floats, Floats]:
        rows = len(self._models[0][0].profiles.codes)
        blocks = []
        for start in range(0, rows, _BLOCK):
            block, parts = slice(start, start + _BLOCK), []
            for scale, index, members in self._models:
                like, own = scale.profiles.likeness(block, index), scale.profiles.own(block)
                parts += [scale.back(*m.predict(like, own)) for m in members]
            blocks.append(self._mixed(parts))
        mean, spread = (np.concatenate(p) for p in zip(*blocks, strict=True))
        return mean, spread

    def _leave_one_out(self) -> tuple[Floats, Floats]:
        return self._mixed([scale.back(*m.leave_one_out()) for scale, _, members in self._models for m in members])


def _prior(found: Floats) -> tuple[Floats, Floats]:
    """Return centre and deviation of the prior; the fixed prior counts as one more device."""
    every = np.vstack([found, MEDIANS])
    centre = every.mean(axis=0)
    spread = ((every - centre) ** 2).sum(axis=0) + DEVIATION**2
    return centre, np.sqrt(spread / len(every))


class _Scale:
    """Latencies as they are, or their logarithms, and what the candidates and the pool look like in that scale."""

    def __init__(self, candidates: Candidates, logarithm: bool) -> None:
        self.logarithm = logarithm
        self._pool = dict(candidates.pool)
        self._codes, self._counts = candidates.codes, _counts(candidates.codes)
        self._columns = {"": _standard(self.of(candidates.macs))}
        self._columns |= {device: _standard(self.of(v)) for device, v in candidates.pool.items()}
        self.profiles = self._profiles(self._columns)

    def of(self, latency: Floats) -> Floats:
        return np.log(latency) if self.logarithm else latency

    def back(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Return mean and deviation in ms; of a logarithm the geometric mean, and the deviation to first order."""
        return (np.exp(mean), np.exp(mean) * deviation) if self.logarithm else (mean, deviation)

    def log_jacobian(self, latency: Floats) -> float:
        """Return what makes the log density of the scaled latencies one of the latencies.

        The restricted likelihood is one of n - 1 differences, so that the unit of latency cancels.
        """
        return -(len(latency) - 1) * float(np.log(latency).mean()) if self.logarithm else 0.0

    def _profiles(self, devices: Iterable[str]) -> Profiles:
        table = np.stack([self._columns[d] for d in devices], axis=1)
        # What one device does not know, the others guess: the mean of their standardised latencies.
        table = np.where(np.isnan(table), np.nanmean(table, axis=1, keepdims=True), table)
        return Profiles(self._codes, table / np.sqrt(table.shape[1]), self._counts)

    @cached_property
    def pretended(self) -> Floats:
        """Hyper-parameters of each pool device as the target, its family left out of the pool, ``(devices, 6)``."""
        found = []
        for device, family in related(self._pool).items():
            known = np.flatnonzero(np.isfinite(self._pool[device]))
            index = np.random.default_rng(0).permutation(known)[:_PRETEND]
            like = self._profiles(d for d in self._columns if d not in family).likeness(index, index)
            found.append(learn(like, self.of(self._pool[device][index]), *_prior(np.empty((0, len(MEDIANS))))))
        return np.array(found).reshape(-1, len(MEDIANS))


_known: WeakKeyDictionary[Candidates, tuple[_Scale, _Scale]] = WeakKeyDictionary()


def _scales(candidates: Candidates) -> tuple[_Scale, _Scale]:
    """Return both scales; what the pool teaches does not depend on the target and is learned once."""
    if candidates not in _known:
        _known[candidates] = (_Scale(candidates, True), _Scale(candidates, False))
    return _known[candidates]


def _standard(values: Floats) -> Floats:
    spread = np.nanstd(values)
    return np.asarray((values - np.nanmean(values)) / (spread if spread > 0 else 1.0))


def _counts(codes: NDArray[np.integer[Any]]) -> Floats:
    """Return how often each option is used, centred and scaled to a mean square norm of 1, ``(N, options)``."""
    counts = np.stack([(codes == option).sum(axis=1) for option in np.unique(codes)], axis=1).astype(np.float64)
    counts -= counts.mean(axis=0)
    norm = float(np.sqrt((counts**2).sum(axis=1).mean()))
    return counts / (norm or 1.0)


LATENCY_PREDICTORS.add("pool_gp", PoolProcess)
