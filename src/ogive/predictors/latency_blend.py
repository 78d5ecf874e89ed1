"""Which latency predictor to use: a blend weighted by leave-one-out error, and the default with its guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive._errors import InputError
from ogive.predictors.latency import LATENCY_PREDICTORS, LatencyPredictor, get_latency_predictor
from ogive.predictors.linear_latency import RawProxy
from ogive.predictors.monotonicity import srcc, srcc_bounds
from ogive.predictors.pool_process import PoolProcess

if TYPE_CHECKING:
    from ogive.predictors.base import Floats
    from ogive.predictors.latency import Candidates, Index

_LEAST = 4
"""Measurements from which a fitted model orders architectures better than the nearest proxy does."""
_PERFECT = 20
"""Measurements in which no proxy of a pool has a perfect order by chance."""
_ENOUGH = 30
"""Measurements from which leave-one-out errors say well enough how to weigh models that differ in kind."""


class Blend(LatencyPredictor):
    """A weighted mean of several predictors; the weight is ``1 / error**4`` with the relative leave-one-out error.

    Parameters
    ----------
    members : str
        Names of latency predictors with ``+`` between them.
    """

    name: ClassVar[str] = "blend"
    least: ClassVar[int] = _LEAST

    def __init__(self, members: str = "pool_gp+adaproxy") -> None:
        self.members = [get_latency_predictor(name) for name in str(members).split("+")]

    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None:
        errors = []
        for member in self.members:
            left_out = member.fit(candidates, index, latency).leave_one_out()[0]
            errors.append(float(np.sqrt(((left_out / latency - 1.0) ** 2).mean())) + 1e-3)
        weights = np.array(errors) ** -4.0
        self.weights = weights / weights.sum()
        # Errors of unlike models partly cancel, so the mixture is too wide; leave-one-out says by how much.
        self._width = 1.0
        mean, spread = self._leave_one_out()
        self._width = float(np.clip(np.sqrt((((latency - mean) / spread) ** 2).mean()), 0.5, 2.0))

    def _mixed(self, parts: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        means, spreads = (np.stack(p) for p in zip(*parts, strict=True))
        mean = self.weights @ means
        return mean, self._width * np.sqrt(self.weights @ (spreads**2 + (means - mean) ** 2))

    def _predict(self) -> tuple[Floats, Floats]:
        return self._mixed([member.predict() for member in self.members])

    def _leave_one_out(self) -> tuple[Floats, Floats]:
        return self._mixed([member.leave_one_out() for member in self.members])


class Default(LatencyPredictor):
    """The nearest proxy as it is, until a fitted model orders the measured architectures as well.

    With fewer than four latencies it is the nearest proxy, rescaled; below thirty the pool process, then the blend.
    From four on the nearest proxy stays where it is surely better: the lower bound of its rank correlation, at 95 % for
    the best of all proxies together, is above the correlation of the model's leave-one-out predictions, or its order of
    twenty or more is perfect and theirs is not.

    Parameters
    ----------
    model : str, optional
        Name of the one fitted predictor to use instead.

    Attributes
    ----------
    chosen : LatencyPredictor
        What predicts.
    """

    name: ClassVar[str] = "default"
    least: ClassVar[int] = 0

    def __init__(self, model: str | None = None) -> None:
        if model in (self.name, RawProxy.name):
            raise InputError(f"the model that a proxy is compared with cannot be '{model}'; pool_gp is the usual one")
        self.model = model

    def _fit(self, candidates: Candidates, index: Index, latency: Floats) -> None:
        self.chosen: LatencyPredictor = RawProxy().fit(candidates, index, latency)
        if len(index) < _LEAST:
            return
        usual = PoolProcess.name if len(index) < _ENOUGH else Blend.name
        model = get_latency_predictor(self.model or usual).fit(candidates, index, latency)
        raw, adapted = (srcc(m.leave_one_out()[0], latency) for m in (self.chosen, model))
        # The multiply-adds are a proxy too.
        surely = srcc_bounds(raw, len(index), 1.0 - 0.05 / (len(candidates.pool) + 1))[0] > adapted
        perfect = len(index) >= _PERFECT and raw > 1.0 - 1e-9 > adapted
        if not (surely or perfect):
            self.chosen = model

    def _predict(self) -> tuple[Floats, Floats]:
        return self.chosen.predict()

    def _leave_one_out(self) -> tuple[Floats, Floats]:
        return self.chosen.leave_one_out()


LATENCY_PREDICTORS.add("blend", Blend)
LATENCY_PREDICTORS.add("default", Default)
