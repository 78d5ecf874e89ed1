"""Cell networks whose edges carry operations: NAS-Bench-201's skeleton."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ogive.nn.blocks import ReLUConvBN, ResidualReduction

if TYPE_CHECKING:
    from collections.abc import Sequence


def edge_operation(name: str, channels: int) -> nn.Module | None:
    """Return the stride-1 operation called `name`, or None where the edge carries nothing."""
    if name == "none":
        return None
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return ReLUConvBN(channels, channels, {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[name])


class Cell(nn.Module):
    """A directed acyclic graph: each node is the sum of its incoming edges, the last node is the output.

    Parameters
    ----------
    ops : sequence of str
        Operation of every edge.
    edges : sequence of (int, int)
        Source and target of every edge, sorted by target.
    channels : int
    """

    def __init__(self, ops: Sequence[str], edges: Sequence[tuple[int, int]], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        self.wiring: list[tuple[str, int, int]] = []
        self.n_nodes = max(t for _, t in edges) + 1
        for op, (s, t) in zip(ops, edges, strict=True):
            module = edge_operation(op, channels)
            if module is not None:
                key = f"{s}->{t}"
                self.edges[key] = module
                self.wiring.append((key, s, t))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c, h, w)`` to the same shape; a node nothing reaches is zero."""
        nodes: list[Tensor | None] = [x] + [None] * (self.n_nodes - 1)
        for key, s, t in self.wiring:
            source, so_far = nodes[s], nodes[t]
            if source is not None:
                y = self.edges[key](source)
                nodes[t] = y if so_far is None else so_far + y
        out = nodes[-1]
        return torch.zeros_like(x) if out is None else out


class CellNetwork(nn.Module):
    """The macro skeleton of NAS-Bench-201 around one repeated cell.

    Parameters
    ----------
    ops, edges
        The cell; see `Cell`.
    C, N : int
        Width of the first stage and cells a stage.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int
    """

    def __init__(
        self,
        ops: Sequence[str],
        edges: Sequence[tuple[int, int]],
        C: int,
        N: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(input_shape[0], C, 3, padding=1, bias=False), nn.BatchNorm2d(C))
        self.stage1 = nn.Sequential(*(Cell(ops, edges, C) for _ in range(N)))
        self.reduce1 = ResidualReduction(C, 2 * C)
        self.stage2 = nn.Sequential(*(Cell(ops, edges, 2 * C) for _ in range(N)))
        self.reduce2 = ResidualReduction(2 * C, 4 * C)
        self.stage3 = nn.Sequential(*(Cell(ops, edges, 4 * C) for _ in range(N)))
        self.last = nn.Sequential(nn.BatchNorm2d(4 * C), nn.ReLU())
        self.head = nn.Linear(4 * C, n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """Return the globally pooled features before the classifier, ``(n, 4C)``."""
        x = self.reduce1(self.stage1(self.stem(x)))
        x = self.stage3(self.reduce2(self.stage2(x)))
        pooled: Tensor = self.last(x).mean(dim=(2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        logits: Tensor = self.head(self.features(x))
        return logits
