"""Search for a lock: an architecture that passes a gate at its own task and is as poor as can be at the others.

A Gaussian process for each column, over what architectures compute and over which operations they are written with.
What is measured next is likely to pass the gate and to beat the best lock so far (feasibility-weighted improvement:
Gardner, Kusner, Xu, Weinberger and Cunningham, "Bayesian Optimization with Inequality Constraints", ICML 2014).
Targets count by their percentile in the whole space, read off the models' predictions for a random sample of it,
because what the search has measured is far from a random sample.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError
from ogive.metrics.percentile import Aggregate
from ogive.strategies.base import STRATEGIES, Floats, count_option
from ogive.strategies.bayesian import Bayesian, View, log_improvement

if TYPE_CHECKING:
    from ogive.predictors.gaussian_process import GaussianProcess, Posterior
    from ogive.spaces.base import Genotypes, Space

_REFERENCE = 500
_DRAWS = 32
_STEP = 0.3


class LockSearch(Bayesian):
    """Gaussian-process search for architectures that do not transfer.

    One column is the source; the others are targets, all of them higher where the owner is better off, as every strategy
    is told: a good source, and targets at which the attacker does badly. With one column it searches for the best
    source.

    Parameters
    ----------
    space, n_objectives, seed, initial, siblings
        See `Bayesian`.
    source : int
        Which column is the source.
    gate : float
        Least value of the source column of an architecture that may be chosen.
    aggregate : str
        How percentiles of several targets become one number: "mean", "worst" or "cvar:ALPHA"; see `Aggregate`.
    denoise : bool
        Whether an architecture is judged by what the models believe of it, not by its own measurements. Right where
        the measured targets stand for others: what one measurement has by luck, another target has not.
    """

    name = "lock"

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        initial: int = 30,
        siblings: bool = True,
        source: int = 0,
        gate: float = -math.inf,
        aggregate: str = "mean",
        denoise: bool = False,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed, initial=initial, siblings=siblings)
        if isinstance(gate, bool) or not isinstance(gate, (int, float)) or math.isnan(gate):
            raise InputError(f"strategy 'lock' needs a number gate, the least value of the source, not {gate}")
        if not isinstance(denoise, bool):
            raise InputError(f"strategy 'lock' needs denoise=true or denoise=false, not {denoise}")
        if count_option(self.name, "source", source, 0) >= n_objectives:
            raise InputError(f"strategy 'lock' has columns 0 to {n_objectives - 1}, so source={source} is none of them")
        self._order = [source, *(c for c in range(n_objectives) if c != source)]
        self.gate, self.denoise = float(gate), denoise
        self.aggregate = Aggregate.parse(str(aggregate))
        self._features = _Features(space)
        self._sample = self._features(space.free().sample(_REFERENCE, np.random.default_rng(0)))

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Take answers in; one that passes the gate and breaks another constraint counts as the worst source."""
        v = np.array(values, dtype=np.float64)
        if v.ndim != 2 or v.shape[1] != self.n_objectives:
            raise InputError(f"values have shape (n, {self.n_objectives}), not {v.shape}")
        v = v[:, self._order]
        if violation is not None:
            v[(np.asarray(violation) > 0) & (v[:, 0] >= self.gate), 0] = -np.inf
        super().tell(genotypes, v)

    def _view(self, X: Floats) -> View:
        from ogive.predictors.gaussian_process import GaussianProcess

        F, targets, learn = self._lessons()
        posteriors = []
        for column in range(self.n_objectives):
            process = GaussianProcess(groups=self._features.groups.tolist(), length_scale=1.5, optimise=learn)
            if self._theta is not None:
                process.theta = self._theta[column]
            posteriors.append(process.fit(F, targets[:, column]).posterior(X))
        self._theta = np.stack([p.process.theta for p in posteriors])
        told = self._history.values[self._labels()]
        scales = [Percentiles(p.process, self._sample) for p in posteriors[1:]]
        return _LockView(posteriors, scales, targets, told, self.gate, self.aggregate)


class _Features:
    """What architectures compute, and which operations their canonical form is written with, in groups."""

    def __init__(self, space: Space) -> None:
        from ogive.predictors.features import Features

        self._space = space
        self._parts = (Features(space, "functional"), Features(space, "onehot"))
        first, second = (part.groups for part in self._parts)
        self.groups = np.concatenate([first, second + first.max() + 1])

    def __call__(self, genotypes: Genotypes) -> Floats:
        return np.hstack([part(self._space.canonical(genotypes)) for part in self._parts])


class Percentiles:
    """The attacker's percentile in a space, as a function of a column on its model's scale.

    Parameters
    ----------
    process : GaussianProcess
        Fitted; higher is worse for the attacker.
    X : ndarray of float64, (m, d)
        A random sample of the space.
    """

    def __init__(self, process: GaussianProcess, X: Floats) -> None:
        from scipy.special import ndtr

        mean, std = process.predict(X)
        self._grid = np.linspace((mean - 4 * std).min(), (mean + 4 * std).max(), 200)
        self._share = ndtr((self._grid[:, None] - mean) / std).mean(axis=1)

    def __call__(self, values: Floats) -> Floats:
        """Return 100 times the share of the space that is at least as bad for the attacker as each value."""
        return np.asarray(100.0 * (1.0 - np.interp(values, self._grid, self._share)))


class _LockView:
    """What the models say of every class of candidates, and how much a measurement of one promises."""

    def __init__(
        self,
        posteriors: list[Posterior],
        scales: list[Percentiles],
        targets: Floats,
        told: Floats,
        gate: float,
        aggregate: Aggregate,
    ) -> None:
        self._posteriors, self._scales, self._aggregate = posteriors, scales, aggregate
        self._passed = (told[:, 0] >= gate) & np.isfinite(told).all(axis=1)
        self._bar = bar(targets[:, 0], told[:, 0], gate)
        self._best_source = float(targets[:, 0].max())
        reached = self._locked(targets[self._passed, 1:]) if scales else np.zeros(0)
        self._best = float(reached.min()) if reached.size else math.inf

    def _locked(self, values: Floats) -> Floats:
        percentiles = [scale(column) for scale, column in zip(self._scales, np.moveaxis(values, -1, 0), strict=True)]
        return self._aggregate(np.stack(percentiles, axis=-1))

    def promise(self, rng: np.random.Generator) -> Floats:  # noqa: ARG002 - the signature of a view
        from scipy.special import log_ndtr, ndtri

        source = self._posteriors[0]
        std = np.hypot(source.std, source.noise)
        if not self._scales:
            return np.asarray(log_improvement((source.mean - self._best_source) / std) + np.log(std))
        passes = np.asarray(log_ndtr((source.mean - self._bar) / std))
        if math.isinf(self._best):
            return passes
        mean = np.stack([p.mean for p in self._posteriors[1:]], axis=-1)
        std = np.stack([np.hypot(p.std, p.noise) for p in self._posteriors[1:]], axis=-1)
        # The same quantiles in another order for each target, so that they are as good as independent.
        quantiles = ndtri((np.arange(_DRAWS) + 0.5) / _DRAWS)
        orders = np.random.default_rng(0)
        noise = np.stack([orders.permutation(quantiles) for _ in self._scales], axis=-1)
        drawn = self._locked(mean[:, None] + std[:, None] * noise)
        centre, spread = drawn.mean(axis=1), drawn.std(axis=1) + 1e-9
        return np.asarray(passes + log_ndtr((self._best - centre) / spread))

    def believe(self, kind: int) -> None:
        for posterior in self._posteriors:
            posterior.believe(kind)


def bar(scores: Floats, values: Floats, gate: float) -> float:
    """Return the gate on the scale of scores that rise with the values, between the scores on its two sides."""
    below, above = scores[values < gate], scores[values >= gate]
    if not len(above):
        return float(below.max()) + _STEP
    return float(above.min()) - _STEP if not len(below) else 0.5 * float(below.max() + above.min())


STRATEGIES.add("lock", LockSearch)
