"""The blocks a template is drawn from: their names and the arguments each takes, with bounds. No PyTorch here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ogive._errors import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMES = re.compile(r"x([1-9]\d?)")

MERGES = ("sum", "mean", "concat", "gated")
"""What a node does with several inputs: ``gated`` weighs them by the softmax of one learned number each."""


@dataclass(frozen=True)
class Whole:
    """A whole-number argument within bounds."""

    default: int
    low: int
    high: int
    odd: bool = False

    def read(self, value: object) -> int:
        """Return the value, or raise ValueError with what is legal."""
        if type(value) is int and self.low <= value <= self.high and (value % 2 or not self.odd):
            return value
        raise ValueError(f"{'an odd' if self.odd else 'a'} whole number from {self.low} to {self.high}")


@dataclass(frozen=True)
class Channels:
    """A width: a whole number, or a factor on the incoming width, as ``x2``."""

    default: str = "x1"

    def read(self, value: object) -> int | str:
        """Return the value, or raise ValueError with what is legal."""
        if (type(value) is int and 1 <= value <= 4096) or (isinstance(value, str) and _TIMES.fullmatch(value)):
            return value
        raise ValueError("a whole number from 1 to 4096, or a factor as 'x2'")


@dataclass(frozen=True)
class Merge:
    """How several inputs become one."""

    default: str = "sum"

    def read(self, value: object) -> str:
        """Return the value, or raise ValueError with what is legal."""
        if isinstance(value, str) and value in MERGES:
            return value
        raise ValueError(f"one of {', '.join(MERGES)}")


Arguments = dict[str, Whole | Channels | Merge]

_KERNEL, _STRIDE = Whole(3, 1, 15, odd=True), Whole(1, 1, 4)
_WINDOW: Arguments = {"kernel": Whole(3, 1, 15), "stride": _STRIDE, "merge": Merge()}
_CONV: Arguments = {"channels": Channels(), "kernel": _KERNEL, "stride": _STRIDE, "merge": Merge()}

BLOCKS: dict[str, Arguments] = {
    "input": {},
    "output": {"grid": Whole(1, 1, 32), "merge": Merge()},
    "identity": {"merge": Merge()},
    "conv_bn_relu": {**_CONV, "dilation": Whole(1, 1, 8)},
    "relu_conv_bn": _CONV,
    "separable_conv": {"kernel": _KERNEL, "stride": _STRIDE, "merge": Merge()},
    "dilated_conv": {"kernel": _KERNEL, "stride": _STRIDE, "dilation": Whole(2, 1, 8), "merge": Merge()},
    "residual_block": {"channels": Channels(), "stride": _STRIDE, "merge": Merge()},
    "factorized_reduction": {"channels": Channels(), "stride": _STRIDE, "merge": Merge()},
    "max_pool": _WINDOW,
    "avg_pool": _WINDOW,
}
"""Arguments of every block. ``input`` gives the example; ``output`` pools to a grid of squares, one
square by default, and classifies."""


def read_arguments(op: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a block, defaults filled in.

    Raises
    ------
    ValueError
        Saying which argument is unknown or out of bounds; the caller names the node.
    """
    known = BLOCKS[op]
    for key in given:
        if key not in known:
            raise ValueError(f"{op} takes no argument '{key}' ({nearest(str(key), known)})")
    out = {}
    for key, argument in known.items():
        try:
            out[key] = argument.read(given.get(key, argument.default))
        except ValueError as error:
            raise ValueError(f"{key} is {error}, not {given[key]!r}") from None
    return out
