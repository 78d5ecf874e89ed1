"""REINFORCE with a factorised policy: a softmax over the options of each choice, independent of the others.

Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", Machine Learning
8, 1992; the factorised policy is the baseline of Dong and Yang, NAS-Bench-201, ICLR 2020, section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.strategies._history import History
from ogive.strategies.base import STRATEGIES, Floats, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space

_ATTEMPTS = 100
_MOMENT1, _MOMENT2, _TINY = 0.9, 0.999, 1e-8


class Reinforce(Strategy):
    """Policy gradient over independent softmaxes, with a moving baseline and an entropy bonus.

    The reward is the share of all answers so far that are no better, ties counting half, so neither the unit nor the
    long tail of bad architectures matters. With several objectives an answer's reward is the share of answers that do
    not dominate it. The steps are those of Adam.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    learning_rate : float
        Of the logits.
    decay : float
        Share of the old baseline that is kept at every answer.
    entropy : float
        Weight of the policy's entropy in the objective, which keeps it from settling early.
    """

    name = "reinforce"
    batch = 10
    multi_objective = True

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        learning_rate: float = 0.1,
        decay: float = 0.9,
        entropy: float = 0.01,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        for option, value, top in (
            ("learning_rate", learning_rate, np.inf),
            ("decay", decay, 1.0),
            ("entropy", entropy, np.inf),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < top:
                raise InputError(f"strategy 'reinforce' needs 0 <= {option} < {top:g}, not {value}")
        self.learning_rate, self.decay, self.entropy = learning_rate, decay, entropy
        self._logits = np.zeros((space.n_choices, int(space.cardinalities.max())))
        self._moments = np.zeros((2, *self._logits.shape))
        self._steps = 0
        self._baseline = 0.5
        self._history = History(space, n_objectives)

    def policy(self) -> Floats:
        """Return the probability of every option inside the present restriction, ``(n_choices, max options)``."""
        weights = self.space.restriction.weights
        p = np.where(weights > 0, np.exp(self._logits - self._logits.max(axis=1, keepdims=True)), 0.0) * weights
        # Where all allowed options have underflowed, only their weights are left.
        p = np.where(p.sum(axis=1, keepdims=True) > 0, p, weights)
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def ask(self, n: int) -> Genotypes:
        """Return draws from the policy, ``(n, n_choices)``; one that stays invalid is drawn from the space."""
        bounds = np.cumsum(self.policy(), axis=1)
        bounds /= bounds[:, -1:]
        out = self._draw(bounds, n)
        for _ in range(_ATTEMPTS):
            bad = np.flatnonzero(~self.space.valid(out))
            if not bad.size:
                return out
            out[bad] = self._draw(bounds, bad.size)
        bad = np.flatnonzero(~self.space.valid(out))
        out[bad] = self.space.sample(bad.size, self.rng)
        return out

    def _draw(self, bounds: Floats, n: int) -> Genotypes:
        u = self.rng.random((n, self.space.n_choices))
        return np.asarray((u[:, :, None] >= bounds).sum(axis=2), dtype=self.space.dtype)

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Step along the policy gradient, once for all rows."""
        self._history.tell(genotypes, values, violation)
        if not len(genotypes):
            return
        broken = np.zeros(len(values)) if violation is None else violation
        reward = self._rewards(np.asarray(values, dtype=np.float64), np.asarray(broken, dtype=np.float64))
        p = self.policy()
        chosen = np.asarray(genotypes)[:, :, None] == np.arange(p.shape[1])
        gradient = ((reward - self._baseline)[:, None, None] * (chosen - p)).mean(axis=0)
        log_p = np.log(np.maximum(p, 1e-12))
        gradient -= self.entropy * p * (log_p - (p * log_p).sum(axis=1, keepdims=True))
        gradient[self.space.restriction.weights == 0] = 0.0
        self._climb(gradient)
        kept = self.decay ** len(reward)
        self._baseline = kept * self._baseline + (1.0 - kept) * float(reward.mean())

    def _rewards(self, values: Floats, violation: Floats) -> Floats:
        """Return the share of the history that is no better than each row, ``(n,)``."""
        scores, told = History.scored(values, violation), self._history.scores()
        above = (told[None] >= scores[:, None]).all(axis=2)
        equal = (told[None] == scores[:, None]).all(axis=2)
        return np.asarray(1.0 - (above - 0.5 * equal).mean(axis=1))

    def _climb(self, gradient: NDArray[np.float64]) -> None:
        """Take one step of Adam."""
        self._steps += 1
        first, second = self._moments
        first += (1.0 - _MOMENT1) * (gradient - first)
        second += (1.0 - _MOMENT2) * (gradient**2 - second)
        scale = np.sqrt(second / (1.0 - _MOMENT2**self._steps)) + _TINY
        self._logits += self.learning_rate * first / (1.0 - _MOMENT1**self._steps) / scale

    def _state(self) -> dict[str, Any]:
        return {
            "logits": self._logits,
            "moments": self._moments,
            "steps": self._steps,
            "baseline": self._baseline,
            "history": self._history.state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._logits, self._moments = state["logits"], state["moments"]
        self._steps, self._baseline = state["steps"], state["baseline"]
        self._history = History.restored(self.space, state["history"])


STRATEGIES.add("reinforce", Reinforce)
