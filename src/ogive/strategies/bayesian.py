"""Bayesian optimisation: a Gaussian process over what architectures compute, and expected improvement.

The encoding is functional (`ogive.spaces.paths`): isomorphic architectures share their features, so what is learned of
one is known of the others. Targets are normal scores of ranks, because accuracies of architectures have a long tail of
bad ones. The improvement is that of the next measurement, noise included, since a measurement is what a search is
judged by: an architecture much like the best one is worth another look (Jones, Schonlau and Welch, "Efficient Global
Optimization of Expensive Black-Box Functions", Journal of Global Optimization 13, 1998, equation 15, with the variance
of the observation). Several objectives have a model each and share the expected gain of hypervolume.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ogive._errors import InputError
from ogive.strategies._history import History
from ogive.strategies._pool import Pool, enumerable, sampled
from ogive.strategies.base import FAILED, STRATEGIES, Floats, Strategy, count_option, target_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.predictors.dngo import LinearPosterior
    from ogive.predictors.gaussian_process import Posterior
    from ogive.spaces.base import Genotypes, Space

_LABELS = 400
_STEPS = 15
_GROWTH = 1.1
_DIRECTIONS = 128
_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)


class Encoder(Protocol):
    """Features on a common scale, as of `ogive.predictors.features.Features`.

    Attributes
    ----------
    groups : ndarray of int, (d,)
        Group of every feature, for the length scales.
    """

    groups: NDArray[np.intp]

    def __call__(self, genotypes: Genotypes) -> Floats:
        """Return the features of each genotype, ``(n, d)``."""


class View(Protocol):
    """What the models of one `ask` say of every class of candidates."""

    def promise(self, rng: np.random.Generator) -> Floats:
        """Return how much a measurement of each class is worth, on a scale that only orders them, ``(k,)``."""

    def believe(self, kind: int) -> None:
        """Go on as if a candidate of this class were being measured."""


class Bayesian(Strategy):
    """Gaussian-process search over the whole space where it can be listed, else over a sample around the best.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    initial : int
        Random architectures, no two of which compute the same, before the model decides.
    encoding : str or Encoder
        What the model sees: "functional", "onehot" or "ordinal", see `Space.encode`; or what makes its features.
    target : {"rank", "raw"}
        What it learns: normal scores of ranks, or the values themselves, failures standing as the worst of them.
    siblings : bool
        Whether an architecture that computes the same as one already told may be proposed. With measurements that
        differ from training run to training run, it is another draw of the noise. Of those that compute the same, the
        one with the fewest dead layers comes first.
    """

    name: ClassVar[str] = "bo"
    multi_objective = True

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        initial: int = 10,
        encoding: str | Encoder = "functional",
        target: str = "rank",
        siblings: bool = True,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        from ogive.predictors.features import Features

        self.initial = count_option(self.name, "initial", initial, 1)
        if not isinstance(siblings, bool):
            raise InputError(f"strategy '{self.name}' needs siblings=true or siblings=false, not {siblings}")
        self.siblings, self.target = siblings, target_option(self.name, target)
        self._features: Encoder = Features(space, encoding) if isinstance(encoding, str) else encoding
        self._history = History(space, n_objectives)
        self._theta: Floats | None = None
        self._learned = 0
        self._listed: tuple[Space, Pool, Floats] | None = None

    # ---------------------------------------------------------------- proposals

    def ask(self, n: int) -> Genotypes:
        """Return random architectures until there are enough answers, then the most promising, ``(n, n_choices)``."""
        known = len(self._history)
        fresh = n if known < 2 else min(n, max(0, self.initial - known - len(self._history.pending)))
        out = np.concatenate([self._random(fresh), self._promising(n - fresh)])
        self._history.asked(out)
        return out

    def _tried(self) -> Genotypes:
        return np.concatenate([self._history.genotypes, self._history.pending])

    def _random(self, n: int) -> Genotypes:
        """Return random draws, of different classes and new where a few attempts find such."""
        seen = set(self.space.keys(self.space.canonical(self._tried())))
        drawn = self.space.sample(10 * n, self.rng)
        new: list[int] = []
        old: list[int] = []
        for i, key in enumerate(self.space.keys(self.space.canonical(drawn))):
            (old if key in seen else new).append(i)
            seen.add(key)
        return np.asarray(drawn[(new + old)[:n]])

    def _candidates(self) -> tuple[Pool, Floats]:
        """Return the pool and the features of its classes; the whole space is listed once for each restriction."""
        if not enumerable(self.space):
            pool = Pool(self.space, sampled(self.space, self._history, self.rng))
            return pool, self._features(pool.genotypes[pool.first])
        if self._listed is None or self._listed[0] is not self.space:
            pool = Pool(self.space, self.space.enumerate())
            self._listed = self.space, pool, self._features(pool.genotypes[pool.first])
        return self._listed[1:]

    def _promising(self, n: int) -> Genotypes:
        """Return the n candidates that the acquisition likes best, each chosen as if those before it were told."""
        if not n:
            return self._history.genotypes[:0]
        pool, X = self._candidates()
        same = self._same(pool)
        open_ = np.isin(same, same[pool.rows(self._tried())], invert=True)
        if not open_.any():
            return self.space.sample(n, self.rng)
        view = self._view(X)
        for kind in pool.kind[pool.rows(self._history.pending)].tolist():
            view.believe(kind)
        chosen: list[int] = []
        # One after another, because each choice changes what the next one is worth.
        while len(chosen) < n:
            left = np.bincount(pool.kind[open_], minlength=len(X)) > 0
            if not left.any():
                break
            kind = int(np.where(left, view.promise(self.rng), -np.inf).argmax())
            members = np.flatnonzero(open_ & (pool.kind == kind))
            row = self.rng.choice(members[pool.cost[members] == pool.cost[members].min()])
            open_[same == same[row]] = False
            chosen.append(row)
            if len(chosen) < n:
                view.believe(kind)
        return np.concatenate([pool.genotypes[chosen], self.space.sample(n - len(chosen), self.rng)])

    def _same(self, pool: Pool) -> NDArray[np.intp]:
        """Return a number for each candidate, equal where one measurement is enough, ``(m,)``."""
        return np.arange(len(pool)) if self.siblings else pool.kind

    # ---------------------------------------------------------------- the model

    def _view(self, X: Floats) -> View:
        """Fit one Gaussian process for each objective, from where the last fit ended, and look at the candidates."""
        from ogive.predictors.gaussian_process import GaussianProcess

        F, targets, learn = self._lessons()
        posteriors = []
        for objective in range(self.n_objectives):
            process = GaussianProcess(
                groups=self._features.groups.tolist(), length_scale=1.5, steps=_STEPS, optimise=learn
            )
            if self._theta is not None:
                process.theta = self._theta[objective]
            posteriors.append(process.fit(F, targets[:, objective]).posterior(X))
        self._theta = np.stack([p.process.theta for p in posteriors])
        return _View(posteriors, targets)

    def _lessons(self) -> tuple[Floats, Floats, bool]:
        """Return features and targets of what the models learn from, and whether a new fit is due."""
        from ogive.predictors.base import rank_gaussian

        labels, scores = self._labels(), self._history.scores()
        scale = rank_gaussian if self.target == "rank" else without_failures
        targets = np.stack([scale(column) for column in scores[labels].T], axis=1)
        learn = len(self._history) >= _GROWTH * self._learned
        if learn:
            self._learned = len(self._history)
        return self._features(self._history.genotypes[labels]), targets, learn

    def _labels(self) -> NDArray[np.intp]:
        """Return all answers, or the best half and of the others every so manyth: what is bad must stay known."""
        if len(self._history) <= _LABELS:
            return np.arange(len(self._history))
        order = self._history.best_first()
        rest = order[_LABELS // 2 :]
        thinned = rest[np.linspace(0, len(rest) - 1, _LABELS // 2).astype(np.intp)]
        return np.concatenate([order[: _LABELS // 2], thinned])

    # ---------------------------------------------------------------- answers

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Take answers in; the model learns from them at the next `ask`."""
        self._history.tell(genotypes, values, violation)

    def _state(self) -> dict[str, Any]:
        return {"history": self._history.state(), "theta": self._theta, "learned": self._learned}

    def _restore(self, state: dict[str, Any]) -> None:
        self._history = History.restored(self.space, state["history"])
        self._theta, self._learned = state["theta"], state["learned"]


class _View:
    """What the models say of every class of candidates, and how much a measurement of one promises.

    Parameters
    ----------
    posteriors : sequence of Posterior or LinearPosterior
        One an objective.
    front : ndarray of float64, (n, n_objectives)
        What has been reached, in the models' unit.
    """

    def __init__(self, posteriors: Sequence[Posterior | LinearPosterior], front: Floats) -> None:
        self._posteriors, self._front = posteriors, front
        self._worst = front.min(axis=0) - 0.1

    def promise(self, rng: np.random.Generator) -> Floats:
        """Return the gain to be expected of a measurement of every class, ``(k,)``; see `expected_gain`."""
        mean = np.stack([p.mean for p in self._posteriors], axis=1)
        std = np.stack([np.hypot(p.std, p.noise) for p in self._posteriors], axis=1)
        return expected_gain(mean, std, self._front, self._worst, rng)

    def believe(self, kind: int) -> None:
        """Go on as if a candidate of this class had been measured and had come out as expected."""
        for posterior in self._posteriors:
            posterior.believe(kind)
        if len(self._posteriors) > 1:
            self._front = np.vstack([self._front, [p.mean[kind] for p in self._posteriors]])


def without_failures(scores: Floats) -> Floats:
    """Return scores with the worst that succeeded in place of those that failed or broke a constraint; see `worth`."""
    good = scores > -FAILED
    return np.maximum(scores, scores[good].min() if good.any() else 0.0)


def expected_gain(mean: Floats, std: Floats, front: Floats, worst: Floats, rng: np.random.Generator) -> Floats:
    """Return by how much Gaussian draws would be expected to improve on what was reached, ``(k,)``.

    For one objective the logarithm of the expected improvement. For several the expected gain of hypervolume, estimated
    over random directions and as many draws (Zhang and Golovin, "Random Hypervolume Scalarizations for Provable
    Multi-Objective Black Box Optimization", ICML 2020, lemma 5); where no draw of any candidate gains, how close it
    comes in the best direction.

    Parameters
    ----------
    mean, std : ndarray of float64, (k, n_objectives)
    front : ndarray of float64, (n, n_objectives)
    worst : ndarray of float64, (n_objectives,)
        Reference point.
    rng : numpy.random.Generator
    """
    if mean.shape[1] == 1:
        u = (mean[:, 0] - front.max()) / std[:, 0]
        return np.asarray(log_improvement(u) + np.log(std[:, 0]))
    gain = np.full((len(mean), _DIRECTIONS), np.inf)
    reached = np.full((len(front), _DIRECTIONS), np.inf)
    directions = np.abs(rng.standard_normal((mean.shape[1], _DIRECTIONS)))
    directions /= np.linalg.norm(directions, axis=0)
    for j, direction in enumerate(directions):
        drawn = mean[:, j, None] + std[:, j, None] * rng.standard_normal(_DIRECTIONS)
        np.minimum(gain, (drawn - worst[j]) / direction, out=gain)
        np.minimum(reached, (front[:, j, None] - worst[j]) / direction, out=reached)
    # How far each reaches along a direction before it leaves the box it dominates, to the power of the dimension.
    m = len(directions)
    gain = np.maximum(gain, 0.0) ** m - np.maximum(reached, 0.0).max(axis=0) ** m
    total = np.maximum(gain, 0.0).mean(axis=1)
    return np.asarray(total if (total > 0).any() else gain.max(axis=1))


def log_improvement(u: Floats) -> Floats:
    """Return the logarithm of the expected excess over 0 of a Gaussian with mean u and deviation 1.

    Stable far below 0, where the excess itself underflows (Ament et al., "Unexpected Improvements to Expected
    Improvement for Bayesian Optimization", NeurIPS 2023, equation 9).
    """
    from scipy.special import erfcx, ndtr

    density = np.exp(-0.5 * u**2) / math.sqrt(2.0 * math.pi)
    near = np.log(np.maximum(density + u * ndtr(u), np.finfo(np.float64).tiny))
    below = np.minimum(u, -1.0)
    # Mills' ratio; from where the difference cancels, its first term of the asymptotic series.
    ratio = 1.0 + below * math.sqrt(0.5 * math.pi) * erfcx(-below / math.sqrt(2.0))
    far = np.log(np.where(below > -1e3, np.maximum(ratio, 1e-12), below**-2.0)) - 0.5 * below**2 - _LOG_ROOT_2PI
    return np.asarray(np.where(u > -1.0, near, far))


STRATEGIES.add("bo", Bayesian)
