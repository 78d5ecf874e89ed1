"""Ogive designs a neural network for the place it has to live.

Nothing heavy is imported here: names load when first used, and PyTorch when a network is first built.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_EXPORTS: dict[str, tuple[str, str]] = {
    "OgiveError": ("ogive._errors", "OgiveError"),
    "Space": ("ogive.spaces.base", "Space"),
    "Strategy": ("ogive.strategies.base", "Strategy"),
    "Study": ("ogive.study.study", "Study"),
    "Task": ("ogive.tasks.base", "Task"),
    "TrainConfig": ("ogive.training.config", "TrainConfig"),
    "metric": ("ogive.metrics.base", "metric"),
    "space": ("ogive.spaces.base", "get_space"),
    "task": ("ogive.tasks.base", "get_task"),
    "train": ("ogive.training.trainer", "train"),
}

if TYPE_CHECKING:
    from ogive._errors import OgiveError
    from ogive.metrics.base import metric
    from ogive.spaces.base import Space
    from ogive.spaces.base import get_space as space
    from ogive.strategies.base import Strategy
    from ogive.study.study import Study
    from ogive.tasks.base import Task
    from ogive.tasks.base import get_task as task
    from ogive.training.config import TrainConfig
    from ogive.training.trainer import train

__all__ = [
    "OgiveError",
    "Space",
    "Strategy",
    "Study",
    "Task",
    "TrainConfig",
    "__version__",
    "metric",
    "space",
    "task",
    "train",
]


def __getattr__(name: str) -> object:
    try:
        module, attribute = _EXPORTS[name]
    except KeyError:
        raise AttributeError(f"module 'ogive' has no attribute '{name}'") from None
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
