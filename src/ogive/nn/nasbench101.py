"""The networks of NAS-Bench-101: one cell with operations on its vertices, repeated in three stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ogive.nn.conv import ConvBNReLU
from ogive.nn.supernet import Alternatives

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Operation = str | tuple[str, ...]


def vertex_operation(name: Operation, channels: int) -> nn.Module:
    """Return the operation called `name`, which keeps its shape; several names compete."""
    if isinstance(name, tuple):
        return Alternatives({n: vertex_operation(n, channels) for n in name})
    if name == "maxpool3x3":
        return nn.MaxPool2d(3, stride=1, padding=1)
    return ConvBNReLU(channels, channels, {"conv1x1-bn-relu": 1, "conv3x3-bn-relu": 3}[name])


class GraphCell(nn.Module):
    """A directed acyclic graph with an operation on every vertex between the input and the output.

    A vertex adds what enters it. What comes from the input passes a 1x1 convolution to the vertex's width; what comes
    from a vertex that is one channel wider loses its last channel. The output concatenates its vertices, and adds the
    input behind a 1x1 convolution where an edge says so.

    Parameters
    ----------
    edges : sequence of (int, int)
        Source and target of every edge; all vertices lie on a path from the first to the last.
    ops : sequence of str or tuple of str
        Operation of every vertex but the first and the last; a tuple holds them all, as `Alternatives`.
    channels : sequence of int
        Width of the cell's input, of every vertex, and of the cell's output.

    References
    ----------
    Ying et al., NAS-Bench-101, ICML 2019, section 2.1 and supplement S1.
    """

    def __init__(self, edges: Sequence[tuple[int, int]], ops: Sequence[Operation], channels: Sequence[int]) -> None:
        super().__init__()
        self.wire(edges, channels)
        self.ops = nn.ModuleList(vertex_operation(op, c) for op, c in zip(ops, channels[1:-1], strict=True))
        fed = [t for s, t in edges if s == 0]
        self.projections = nn.ModuleDict({str(t): ConvBNReLU(channels[0], channels[t], 1) for t in fed})

    def wire(self, edges: Sequence[tuple[int, int]], channels: Sequence[int]) -> None:
        """Say what each vertex reads and how wide it is; parameters as for the cell."""
        self.edges, self.channels = tuple(edges), tuple(channels)
        self.sources = [[s for s, t in edges if t == v and s > 0] for v in range(len(channels))]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, channels[0], h, w)`` to ``(n, channels[-1], h, w)``."""
        return self.run(x, self.ops, dict(self.projections.items()))

    def run(self, x: Tensor, ops: Iterable[nn.Module], projections: Mapping[str, nn.Module]) -> Tensor:
        """Return the output of the graph with these operations, and projections by the vertex they feed."""

        def entering(vertex: int, value: Tensor | None) -> Tensor:
            projection = projections.get(str(vertex))
            if projection is None:
                assert value is not None
                return value
            projected: Tensor = projection(x)
            return projected if value is None else value + projected

        values = [x]
        for v, op in enumerate(ops, start=1):
            terms = [values[s][:, : self.channels[v]] for s in self.sources[v]]
            values.append(op(entering(v, sum(terms[1:], start=terms[0]) if terms else None)))
        ends = [values[s] for s in self.sources[-1]]
        return entering(len(values), torch.cat(ends, dim=1) if ends else None)


class GraphCellNetwork(nn.Module):
    """The macro skeleton of NAS-Bench-101: a stem, then stacks of cells, each later one at half the resolution.

    An odd resolution is rounded up. Initialisation and batch-norm momentum are PyTorch's.

    Parameters
    ----------
    edges, ops
        The cell; see `GraphCell`.
    channels : sequence of sequence of int
        Vertex widths of every cell, stack after stack.
    n_stacks : int
        Number of stacks the cells are divided into.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int
    """

    cell: ClassVar[type[GraphCell]] = GraphCell

    def __init__(
        self,
        edges: Sequence[tuple[int, int]],
        ops: Sequence[Operation],
        channels: Sequence[Sequence[int]],
        n_stacks: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        super().__init__()
        self.stem = ConvBNReLU(input_shape[0], channels[0][0], 3)
        self.body = nn.Sequential()
        for i, widths in enumerate(channels):
            if i and i % (len(channels) // n_stacks) == 0:
                self.body.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
            self.body.append(self.cell(edges, ops, widths))
        self.head = nn.Linear(channels[-1][-1], n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """Return the globally pooled features before the classifier."""
        pooled: Tensor = self.body(self.stem(x)).mean(dim=(2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        logits: Tensor = self.head(self.features(x))
        return logits
