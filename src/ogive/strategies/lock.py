"""Search for a lock: an architecture that passes a gate at its own task and is as poor as can be at the others.

A Gaussian process for each column, over what architectures compute and over which operations they are written with.
What is measured next is likely to pass the gate and to beat the best lock so far (feasibility-weighted improvement:
Gardner, Kusner, Xu, Weinberger and Cunningham, "Bayesian Optimization with Inequality Constraints", ICML 2014).
Targets count by their percentile in the whole space, read off the models' predictions for a random sample of it,
because what the search has measured is far from a random sample.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_ndtr, ndtri

from ogive._errors import InputError
from ogive.metrics.percentile import Aggregate
from ogive.predictors.base import rank_gaussian
from ogive.strategies._lock_models import Field, Operations, Percentiles
from ogive.strategies.base import STRATEGIES, Floats, count_option
from ogive.strategies.bayesian import Bayesian, View, log_improvement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space
    from ogive.strategies._pool import Pool

_SAMPLE = 256  # random architectures that percentiles are read off
_QUANTILES = ndtri((np.arange(16) + 0.5) / 16)  # at which a target's prediction is drawn
_STEPS = 15  # of a fit of the hyper-parameters
_GROWTH = 1.2  # of the answers until the next fit
_STEP = 0.3  # how far the gate lies beyond the answers where none is on its other side
_LEAST = 1e-9
_CAUTION = 2.0  # exponent of the chance to pass, where targets are judged by belief
_END = 1e-4


class LockSearch(Bayesian):
    """Gaussian-process search for architectures that do not transfer.

    One column is the source; the others are targets, all of them higher where the owner is better off, as every
    strategy is told: a good source, and targets at which the attacker does badly. With one column it searches for the
    best source.

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
        Whether an architecture is judged by what the models make of all others, not by its own measurements. Right
        where the measured targets stand for others: what the models miss at one target, they do not miss at another.
    """

    name = "lock"
    batch = 4

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
        self._features = Operations(space)
        self._sample = self._features(space.free().sample(_SAMPLE, np.random.default_rng(0)))
        self._fields: tuple[Floats, int, list[Field]] | None = None

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Take answers in; one that passes the gate and breaks another constraint counts as the worst source."""
        v = np.array(values, dtype=np.float64)
        if v.ndim != 2 or v.shape[1] != self.n_objectives:
            raise InputError(f"values have shape (n, {self.n_objectives}), not {v.shape}")
        v = v[:, self._order]
        if violation is not None:
            v[(np.asarray(violation) > 0) & (v[:, 0] >= self.gate), 0] = -np.inf
        super().tell(genotypes, v)

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self._fields = None

    def _same(self, pool: Pool) -> NDArray[np.intp]:
        """Return a number for each candidate; siblings that differ in dead layers alone are one network."""
        return pool.form if self.siblings else pool.kind

    # ---------------------------------------------------------------- the models

    def _view(self, X: Floats) -> View:
        labels = self._labels()
        if learn := len(self._history) >= _GROWTH * self._learned:
            self._learned = len(self._history)
        return self._look(self._taken_in(X, labels, learn), labels, len(X))

    def _look(self, fields: list[Field], labels: NDArray[np.intp], n: int) -> LockView:
        """Return what the models say of the first n rows, the others being a random sample of the space."""
        told = self._history.values[labels]
        scores = np.stack([rank_gaussian(column) for column in told.T])
        for field, column in zip(fields, scores, strict=True):
            field.observe(column)
        passed = (told[:, 0] >= self.gate) & np.isfinite(told).all(axis=1)
        return LockView(
            fields, n, scores, passed, bar(scores[0], told[:, 0] >= self.gate), self.aggregate, self.denoise
        )

    def _taken_in(self, X: Floats, labels: NDArray[np.intp], learn: bool) -> list[Field]:
        """Return a model for each column that has taken in where was measured.

        They follow from the answers and the last fit alone, not from the calls in between, so that a restored search
        goes on as the original would.
        """
        rows = self._classes(labels) if len(labels) == len(self._history) else None
        fitted = len(labels) if rows is None else self._learned
        if self._fields is None or self._fields[0] is not X or self._fields[1] != fitted or rows is None:
            self._fields = X, fitted, self._fit(np.vstack([X, self._sample]), labels[:fitted], learn)
            self._theta = np.stack([field.process.theta for field in self._fields[2]])
        fields = self._fields[2]
        if rows is not None:
            for field in fields:
                field.forget()
                for row in rows[len(field) :].tolist():
                    field.add(row)
        return fields

    def _classes(self, labels: NDArray[np.intp]) -> NDArray[np.intp] | None:
        """Return the class of each answer among the candidates; None where one of them is not there."""
        if self._listed is None or self._listed[0] is not self.space:
            return None
        pool = self._listed[1]
        rows = pool.rows(self._history.genotypes[labels])
        return pool.kind[rows] if len(rows) == len(labels) else None

    def _fit(self, X: Floats, labels: NDArray[np.intp], learn: bool) -> list[Field]:
        from ogive.predictors.gaussian_process import GaussianProcess

        F = self._features(self._history.genotypes[labels])
        fields = []
        for column, values in enumerate(self._history.values[labels].T):
            process = GaussianProcess(
                groups=self._features.groups.tolist(), length_scale=1.5, steps=_STEPS, optimise=learn
            )
            if self._theta is not None:
                process.theta = self._theta[column]
            fields.append(Field(process.fit(F, rank_gaussian(values)), X))
        return fields

    def choose(self) -> Genotypes | None:
        """Return the best lock among the architectures told, ``(n_choices,)``; None if none passes the gate."""
        labels = self._labels()
        if not len(labels):
            return None
        view = self._look(self._fit(self._sample, labels, learn=True), labels, 0)
        best = int(view.locked.argmin())
        return self._history.genotypes[labels[best]].copy() if np.isfinite(view.locked[best]) else None


class LockView:
    """What the models say of every class of candidates, and how much a measurement of one promises.

    Parameters
    ----------
    fields : list of Field
        Source first.
    n : int
        Number of classes of candidates; the rows behind them are a random sample of the space.
    scores : ndarray of float64, (n_objectives, m)
        What was measured, on the models' scale.
    passed : ndarray of bool, (m,)
        Which of it passed the gate.
    bar : float
        The gate on the models' scale.
    aggregate : Aggregate
    denoise : bool
        Whether targets are judged by the functions, not by their measurements.

    Attributes
    ----------
    locked : ndarray of float64, (m,)
        Aggregated percentile of what was measured; without targets, how bad the source is; inf where the gate is not
        passed.
    """

    def __init__(
        self,
        fields: list[Field],
        n: int,
        scores: Floats,
        passed: NDArray[np.bool_],
        bar: float,
        aggregate: Aggregate,
        denoise: bool,
    ) -> None:
        self._source, self._targets = fields[0], fields[1:]
        self._n, self._bar, self._top, self._aggregate, self._denoise = n, bar, scores[0].max(), aggregate, denoise
        self._scales = [Percentiles(f.mean[n:], np.hypot(f.std[n:], f.noise)) for f in self._targets]
        self.locked = np.where(passed, -scores[0], np.inf)
        if self._targets:
            known = np.stack([f.left_out() for f in self._targets] if denoise else list(scores[1:]), axis=-1)
            self.locked[passed] = self._judged(known[passed])

    def _judged(self, values: Floats) -> Floats:
        """Return the aggregated percentile of targets ``(..., k)`` on the models' scale."""
        columns = [scale(column) for scale, column in zip(self._scales, np.moveaxis(values, -1, 0), strict=True)]
        return self._aggregate(np.stack(columns, axis=-1))

    def promise(self, rng: np.random.Generator) -> Floats:
        """Return how likely each class passes the gate and beats the best lock so far, as a logarithm, ``(k,)``."""
        n = self._n
        mean, std = self._source.mean[:n], np.hypot(self._source.std[:n], self._source.noise)
        if not self._targets:
            return np.asarray(log_improvement((mean - self._top) / std) + np.log(std))
        passes = np.asarray(log_ndtr((mean - self._bar) / std))
        best = float(self.locked.min())
        if math.isinf(best):
            return passes
        # A belief about the function is so sure of itself that it would outweigh the gate.
        return (_CAUTION if self._denoise else 1.0) * passes + self._beats(best, rng)

    def _beats(self, best: float, rng: np.random.Generator) -> Floats:
        """Return how likely each class has a lower aggregated percentile than the best, as a logarithm, ``(k,)``."""
        n = self._n
        means = np.stack([f.mean[:n] for f in self._targets], axis=-1)
        stds = np.stack([f.std[:n] if self._denoise else np.hypot(f.std[:n], f.noise) for f in self._targets], axis=-1)
        if self._aggregate.kind == "worst":
            # Every target must be below, each by its own luck.
            bars = np.array([scale.value(best) for scale in self._scales])
            return np.asarray(log_ndtr((means - bars) / (stds + _LEAST)).sum(axis=-1))
        # The same even quantiles for each target, in an order of its own.
        noise = rng.permuted(np.tile(_QUANTILES, (len(self._targets), 1)), axis=1).T
        drawn = probit(self._judged(means[:, None] + stds[:, None] * noise))
        centre, spread = drawn.mean(axis=1), drawn.std(axis=1) + _LEAST
        return np.asarray(log_ndtr((probit(np.array(best)) - centre) / spread))

    def believe(self, kind: int) -> None:
        """Go on as if a candidate of this class were being measured."""
        for field in (self._source, *self._targets):
            field.believe(kind)


def probit(percentiles: Floats) -> Floats:
    """Return percentiles on the scale where they are nearest to normal; ends are brought in."""
    return np.asarray(ndtri(np.clip(percentiles / 100.0, _END, 1.0 - _END)))


def bar(scores: Floats, passes: NDArray[np.bool_]) -> float:
    """Return where the gate lies on the scale of the scores: between those on its two sides."""
    below, above = scores[~passes], scores[passes]
    if not len(above):
        return float(below.max()) + _STEP
    return float(above.min()) - _STEP if not len(below) else 0.5 * float(below.max() + above.min())


STRATEGIES.add("lock", LockSearch)
