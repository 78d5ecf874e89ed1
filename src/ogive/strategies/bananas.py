"""BANANAS: an ensemble of small networks over path features guides mutations of the best architectures.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture
Search", AAAI 2021 (arXiv 1910.11858): path encoding, an ensemble of feed-forward networks, independent Thompson
sampling, candidates by mutation.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.strategies._history import History
from ogive.strategies._pool import Pool, enumerable, sampled
from ogive.strategies.base import STRATEGIES, Floats, Strategy, count_option

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space

_LABELS = 400
_RATE, _DECAY = 0.01, 1e-3


class Bananas(Strategy):
    """Ensemble-guided mutation with independent Thompson sampling.

    Each proposal draws a value for every candidate from the Gaussian of the ensemble's mean and spread and takes the
    highest. Targets are normal scores of ranks; with several objectives, of the number of architectures that dominate.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    initial : int
        Random architectures before the ensemble decides.
    members : int
        Networks of the ensemble; the paper has 5.
    width : int
        Units in each of two hidden layers.
    steps : int
        Full-batch steps of Adam.
    refit : int
        New answers after which the ensemble is trained anew; the paper has 10.
    """

    name = "bananas"
    multi_objective = True

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        initial: int = 10,
        members: int = 5,
        width: int = 32,
        steps: int = 150,
        refit: int = 10,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        from ogive.predictors.features import Features

        self.initial = count_option(self.name, "initial", initial, 1)
        self.members = count_option(self.name, "members", members, 2)
        self.width = count_option(self.name, "width", width, 1)
        self.steps = count_option(self.name, "steps", steps, 1)
        self.refit = count_option(self.name, "refit", refit, 1)
        self._features = Features(space)
        self._history = History(space, n_objectives)
        self._weights: list[Floats] = []
        self._learned = 0

    def ask(self, n: int) -> Genotypes:
        """Return random architectures until there are enough answers, then the ensemble's draws."""
        known = len(self._history)
        fresh = n if known < 2 else min(n, max(0, self.initial - known - len(self._history.pending)))
        out = np.concatenate([self.space.sample(fresh, self.rng), self._guided(n - fresh)])
        self._history.asked(out)
        return out

    def _guided(self, n: int) -> Genotypes:
        if not n:
            return self._history.genotypes[:0]
        if not self._weights or len(self._history) >= self._learned + self.refit:
            self._learn()
        whole = enumerable(self.space) and self.space.box <= 1000
        drawn = self.space.enumerate() if whole else sampled(self.space, self._history, self.rng)
        pool = Pool(self.space, drawn)
        open_ = np.ones(len(pool), dtype=np.bool_)
        open_[pool.rows(np.concatenate([self._history.genotypes, self._history.pending]))] = False
        candidates = pool.genotypes[open_]
        if not len(candidates):
            return self.space.sample(n, self.rng)
        votes = _forward(self._weights, self._features(candidates))[-1][:, :, 0]
        mean, spread = votes.mean(axis=0), votes.std(axis=0)
        chosen: list[int] = []
        # One after another, because what one draw has taken the next cannot.
        for _ in range(min(n, len(candidates))):
            draw = mean + spread * self.rng.standard_normal(len(mean))
            draw[chosen] = -np.inf
            chosen.append(int(draw.argmax()))
        return np.concatenate([candidates[chosen], self.space.sample(n - len(chosen), self.rng)])

    # ---------------------------------------------------------------- the ensemble

    def _learn(self) -> None:
        """Train all members at once, from different weights, by full-batch Adam on the squared error."""
        from ogive.predictors.base import rank_gaussian

        labels = self._history.best_first()[:_LABELS]
        scores = self._history.scores()[labels]
        beaten = (scores[None] >= scores[:, None]).all(axis=2).sum(axis=1)
        target = rank_gaussian(-beaten.astype(np.float64))
        X = self._features(self._history.genotypes[labels])
        sizes = (X.shape[1], self.width, self.width, 1)
        weights = [self.rng.standard_normal((self.members, a + 1, b)) * np.sqrt(2.0 / a) for a, b in pairwise(sizes)]
        first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
        for step in range(1, self.steps + 1):
            for i, gradient in enumerate(_gradient(weights, X, target)):
                first[i] += 0.1 * (gradient - first[i])
                second[i] += 0.001 * (gradient**2 - second[i])
                scale = np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
                weights[i] -= _RATE * (first[i] / (1 - 0.9**step) / scale + _DECAY * weights[i])
        self._weights = weights
        self._learned = len(self._history)

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Take answers in; the ensemble learns from them at a later `ask`."""
        self._history.tell(genotypes, values, violation)

    def _state(self) -> dict[str, Any]:
        return {"history": self._history.state(), "weights": self._weights, "learned": self._learned}

    def _restore(self, state: dict[str, Any]) -> None:
        self._history = History.restored(self.space, state["history"])
        self._weights, self._learned = state["weights"], state["learned"]


def _forward(weights: list[Floats], X: Floats) -> list[Floats]:
    """Return the input and every layer's output, each ``(members, n, width)``; a layer's last row is its bias."""
    out = [np.broadcast_to(X, (len(weights[0]), *X.shape))]
    for i, w in enumerate(weights):
        h = out[-1] @ w[:, :-1] + w[:, -1:]
        out.append(np.maximum(h, 0.0) if i < len(weights) - 1 else h)
    return out


def _gradient(weights: list[Floats], X: Floats, target: Floats) -> list[Floats]:
    """Return the gradient of each member's mean squared error, layer by layer."""
    out = _forward(weights, X)
    delta = 2.0 * (out[-1] - target[None, :, None]) / len(X)
    gradients: list[Floats] = []
    for i in range(len(weights) - 1, -1, -1):
        gradients.append(np.concatenate([out[i].transpose(0, 2, 1) @ delta, delta.sum(axis=1, keepdims=True)], axis=1))
        delta = (delta @ weights[i][:, :-1].transpose(0, 2, 1)) * (out[i] > 0)
    return gradients[::-1]


STRATEGIES.add("bananas", Bananas)
