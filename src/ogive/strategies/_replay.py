"""Strategies that live in another library: its object cannot be stored, so what happened is, and is played again."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.strategies.base import Floats, Strategy

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space


class Replay(Strategy):
    """A strategy whose state is the list of its calls; restoring makes them again, with the same seed.

    A subclass draws only from `rng` and from generators it seeds with `seed` in `_open`.
    """

    def __init__(self, space: Space, *, n_objectives: int = 1, seed: int = 0) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        self._calls: list[dict[str, Any]] = []
        self._start = self._followed = space

    @abstractmethod
    def _open(self) -> None:
        """Make the other library's object anew, knowing nothing."""

    @abstractmethod
    def _follow(self) -> None:
        """Take over that `space` has another restriction."""

    @abstractmethod
    def _ask(self, n: int) -> Genotypes:
        """Do what `ask` promises."""

    @abstractmethod
    def _tell(self, genotypes: Genotypes, values: Floats, violation: Floats) -> None:
        """Do what `tell` promises; the values are no NaN, and failed rows are -inf."""

    def ask(self, n: int) -> Genotypes:
        """Return the other library's next `n` proposals, ``(n, n_choices)``; see `Strategy.ask`."""
        if not _same(self.space, self._followed):
            self._calls.append({"weights": self.space.restriction.weights})
            self._followed = self.space
            self._follow()
        if self._calls and "ask" in self._calls[-1]:
            self._calls[-1]["ask"].append(n)
        else:
            self._calls.append({"ask": [n]})
        return self._ask(n)

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Hand answers on; see `Strategy.tell`."""
        g, v = np.array(genotypes, dtype=self.space.dtype), np.array(values, dtype=np.float64)
        if v.ndim != 2 or v.shape[1] != self.n_objectives:
            raise InputError(f"values have shape (n, {self.n_objectives}), not {v.shape}")
        broken = np.zeros(len(v)) if violation is None else np.array(violation, dtype=np.float64)
        if np.isnan(v).any() or np.isnan(broken).any():
            raise InputError("a value or violation is NaN; tell a failed evaluation as -inf")
        self._calls.append({"tell": g, "values": v, "violation": broken})
        self._tell(g, v, broken)

    def _state(self) -> dict[str, Any]:
        return {"seed": self.seed, "calls": self._calls}

    def _restore(self, state: dict[str, Any]) -> None:
        present, self.seed, self._calls = self.space, state["seed"], state["calls"]
        self.rng = np.random.Generator(np.random.PCG64(self.seed))
        self.space = self._followed = self._start
        self._open()
        for call in self._calls:
            if "weights" in call:
                self.space = _weighted(self.space, call["weights"])
                self._follow()
            elif "tell" in call:
                self._tell(call["tell"], call["values"], call["violation"])
            else:
                for n in call["ask"]:
                    self._ask(n)
        self._followed, self.space = self.space, present


def _same(a: Space, b: Space) -> bool:
    return a is b or np.array_equal(a.restriction.weights, b.restriction.weights)


def _weighted(space: Space, weights: Floats) -> Space:
    """Return the space under the restriction that has these weights."""
    rows = zip(space.choices, weights.tolist(), strict=True)
    table = {c.name: dict(zip(c.options, row, strict=False)) for c, row in rows}
    return space.free().restrict(weights=table)
