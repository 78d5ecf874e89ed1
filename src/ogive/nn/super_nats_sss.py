"""The supernet of the size space of NATS-Bench: every width is the first channels of the widest network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from ogive.nn.blocks import ResidualReduction
from ogive.nn.cells import Cell
from ogive.nn.elastic import ElasticLinear, elastic, resize
from ogive.nn.nats_sss import SizedNetwork, widening
from ogive.nn.supernet import Alternatives, SuperNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence


class SuperSizedNetwork(SuperNetwork, SizedNetwork):
    """The network of the size space at its widest, of which the first channels of every part may run alone.

    Parameters
    ----------
    ops, edges, input_shape, n_outputs
        As in `SizedNetwork`.
    widths : sequence of int
        Channels that a part may have, in the order of codes.
    """

    mixable: ClassVar[bool] = False

    def __init__(
        self,
        ops: Sequence[str],
        edges: Sequence[tuple[int, int]],
        widths: Sequence[int],
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        widest = max(widths)
        super().__init__(ops, edges, [widest] * 5, input_shape, n_outputs)
        self.widths, self.channels = tuple(widths), input_shape[0]
        elastic(self)
        # The first cell is as wide as the stem; a later one keeps or changes the width of the part before it.
        for cell in list(self.body)[2::2]:
            assert isinstance(cell, Cell)
            for key, edge in cell.edges.items():
                if key.startswith("0->") and isinstance(edge, nn.Identity):
                    cell.edges[key] = Alternatives({"keep": edge, "change": elastic(widening(widest, widest))})

    def select(self, codes: Sequence[int]) -> None:
        """Make the path of one genotype the active one; see `SuperNetwork.select`."""
        widths = [self.widths[code] for code in codes]
        resize(self.stem, self.channels, widths[0])
        for part, c_in, c_out in zip(self.body, [widths[0], *widths], widths, strict=False):
            if isinstance(part, ResidualReduction):
                resize(part.conv_a, c_in, c_out)
                resize(part.conv_b, c_out, c_out)
                resize(part.downsample, c_in, c_out)
            else:
                assert isinstance(part, Cell)
                _resize_cell(part, c_in, c_out)
        resize(self.last, widths[-1])
        assert isinstance(self.head, ElasticLinear)
        self.head.resize(c_in=widths[-1])


def _resize_cell(cell: Cell, c_in: int, c_out: int) -> None:
    for key, edge in cell.edges.items():
        if isinstance(edge, Alternatives):
            edge.active = int(c_in != c_out)
        if not isinstance(edge, nn.Identity):
            resize(edge, c_in if key.startswith("0->") else c_out, c_out)
