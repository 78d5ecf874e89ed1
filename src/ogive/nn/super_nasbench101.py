"""The supernet of NAS-Bench-101: every operation on every vertex at its widest, of which a slice runs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ogive.nn.conv import ConvBNReLU
from ogive.nn.elastic import elastic, resize
from ogive.nn.nasbench101 import GraphCell, GraphCellNetwork
from ogive.nn.supernet import Alternatives, SuperNetwork, active_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    Cells = tuple[list[int], list[tuple[int, int]], list[list[int]]]


class SuperGraphCell(GraphCell):
    """A graph with all operations on every vertex and a projection into each, of which a smaller graph runs.

    Parameters
    ----------
    *args
        As for `GraphCell`: all edges, all operations for every vertex, the most channels a vertex can have.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        elastic(self)
        self.kept = list(range(1, len(self.channels) - 1))

    def keep(self, vertices: Sequence[int], edges: Sequence[tuple[int, int]], channels: Sequence[int]) -> None:
        """Make a part of the graph run.

        Parameters
        ----------
        vertices : sequence of int
            The inner vertices that stay, in order.
        edges, channels
            Of the smaller graph, whose vertices are numbered anew; see `GraphCell`.
        """
        self.wire(edges, channels)
        self.kept = list(vertices)
        for place, c in zip(self.places(), channels[1:-1], strict=True):
            for op in place.table:
                if isinstance(op, ConvBNReLU):
                    resize(op, c, c)
        for vertex, projection in self._projections().items():
            resize(projection, channels[0], channels[int(vertex)])

    def places(self) -> list[Alternatives]:
        """Return the operations of the vertices that stay."""
        return [self.ops[v - 1] for v in self.kept]  # type: ignore[misc]

    def _projections(self) -> dict[str, nn.Module]:
        """Return the projections that run, by the new number of the vertex they feed."""
        vertices = (*self.kept, len(self.ops) + 1)
        fed = [new for new in range(1, len(self.channels)) if (0, new) in self.edges]
        return {str(new): self.projections[str(vertices[new - 1])] for new in fed}

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, channels[0], h, w)`` to ``(n, channels[-1], h, w)``."""
        return self.run(x, self.places(), self._projections())

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the graph that runs, its vertices numbered anew."""
        ops = {f"ops.{i}": active_state(place) for i, place in enumerate(self.places())}
        projections = {f"projections.{v}": active_state(module) for v, module in self._projections().items()}
        return {f"{row}.{key}": t for row, state in (ops | projections).items() for key, t in state.items()}


class SuperGraphCellNetwork(SuperNetwork, GraphCellNetwork):
    """The skeleton of NAS-Bench-101 with `SuperGraphCell`; only the operations of vertices can be mixed.

    Parameters
    ----------
    cells : callable
        ``cells(genotype)`` returns the kept vertices, the edges between them and the channels of every cell.
    ops : tuple of str
        Operations to choose from.
    n_vertices : int
        Of a cell, with the input and output. The choices are the edges, row by row, then the inner vertices.
    widths : sequence of (int, int)
        Channels of the input and output of every cell.
    n_stacks, input_shape, n_outputs
        As for `GraphCellNetwork`.
    """

    cell = SuperGraphCell

    def __init__(
        self,
        cells: Callable[[Sequence[int]], Cells],
        ops: tuple[str, ...],
        n_vertices: int,
        widths: Sequence[tuple[int, int]],
        n_stacks: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        edges, inner = list(itertools.combinations(range(n_vertices), 2)), n_vertices - 2
        channels = [[c_in, *[c_out] * (inner + 1)] for c_in, c_out in widths]
        super().__init__(edges, [ops] * inner, channels, n_stacks, input_shape, n_outputs)
        self._cells = cells
        self.graphs = [m for m in self.body if isinstance(m, SuperGraphCell)]
        for graph in self.graphs:
            for choice, place in enumerate(graph.places(), start=len(edges)):
                self.bind(choice, place)

    def select(self, codes: Sequence[int]) -> None:
        """Make the path of one genotype the active one, and end a mixture."""
        super().select(codes)
        vertices, edges, channels = self._cells(codes)
        for graph, widths in zip(self.graphs, channels, strict=True):
            graph.keep(vertices, edges, widths)
