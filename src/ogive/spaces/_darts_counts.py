"""What the DARTS network costs in closed form, for a batch of cell pairs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_NOWHERE = np.iinfo(np.int64).min // 4
"""Depth of what does not depend on the input; adding layers leaves it negative."""


class NetworkCounts:
    """Adds up the layers of n networks that differ only in their cells.

    Parameters
    ----------
    sources, ops : ndarray of int64, (n, 2, 4, 2)
        The cells: see `ogive.spaces.darts.DARTS.cells`.
    words : sequence of str
        Names of the operation codes.
    C : int
        Channels of a node in the first cell.
    shape : tuple of int
        ``(channels, height, width)`` of the input.
    """

    def __init__(self, sources: Ints, ops: Ints, words: Sequence[str], C: int, shape: tuple[int, int, int]) -> None:
        self.sources, self.ops, self.words, self.C = sources, ops, words, C
        c, h, w = shape
        # Edges of each operation, apart by whether they read an input of the cell, (n, cell, operation, apart).
        code = 2 * ops + (sources < 2)
        self.number = (code.reshape(*code.shape[:2], -1, 1) == np.arange(2 * len(words))).sum(axis=2)
        self.number = self.number.reshape(*code.shape[:2], len(words), 2)
        self.costs = np.tile(np.array([27 * C * c + 6 * C, 27 * C * c * h * w, 0], dtype=np.int64), (len(ops), 1))
        # Channels, height, width and depth of the last two outputs.
        depth = np.ones(len(ops), dtype=np.int64)
        self.before = self.last = (3 * C, h, w, depth)

    def cells(self, layers: int) -> None:
        """Walk through all cells."""
        c = self.C
        for i in range(layers):
            reduce = i in (layers // 3, 2 * layers // 3)
            c *= 2 if reduce else 1
            self._cell(c, reduce=reduce)

    def _cell(self, c: int, *, reduce: bool) -> None:
        (c0, h0, w0, depth0), (c1, h, w, depth1) = self.before, self.last
        # Both inputs pass a ReLU, 1x1 convolutions and a norm; the first may come from twice the resolution.
        for c_in, height, width in ((c0, h0, w0), (c1, h, w)):
            self.costs += [c_in * c + 2 * c, c_in * c * h * w, c_in * height * width]
        kind, entered = int(reduce), (h, w)
        if reduce:
            h, w = -(-h // 2), -(-w // 2)
        layers = np.empty((len(self.words), 2), dtype=np.int64)
        for op, word in enumerate(self.words):
            for reads_input in (0, 1):
                strided = bool(reads_input and reduce)
                cost, layers[op, reads_input] = _operation(
                    word, c, entered if strided else (h, w), (h, w), strided=strided
                )
                self.costs += self.number[:, kind, op, reads_input, None] * np.array(cost, dtype=np.int64)
        states = [depth0 + 1, depth1 + 1]
        for node in range(self.sources.shape[2]):
            source, code = self.sources[:, kind, node], self.ops[:, kind, node]
            reached = np.take_along_axis(np.stack(states, axis=1), source, axis=1)
            deep = (reached + layers[code, (source < 2).astype(np.int64)]).max(axis=1)
            states.append(np.maximum(deep, _NOWHERE))
        self.before, self.last = self.last, (4 * c, h, w, np.max(states[2:], axis=0))

    def total(self, n_outputs: int, *, auxiliary: bool) -> dict[str, Ints]:
        """Add the classifier, and the parameters of the auxiliary head, and return all counts."""
        c, _, _, depth = self.last
        params, macs, relus = self.costs.T
        extra = 16 * self.C * 128 + 256 + 4 * 128 * 768 + 1536 + 769 * n_outputs if auxiliary else 0
        return {
            "params": params + (c + 1) * n_outputs + extra,
            "macs": macs + c * n_outputs,
            "relus": relus,
            "depth": np.where(depth < 0, 0, depth + 1),
        }


def _operation(
    word: str, c: int, before: tuple[int, int], after: tuple[int, int], *, strided: bool
) -> tuple[tuple[int, int, int], int]:
    """Return the params, macs and relus of an operation between two resolutions, and its weight layers."""
    entering, leaving = c * before[0] * before[1], c * after[0] * after[1]
    kind, _, size = word.rpartition("_")
    if word == "none":
        return (0, 0, 0), _NOWHERE
    if kind == "max_pool":
        return (0, 0, 8 * leaving), 0
    if kind == "avg_pool" or (word == "skip_connect" and not strided):
        return (0, 0, 0), 0
    if word == "skip_connect":
        return (c * c + 2 * c, c * leaving, entering), 1
    # A depthwise and a 1x1 convolution; a separable one repeats them at the resolution it has reached.
    weights = c * int(size[0]) ** 2 + c * c
    once = (weights + 2 * c, weights // c * leaving, entering)
    if kind == "dil_conv":
        return once, 2
    return (2 * once[0], 2 * once[1], entering + leaving), 4
