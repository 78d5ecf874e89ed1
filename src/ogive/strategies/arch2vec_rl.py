"""REINFORCE in the latent space of an architecture embedding.

Yan et al., "Does Unsupervised Architecture Representation Learning Help Neural Architecture Search?" (arch2vec),
NeurIPS 2020, arXiv 2006.06936, section 3.3: a recurrent policy looks at the vector of the last architecture and draws
the next point from a Gaussian; the nearest architecture not visited yet is evaluated. Its code takes a constant as
baseline that exceeds nearly every reward, and does not count the first architecture; here the baseline is a running
mean, and every evaluation counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError
from ogive.strategies._history import History
from ogive.strategies._latent import Latent
from ogive.strategies._pool import Pool, enumerable
from ogive.strategies._replay import Replay
from ogive.strategies.base import STRATEGIES, Floats, count_option, target_option
from ogive.strategies.bayesian import without_failures

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from ogive.predictors.graph_autoencoder import Embedding
    from ogive.spaces.base import Genotypes, Space

_HIDDEN = 128
_MUTANTS = 20
_SAMPLE = 100


@dataclass(frozen=True)
class _Step:
    """Where the policy stood, where it wanted to go, and the key of the architecture that it got."""

    state: Floats
    action: Floats
    key: bytes


class Arch2VecRL(Replay):
    """Policy gradient over points of an embedding.

    An episode is 16 steps; the policy learns once all of them are answered, and goes on meanwhile. As published, the
    vectors are as the embedding has them and the noise has deviation 1, several times the spread of the published
    embedding, so most draws lie outside the cloud of architectures and take those at its border.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    embedding : Embedding or path
        See `Latent`.
    target : {"rank", "raw"}
        The reward: the share of all answers so far that are no better, ties counting half; or the value itself, a
        failure counting as the worst. The paper has raw accuracies.
    steps : int
        Of an episode.
    learning_rate : float
        Of Adam.
    decay : float
        Share of the old baseline that is kept at every answer.
    """

    name = "arch2vec-rl"

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        embedding: Embedding | Path | str = "",
        target: str = "rank",
        steps: int = 16,
        learning_rate: float = 0.01,
        decay: float = 0.9,
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        self.steps = count_option(self.name, "steps", steps, 1)
        self.target = target_option(self.name, target)
        for option, value, top in (("learning_rate", learning_rate, np.inf), ("decay", decay, 1.0)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < top:
                raise InputError(f"strategy '{self.name}' needs 0 <= {option} < {top:g}, not {value}")
        self.learning_rate, self.decay = learning_rate, decay
        self._latent = Latent(space, embedding, scaled=False)
        self._listed: tuple[Space, Pool, Floats] | None = None
        self._open()

    def _open(self) -> None:
        import torch

        from ogive.training.seeding import seeded

        with seeded(self.seed):
            self._policy = _policy(len(self._latent.groups))
        self._optimiser = torch.optim.Adam(self._policy.parameters(), self.learning_rate)
        self._history = History(self.space, 1)
        self._episodes: list[list[_Step]] = []
        self._at: Floats | None = None
        self._memory: tuple[Tensor, Tensor] | None = None
        self._baseline: float | None = None

    def _follow(self) -> None:
        """Do nothing: the policy moves in the embedding, which knows no restriction."""

    # ---------------------------------------------------------------- proposals

    def _ask(self, n: int) -> Genotypes:
        out = np.empty((n, self.space.n_choices), dtype=self.space.dtype)
        # One after another, because each step starts where the last one ended.
        for i in range(n):
            out[i : i + 1] = self._next()
        return out

    def _next(self) -> Genotypes:
        """Return the first architecture at random, every other where the policy wants to go, ``(1, n_choices)``."""
        if self._at is None:
            found = self.space.sample(1, self.rng)
        else:
            action = self._act(self._at)
            found = self._nearest(action)
            self._episodes[-1].append(_Step(self._at, action, self.space.keys(found)[0]))
        self._history.asked(found)
        self._at = self._latent(found)[0]
        return found

    def _act(self, state: Floats) -> Floats:
        """Return a draw from the policy; its memory starts empty in every episode."""
        import torch

        if not self._episodes or len(self._episodes[-1]) == self.steps:
            self._episodes.append([])
            self._memory = None
        with torch.no_grad():
            mean, self._memory = self._policy(_tensor(state), self._memory)
        return np.asarray(mean.numpy() + self.rng.standard_normal(len(state)), dtype=np.float64)

    def _nearest(self, action: Floats) -> Genotypes:
        """Return the architecture nearest to a point among those of which nothing equal was asked or told."""
        tried = np.concatenate([self._history.genotypes, self._history.pending])
        pool, Z = self._candidates(action, tried)
        open_ = np.ones(len(Z), dtype=np.bool_)
        open_[pool.kind[pool.rows(tried)]] = False
        if not open_.any():
            return self.space.sample(1, self.rng)
        near = np.where(open_, ((Z - action) ** 2).sum(axis=1), np.inf).argmin()
        return np.asarray(pool.genotypes[pool.first[[near]]])

    def _candidates(self, action: Floats, tried: Genotypes) -> tuple[Pool, Floats]:
        """Return the whole space where it can be listed, else what decodes from the point, its mutants and a sample."""
        if not enumerable(self.space):
            decoded = self._latent.decode(action[None], self.rng)
            parents = np.repeat(decoded, _MUTANTS, axis=0)
            mutants = [self.space.mutate(parents, self.rng, changes=k) for k in (1, 2)]
            drawn = [decoded[self.space.permits(decoded)], *mutants, self.space.sample(_SAMPLE, self.rng)]
            # With what was tried, so that its equals are known and left out.
            pool = Pool(self.space, np.concatenate([tried, *drawn]))
            return pool, self._latent(pool.genotypes[pool.first])
        if self._listed is None or self._listed[0] is not self.space:
            pool = Pool(self.space, self.space.enumerate())
            self._listed = self.space, pool, self._latent(pool.genotypes[pool.first])
        return self._listed[1:]

    # ---------------------------------------------------------------- answers

    def _tell(self, genotypes: Genotypes, values: Floats, violation: Floats) -> None:
        self._history.tell(genotypes, values, violation)
        waiting = set(self.space.keys(self._history.pending))
        open_ = []
        # In order, because each update starts from the weights that the last one left.
        for episode in self._episodes:
            if len(episode) == self.steps and waiting.isdisjoint(step.key for step in episode):
                self._learn(episode)
            else:
                open_.append(episode)
        self._episodes = open_

    def _learn(self, episode: list[_Step]) -> None:
        """Step along the policy gradient of one episode."""
        import torch

        reward = self._rewards([step.key for step in episode])
        if self._baseline is None:
            self._baseline = float(reward.mean())
        memory, loss = None, torch.zeros(())
        for step, advantage in zip(episode, (reward - self._baseline).tolist(), strict=True):
            mean, memory = self._policy(_tensor(step.state), memory)
            # The logarithm of the Gaussian's density, but for a constant.
            loss = loss + 0.5 * advantage * ((_tensor(step.action) - mean) ** 2).sum() / len(episode)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        kept = self.decay ** len(episode)
        self._baseline = kept * self._baseline + (1.0 - kept) * float(reward.mean())

    def _rewards(self, keys: list[bytes]) -> Floats:
        row = {key: i for i, key in enumerate(self.space.keys(self._history.genotypes))}
        scores = self._history.scores()[:, 0]
        asked = [row[key] for key in keys]
        if self.target == "raw":
            return without_failures(scores)[asked]
        above = (scores[None] > scores[asked, None]).mean(axis=1)
        equal = (scores[None] == scores[asked, None]).mean(axis=1)
        return np.asarray(1.0 - above - 0.5 * equal)


def _tensor(values: Floats) -> Tensor:
    import torch

    return torch.from_numpy(values.astype(np.float32))


def _policy(dimension: int) -> nn.Module:
    """Return the recurrent policy: ``(state, memory)`` to ``(mean, memory)``."""
    from torch import nn

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(dimension, _HIDDEN)
            self.mean = nn.Linear(_HIDDEN, dimension)

        def forward(self, state: Tensor, memory: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            hidden, carried = self.cell(state, memory)
            return self.mean(hidden), (hidden, carried)

    return Policy()


STRATEGIES.add("arch2vec-rl", Arch2VecRL)
