"""Optional imports that fail late, with the exact command that mends them."""

from __future__ import annotations

import importlib
from typing import Any

from ogive._errors import MissingDependencyError


def require(module: str, extra: str, purpose: str) -> Any:
    """Import an optional `module`, or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted module name.
    extra : str
        Name of the extra of this package that installs it.
    purpose : str
        What the module is needed for, as in "ONNX export".

    Raises
    ------
    MissingDependencyError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{purpose} needs the package '{module.partition('.')[0]}'; install it with: pip install 'ogive[{extra}]'"
        ) from error
