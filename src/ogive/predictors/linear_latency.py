"""Latency predictors that are linear in something: a proxy device rescaled or re-weighted, the features, the pool.

AdaProxy is that of Lu et al., "One Proxy Device Is Enough for Hardware-Aware Neural Architecture Search", POMACS 5(3),
2021, made safe: linearly dependent features are dropped, and the penalty is chosen by leave-one-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive.predictors._adaproxy import Problem, Solution, independent, norm_of
from ogive.predictors.families import unit_ranks
from ogive.predictors.latency import LATENCY_PREDICTORS, LatencyPredictor, bend
from ogive.predictors.ridge import Ridge

if TYPE_CHECKING:
    from ogive.predictors.base import Floats
    from ogive.predictors.latency import Candidates, Index

MACS = "macs"
"""Name of the multiply-adds as a proxy; the only one where the pool is empty."""
_UNKNOWN = 0.5
"""Relative error assumed where fewer than three measurements leave none to see."""
_CENTRAL = 3.0
"""Measurements that being like the rest of the pool is worth, when the nearest device is looked for."""
_ROWS = 2000


class _Linear(LatencyPredictor):
    """A model with a mean for each candidate and what it would be for the measured ones left out.

    The spread is the prediction times the root mean squared relative error of leave-one-out.
    """

    _mean: Floats
    _left_out: Floats

    def _keep(self, mean: Floats, left_out: Floats, latency: Floats) -> None:
        """Take predictions in ms, of all candidates and of the measured ones left out."""
        floor = 0.5 * float(latency.min(initial=np.inf)) if len(latency) else float(mean.min())
        self._mean, self._left_out = bend(mean, floor), bend(left_out, floor)
        error = latency / self._left_out - 1.0
        self._relative = float(np.sqrt((error**2).mean())) if len(latency) > 2 else _UNKNOWN
        self._relative = max(self._relative, 1e-9)

    def _predict(self) -> tuple[Floats, Floats]:
        return self._mean, self._relative * self._mean

    def _leave_one_out(self) -> tuple[Floats, Floats]:
        return self._left_out, self._relative * self._left_out


# ---------------------------------------------------------------- proxies


def proxy_latencies(candidates: Candidates) -> dict[str, Floats]:
    """Return every proxy there is, by name: the pool, and the multiply-adds.

    What a device does not know is read off a linear fit of what it knows.
    """
    proxies = {}
    for device, latency in candidates.pool.items():
        known = np.isfinite(latency)
        proxies[device] = latency
        if not known.all():
            X = candidates.encoding
            fit = X @ np.linalg.lstsq(X[known], latency[known], rcond=1e-10)[0]
            proxies[device] = np.where(known, latency, bend(fit, 0.5 * float(latency[known].min())))
    return proxies | {MACS: candidates.macs}


def _rank_correlations(table: Floats, values: Floats) -> Floats:
    """Return Spearman's correlation of each row of a table with some values; 0 where one of them is constant."""
    ranks = unit_ranks(np.vstack([table, values]))
    return np.asarray(ranks[:-1] @ ranks[-1])


class _Nearest:
    """Which proxy is nearest to the target: its rank correlation, shrunk to that with the other proxies."""

    def __init__(self, candidates: Candidates, proxy: str) -> None:
        self.proxies = proxy_latencies(candidates)
        if proxy != "auto" and proxy not in self.proxies:
            raise UnknownNameError.of("proxy", proxy, ["auto", *self.proxies])
        self.names = list(self.proxies) if proxy == "auto" else [proxy]
        self.table = np.stack([self.proxies[name] for name in self.names])
        rows = np.random.default_rng(0).permutation(len(candidates))[:_ROWS]
        ranks = unit_ranks(self.table[:, rows])
        alike = ranks @ ranks.T
        self._central = (alike.sum(axis=1) - alike.diagonal()) / max(1, len(alike) - 1)

    def pick(self, index: Index, latency: Floats) -> int:
        seen = _rank_correlations(self.table[:, index], latency) if len(index) > 1 else np.zeros(len(self.names))
        return int(np.argmax((len(index) * seen + _CENTRAL * self._central) / (len(index) + _CENTRAL)))


class RawProxy(_Linear):
    """Another device's latencies, rescaled: the order is the proxy's.

    ``log latency = slope * log proxy + offset`` with a slope shrunk to 1 and kept positive. Without any measurement the
    proxy's latencies stand as they are.

    Parameters
    ----------
    proxy : str
        A pool device, "macs", or "auto": the one whose order agrees best with the measurements; leave-one-out picks
        it anew without each of them.
    """

    name: ClassVar[str] = "raw"
    least: ClassVar[int] = 0

    def __init__(self, proxy: str = "auto") -> None:
        self.proxy = proxy

    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None:
        nearest = _Nearest(candidates, self.proxy)
        picked = nearest.pick(index, latency)
        self.chosen_proxy = nearest.names[picked]
        others = [nearest.pick(np.delete(index, i), np.delete(latency, i)) for i in range(len(index))]
        scaled = {k: _rescaled(nearest.table[k], index, latency) for k in {picked, *others}}
        left_out = np.array([scaled[k][row] for k, row in zip(others, index, strict=True)])
        self._keep(scaled[picked], left_out, latency)


def _rescaled(proxy: Floats, index: Index, latency: Floats) -> Floats:
    if not len(index):
        return proxy
    x, y = np.log(proxy), np.log(latency)
    here, offset = x[index] - x[index].mean(), y.mean()
    # As if one more measurement, a typical distance away, had shown a slope of 1.
    prior = x.var()
    slope = (here @ (y - offset) + prior) / (here @ here + prior) if prior > 0 else 1.0
    return np.asarray(np.exp(offset + max(slope, 0.1) * (x - x[index].mean())))


class AdaProxy(_Linear):
    """A proxy's linear latency model, rescaled and corrected feature by feature.

    Parameters
    ----------
    proxy : str
        A pool device, "macs", or "auto": the one whose order agrees best with the measurements.
    p : {1, 2, "inf"}
        Norm of the penalty on the corrections.
    select : {"loo", "holdout"}
        How the penalty is chosen: least squared leave-one-out error, or as in the authors' code the best rank
        correlation on the last seventh of the measurements.
    """

    name: ClassVar[str] = "adaproxy"
    least: ClassVar[int] = 4

    def __init__(self, proxy: str = "auto", p: float | str = 2, select: str = "loo") -> None:
        if select not in ("loo", "holdout"):
            raise InputError(f"AdaProxy selects its penalty by loo or holdout, not {select}")
        self.proxy, self.p, self.select = proxy, norm_of(p), select

    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None:
        nearest = _Nearest(candidates, self.proxy)
        picked = nearest.pick(index, latency)
        self.chosen_proxy = nearest.names[picked]
        X = candidates.encoding[:, independent(candidates.encoding)]
        self.proxy_weights = np.linalg.lstsq(X, nearest.table[picked], rcond=None)[0]
        Z = X * self.proxy_weights
        Z = Z / (float(np.sqrt(Z.var(axis=0).sum())) or 1.0)
        unit = float(latency.std()) or 1.0
        problem = Problem(Z[index], latency / unit)
        best = self._select(problem)
        a, c = problem.terms(best.b)
        mean = (Z @ (a + best.b) + c) * unit
        self._keep(mean, latency - problem.left_out(best) * unit, latency)

    def _select(self, problem: Problem) -> Solution:
        path = list(problem.path(self.p))
        if self.select == "loo":
            return min(path, key=lambda s: float((problem.left_out(s) ** 2).mean()))
        held = max(2, len(problem.y) // 7)
        fitted = Problem(problem.z[:-held], problem.y[:-held])
        shown = []
        for solution in fitted.path(self.p):
            a, _ = fitted.terms(solution.b)
            shown.append(problem.z[-held:] @ (a + solution.b))
        step = int(_rank_correlations(np.stack(shown), problem.y[-held:]).argmax())
        return path[min(step, len(path) - 1)]


class LinearRidge(_Linear):
    """Ridge regression of latency on the encoding, without any other device."""

    name: ClassVar[str] = "ridge"
    least: ClassVar[int] = 2

    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None:
        model = Ridge().fit(candidates.encoding[index], latency)
        self._keep(model.predict(candidates.encoding)[0], model.leave_one_out()[0], latency)


class PoolRidge(_Linear):
    """Ridge regression of log latency on the log latencies of the pool and the log of the multiply-adds."""

    name: ClassVar[str] = "pool_ridge"
    least: ClassVar[int] = 2

    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None:
        X = np.log(np.stack(list(proxy_latencies(candidates).values()), axis=1))
        model = Ridge().fit(X[index], np.log(latency))
        self._keep(np.exp(model.predict(X)[0]), np.exp(model.leave_one_out()[0]), latency)


LATENCY_PREDICTORS.add("raw", RawProxy)
LATENCY_PREDICTORS.add("adaproxy", AdaProxy)
LATENCY_PREDICTORS.add("ridge", LinearRidge)
LATENCY_PREDICTORS.add("pool_ridge", PoolRidge)
