"""What the spaces of four-node cells share: the edges, their graphs, longest paths, and a tally of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive.spaces._types import Graphs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.spaces._types import Genotypes

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Edges (source, target) of a cell in arch-string order."""


def edge_graphs(genotypes: Genotypes, ops: Sequence[str]) -> Graphs:
    """Return the operations-on-nodes form: input, the six edges as vertices in arch-string order, output."""
    n, v = len(genotypes), len(EDGES) + 2
    codes = np.empty((n, v), dtype=np.int8)
    codes[:, 0], codes[:, 1:-1], codes[:, -1] = 0, np.asarray(genotypes) + 1, len(ops) + 1
    adjacency = np.zeros((v, v), dtype=np.bool_)
    for i, (s, t) in enumerate(EDGES):
        adjacency[0, i + 1] = s == 0
        adjacency[i + 1, -1] = t == 3
        for j, (s2, _) in enumerate(EDGES):
            adjacency[i + 1, j + 1] = t == s2
    return Graphs(codes, np.broadcast_to(adjacency, (n, v, v)), ("input", *ops, "output"))


def longest_path(passes: NDArray[np.bool_], weighted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the most weight layers on a path from the first to the last node of each cell, negative without a path.

    Parameters
    ----------
    passes : ndarray of bool, (n, 6)
        Which edges carry something.
    weighted : ndarray of bool, (n, 6)
        Which edges have a weight layer.
    """
    far = np.iinfo(np.int64).min // 2
    longest = np.full((4, len(passes)), far, dtype=np.int64)
    longest[0] = 0
    for edge, (s, t) in enumerate(EDGES):
        through = np.where(passes[:, edge], longest[s] + weighted[:, edge], far)
        longest[t] = np.maximum(longest[t], through)
    return np.asarray(longest[3])


class Tally:
    """Adds up the layers of n networks that are walked through in lock-step.

    Parameters
    ----------
    n : int
        Number of networks.
    shape : tuple of int
        ``(channels, height, width)`` of the input; `move` changes it, for all networks alike or for each its own way.
    """

    def __init__(self, n: int, shape: tuple[int, int, int]) -> None:
        self.c, self.h, self.w = (np.full(n, size, dtype=np.int64) for size in shape)
        self.params, self.macs, self.relus = (np.zeros(n, dtype=np.int64) for _ in range(3))

    def convolutions(
        self,
        number: NDArray[np.int64] | int,
        area: NDArray[np.int64] | int,
        c_out: NDArray[np.int64] | int,
        stride: NDArray[np.int64] | int = 1,
        *,
        relu: bool = True,
        norm: bool = True,
    ) -> None:
        """Add convolutions without bias that read the present shape, each behind a ReLU and before a batch norm.

        Parameters
        ----------
        number : ndarray of int64, (n,), or int
        area : ndarray of int64, (n,), or int
            Sum of their kernel areas.
        c_out, stride : ndarray of int64, (n,), or int
        relu, norm : bool
            Whether the ReLUs and the batch norms are there.
        """
        weights = area * self.c * c_out
        self.params += weights + norm * 2 * c_out * number
        self.macs += weights * (-(-self.h // stride)) * (-(-self.w // stride))
        self.relus += relu * number * self.c * self.h * self.w

    def move(self, c_out: NDArray[np.int64] | int, stride: NDArray[np.int64] | int = 1) -> None:
        """Go on to another shape; an odd resolution is rounded up."""
        self.c, self.h, self.w = self.c * 0 + c_out, -(-self.h // stride), -(-self.w // stride)

    def total(self, n_outputs: int, depth: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Add the linear head behind global pooling and return all counts."""
        return {
            "params": self.params + (self.c + 1) * n_outputs,
            "macs": self.macs + self.c * n_outputs,
            "relus": self.relus,
            "depth": depth,
        }
