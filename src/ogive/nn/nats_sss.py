"""The networks of the size space of NATS-Bench: one fixed cell, five widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ogive.nn.blocks import ResidualReduction
from ogive.nn.cells import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence


def sized_cell(ops: Sequence[str], edges: Sequence[tuple[int, int]], c_in: int, c_out: int) -> Cell:
    """Return a cell that may change the width: its skip from the input is then a 1x1 convolution and batch norm."""
    cell = Cell(ops, edges, c_in, c_out)
    for op, (s, t) in zip(ops, edges, strict=True):
        if op == "skip_connect" and s == 0 and c_in != c_out:
            cell.edges[f"{s}->{t}"] = widening(c_in, c_out)
    return cell


def widening(c_in: int, c_out: int) -> nn.Sequential:
    """Return what a skip from the input is where the width changes."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))


class SizedNetwork(nn.Module):
    """Stem, then cell, reduction, cell, reduction, cell, each with a width of its own, and a linear head.

    Parameters
    ----------
    ops, edges
        The cell; see `ogive.nn.cells.Cell`.
    widths : sequence of int
        Channels of the five parts; the stem has those of the first.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int

    References
    ----------
    Dong, Liu, Musial and Gabrys, NATS-Bench, TPAMI 2021, section 3.2.
    """

    def __init__(
        self,
        ops: Sequence[str],
        edges: Sequence[tuple[int, int]],
        widths: Sequence[int],
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        self.stem = nn.Sequential(nn.Conv2d(input_shape[0], first, 3, padding=1, bias=False), nn.BatchNorm2d(first))
        self.body = nn.Sequential()
        for i, (c_in, c_out) in enumerate(zip([first, *widths], widths, strict=False)):
            self.body.append(ResidualReduction(c_in, c_out) if i % 2 else sized_cell(ops, edges, c_in, c_out))
        self.last = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU())
        self.head = nn.Linear(last, n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """Return the globally pooled features before the classifier."""
        pooled: Tensor = self.last(self.body(self.stem(x))).mean(dim=(2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        logits: Tensor = self.head(self.features(x))
        return logits
