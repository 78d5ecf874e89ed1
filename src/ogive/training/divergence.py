"""Stop a run that goes nowhere before it costs more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ogive._errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.training.config import TrainConfig


class Watch:
    """Looks at the training losses step by step.

    Parameters
    ----------
    config : TrainConfig
        Its `diverge_factor` and `diverge_steps` decide.
    n_outputs : int
        A first loss below that of guessing, ``log(n_outputs)``, counts as that of guessing.
    """

    def __init__(self, config: TrainConfig, n_outputs: int) -> None:
        self.factor, self.patience = config.diverge_factor, config.diverge_steps
        self.guessing = math.log(max(n_outputs, 2))
        self.first = math.nan
        self.above = 0
        self.steps = 0

    def see(self, losses: Sequence[float]) -> None:
        """Take in the losses of some steps, in order.

        Raises
        ------
        DivergedError
            If one is not finite, or the losses stayed too high for too long.
        """
        for loss in losses:
            self.steps += 1
            if not math.isfinite(loss):
                raise DivergedError(
                    f"training diverged at step {self.steps}: the loss is {loss}; lower the learning rate"
                )
            if math.isnan(self.first):
                self.first = max(loss, self.guessing)
            self.above = self.above + 1 if loss > self.factor * self.first else 0
            if self.above >= self.patience:
                raise DivergedError(
                    f"training diverged at step {self.steps}: the loss stayed above {self.factor:g} times its first "
                    f"value {self.first:.3g} for {self.above} steps; lower the learning rate"
                )

    def state(self) -> dict[str, float | int]:
        """Return what `restore` takes back, as JSON values."""
        return {"first": self.first, "above": self.above, "steps": self.steps}

    def restore(self, state: dict[str, float | int]) -> None:
        """Go on where `state` was taken."""
        self.first, self.above, self.steps = float(state["first"]), int(state["above"]), int(state["steps"])
