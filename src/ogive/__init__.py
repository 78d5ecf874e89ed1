"""Ogive designs a neural network for the place it has to live.

Nothing heavy is imported here: names load when first used, and PyTorch when a network is first built.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_EXPORTS: dict[str, tuple[str, str]] = {
    "space": ("ogive.spaces.base", "get_space"),
    "Space": ("ogive.spaces.base", "Space"),
    "OgiveError": ("ogive._errors", "OgiveError"),
}

if TYPE_CHECKING:
    from ogive._errors import OgiveError
    from ogive.spaces.base import Space
    from ogive.spaces.base import get_space as space

__all__ = ["OgiveError", "Space", "__version__", "space"]


def __getattr__(name: str) -> object:
    try:
        module, attribute = _EXPORTS[name]
    except KeyError:
        raise AttributeError(f"module 'ogive' has no attribute '{name}'") from None
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
