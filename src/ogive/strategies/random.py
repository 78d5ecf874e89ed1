"""Random search: the baseline every other strategy has to beat (Li and Talwalkar, UAI 2019, arXiv 1902.07638)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ogive.strategies.base import STRATEGIES, Floats, Strategy

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes


class Random(Strategy):
    """Independent draws from the space, each option with its weight. Repeats are possible."""

    name = "random"
    batch = 50
    multi_objective = True
    lockstep = True

    def ask(self, n: int) -> Genotypes:
        """Return fresh draws, ``(n * lanes, n_choices)``."""
        return self.space.sample(n * self.lanes, self.rng)

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Learn nothing."""

    def _state(self) -> dict[str, Any]:
        return {}

    def _restore(self, state: dict[str, Any]) -> None:
        del state


STRATEGIES.add("random", Random)
