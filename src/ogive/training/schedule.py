"""How the learning rate moves through a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ogive.training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    config : TrainConfig
        Its `schedule`, `warmup` and `lr` decide.
    step : int
        From 0.
    total : int
        Steps of the whole run.

    Returns
    -------
    float
        A linear warm-up over the first ``warmup * total`` steps, then the schedule. The one-cycle schedule falls in a
        straight line (Smith, arXiv 1803.09820, without the last annihilation phase), the cosine one as
        ``(1 + cos(pi t)) / 2`` (Loshchilov and Hutter, ICLR 2017, without restarts).
    """
    rising = config.warmup * total
    if step < rising:
        return config.lr * (step + 1) / (rising + 1)
    t = (step - rising) / (total - rising)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * t))
    return config.lr * (1 - t) if config.schedule == "one-cycle" else config.lr
