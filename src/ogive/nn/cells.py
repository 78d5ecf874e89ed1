"""Networks made of cells whose edges carry operations: the skeletons of NAS-Bench-201 and TransNAS-Bench-101."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ogive.nn.blocks import FactorizedReduction, ReLUConvBN, ResidualReduction
from ogive.nn.supernet import Alternatives

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Operation = str | tuple[str, ...]


def edge_operation(name: Operation, c_in: int, c_out: int, stride: int) -> nn.Module | None:
    """Return the operation called `name`, or None where the edge carries nothing; several names compete."""
    if isinstance(name, tuple):
        return Alternatives({n: edge_operation(n, c_in, c_out, stride) for n in name})
    if name == "none":
        return None
    if name == "skip_connect":
        return nn.Identity() if (c_in, stride) == (c_out, 1) else FactorizedReduction(c_in, c_out, stride)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
    return ReLUConvBN(c_in, c_out, {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[name], stride)


class Cell(nn.Module):
    """A directed acyclic graph: each node is the sum of its incoming edges, the last node is the output.

    Every operation runs, also on a node that nothing reaches (which is zero) and also where no path leads on: so do
    the published networks, and their counts and zero-cost scores include these operations.

    Parameters
    ----------
    ops : sequence of str or tuple of str
        Operation of every edge; a tuple holds them all, as `Alternatives`.
    edges : sequence of (int, int)
        Source and target of every edge, sorted by target.
    c_in, c_out : int
        Channels of the input node and of all others.
    stride : int
        Of the edges that leave the input.
    """

    def __init__(
        self, ops: Sequence[Operation], edges: Sequence[tuple[int, int]], c_in: int, c_out: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.c_out, self.stride = c_out, stride
        self.edges = nn.ModuleDict()
        self.incoming: list[list[tuple[str, int]]] = [[] for _ in range(max(t for _, t in edges))]
        for op, (s, t) in zip(ops, edges, strict=True):
            module = edge_operation(op, c_out if s else c_in, c_out, 1 if s else stride)
            if module is not None:
                key = f"{s}->{t}"
                self.edges[key] = module
                self.incoming[t - 1].append((key, s))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c_in, h, w)`` to ``(n, c_out, ceil(h / stride), ceil(w / stride))``."""
        nodes = [x]
        for incoming in self.incoming:
            carried = (self.edges[key](nodes[s]) for key, s in incoming)
            terms = [term for term in carried if term is not None]
            # A mixture in which nothing runs is a bare number.
            maps = any(term.dim() for term in terms)
            nodes.append(sum(terms[1:], start=terms[0]) if maps else sum(terms, start=self._zeros(x)))
        return nodes[-1]

    def _zeros(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        return x.new_zeros((n, self.c_out, -(-h // self.stride), -(-w // self.stride)))


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
        ops: Sequence[Operation],
        edges: Sequence[tuple[int, int]],
        C: int,
        N: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(input_shape[0], C, 3, padding=1, bias=False), nn.BatchNorm2d(C))
        self.stage1 = nn.Sequential(*(Cell(ops, edges, C, C) for _ in range(N)))
        self.reduce1 = ResidualReduction(C, 2 * C)
        self.stage2 = nn.Sequential(*(Cell(ops, edges, 2 * C, 2 * C) for _ in range(N)))
        self.reduce2 = ResidualReduction(2 * C, 4 * C)
        self.stage3 = nn.Sequential(*(Cell(ops, edges, 4 * C, 4 * C) for _ in range(N)))
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


class ModuleNetwork(nn.Module):
    """The macro skeleton of TransNAS-Bench-101: a stem that quarters the resolution, then a row of blocks.

    Parameters
    ----------
    block : callable
        ``block(c_in, c_out, stride)`` returns one cell or residual block.
    blocks : sequence of (int, int)
        Factor on the channels and stride of every block.
    C : int
        Channels after the stem.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int
    """

    def __init__(
        self,
        block: Callable[[int, int, int], nn.Module],
        blocks: Sequence[tuple[int, int]],
        C: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], C // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(C // 2),
            ReLUConvBN(C // 2, C, 3, stride=2),
        )
        self.body = nn.Sequential()
        c = C
        for factor, stride in blocks:
            self.body.append(block(c, factor * c, stride))
            c *= factor
        self.head = nn.Linear(c, n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """Return the globally pooled features before the classifier."""
        pooled: Tensor = self.body(self.stem(x)).mean(dim=(2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        logits: Tensor = self.head(self.features(x))
        return logits
