"""What one-shot training learned about the options, asked for: the likeliest architectures, the argmax first.

The logits come from a sampler that trains a supernet (`ogive.training.gradient_samplers`, `ogive.training.enas`). The
largest logits alone are a lottery, so the strategies propose many architectures, and the study takes the one that was
measured best.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.spaces.preference import preference, softmax
from ogive.strategies._most_likely import most_likely
from ogive.strategies.base import STRATEGIES, Floats, Strategy, worth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.spaces.base import Genotypes, Space

_GROUP = 64
"""Combinations whose validity is checked together."""
_PATIENCE = 256
"""Such groups on end without a new architecture before answers are drawn from the space instead."""
_JITTER = 1e-6
"""Spread of the noise that orders options with equal logits, so that an untrained sampler prefers none."""


class Gradient(Strategy):
    """The architectures of a trained distribution over options, likeliest first, none twice.

    The distribution is a softmax of the learned logits for each choice. Locks, exclusions, weights and nudges act on
    it the way they act while training. Before `learn` all options are alike. When the architectures have run out, the
    rest is drawn from the space.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`. What is learned is the training loss alone; several objectives only order what was proposed.

    Attributes
    ----------
    sampler_spec : str
        The sampler that a supernet is to be trained with, see `ogive.training.samplers`.
    nudges : ndarray of float64, (n_choices, max options)
        What a person prefers, in [-1, 1].
    """

    batch = 10
    multi_objective = True
    sampler_spec: str

    def __init__(self, space: Space, *, n_objectives: int = 1, seed: int = 0) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        shape = space.n_choices, int(space.cardinalities.max())
        self.nudges: Floats = np.zeros(shape)
        self._logits: Floats = np.zeros(shape)
        self._jitter: Floats = _JITTER * self.rng.random(shape)
        self._known: dict[bytes, None] = {}
        self._queue: tuple[bytes, Iterator[tuple[bytes, Genotypes]]] | None = None

    def learn(self, logits: Floats) -> None:
        """Take the logits of a trained sampler and begin again with their argmax.

        Parameters
        ----------
        logits : ndarray of float64, (n_choices, max options)
            As the sampler's `logits` gives them: trained, not steered.

        Raises
        ------
        InputError
            If they have another shape, or one that belongs to an option is not finite.
        """
        values = np.array(logits, dtype=np.float64)
        if values.shape != self._logits.shape:
            raise InputError(f"strategy '{self.name}' learns logits of shape {self._logits.shape}, not {values.shape}")
        real = np.arange(values.shape[1]) < self.space.cardinalities[:, None]
        if not np.isfinite(values[real]).all():
            raise InputError(f"strategy '{self.name}' was given a logit that is not finite")
        self._logits = np.where(real, values, 0.0)
        self._known.clear()
        self._queue = None

    def distribution(self) -> Floats:
        """Return the probability of every option under logits and steering, ``(n_choices, max options)``."""
        return softmax(self._logits + preference(self.space, self.nudges))

    def ask(self, n: int) -> Genotypes:
        """Return the `n` likeliest architectures that are not known yet, ``(n, n_choices)``."""
        table = self._logits + self._jitter + preference(self.space, self.nudges)
        if self._queue is None or self._queue[0] != table.tobytes():
            self._queue = table.tobytes(), self._likeliest(table)
        new = ((key, row) for key, row in self._queue[1] if key not in self._known)
        rows: list[Genotypes] = []
        for key, row in islice(new, n):
            self._known[key] = None
            rows.append(row[None])
        return np.concatenate([*rows, self.space.sample(n - len(rows), self.rng)])

    def _likeliest(self, table: Floats) -> Iterator[tuple[bytes, Genotypes]]:
        """Yield architectures that compute different functions, likeliest first, and what they are known by.

        It depends on the space and the table alone, so a restored strategy finds itself at the same place.
        """
        space, combinations = self.space, most_likely(table)
        seen: set[bytes] = set()
        idle = 0
        while idle < _PATIENCE and (group := list(islice(combinations, _GROUP))):
            genotypes = np.array(group, dtype=space.dtype)
            genotypes = genotypes[space.valid(genotypes)]
            before = len(seen)
            for key, row in zip(space.keys(space.canonical(genotypes)), genotypes, strict=True):
                if key not in seen:
                    seen.add(key)
                    yield key, row
            idle = 0 if len(seen) > before else idle + 1

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Note that the architectures are known; the best is chosen by whoever keeps the answers."""
        worth(np.asarray(values)[:, :1], violation)
        self._known.update(dict.fromkeys(self.space.keys(self.space.canonical(np.asarray(genotypes)))))

    def _state(self) -> dict[str, Any]:
        known = np.frombuffer(b"".join(self._known), dtype=self.space.dtype).reshape(-1, self.space.n_choices)
        return {"logits": self._logits, "jitter": self._jitter, "nudges": self.nudges, "known": known}

    def _restore(self, state: dict[str, Any]) -> None:
        self._logits, self._jitter, self.nudges = state["logits"], state["jitter"], state["nudges"]
        self._known = dict.fromkeys(self.space.keys(state["known"]))
        self._queue = None


class Darts(Gradient):
    """Mixtures of all options (Liu, Simonyan and Yang, ICLR 2019); ``darts:order=2`` differentiates the training."""

    name = "darts"

    def __init__(self, space: Space, *, n_objectives: int = 1, seed: int = 0, order: int = 1) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        if order not in (1, 2):
            raise InputError(f"strategy 'darts' needs order=1 or order=2, not {order}")
        self.sampler_spec = f"darts:order={order}"


class PcDarts(Gradient):
    """Mixtures on a part of the channels (Xu et al., ICLR 2020)."""

    name = sampler_spec = "pc-darts"


class Gdas(Gradient):
    """One hard Gumbel sample a step (Dong and Yang, CVPR 2019)."""

    name = sampler_spec = "gdas"


class Gumbel(Gradient):
    """Mixtures weighted by soft Gumbel samples (Xie et al., SNAS, ICLR 2019)."""

    name = sampler_spec = "gumbel"


class Enas(Gradient):
    """A recurrent controller trained by REINFORCE (Pham et al., ICML 2018), asked by its marginals."""

    name = sampler_spec = "enas"


for _strategy in (Darts, PcDarts, Gdas, Gumbel, Enas):
    STRATEGIES.add(_strategy.name, _strategy)
