"""Supernets of cells whose edges carry operations, and of the macro skeleton: NAS-Bench-201, TransNAS-Bench-101."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ogive.nn.cells import Cell, CellNetwork, ModuleNetwork
from ogive.nn.supernet import Alternatives, SuperNetwork, active_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class _SharedCells(SuperNetwork):
    """Each edge of a cell is one choice, which decides on this edge in all cells."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for cell in [m for m in self.modules() if isinstance(m, Cell)]:
            for choice, place in enumerate(cell.edges.values()):
                assert isinstance(place, Alternatives)
                self.bind(choice, place)


class SuperCellNetwork(_SharedCells, CellNetwork):
    """The skeleton of NAS-Bench-201; parameters as in `CellNetwork`, with a tuple of operations for every edge."""


class SuperModuleNetwork(_SharedCells, ModuleNetwork):
    """The skeleton of TransNAS-Bench-101; parameters as in `ModuleNetwork`, for cells with alternatives."""


class SuperMacroNetwork(SuperNetwork, ModuleNetwork):
    """Rows of blocks whose width and stride are chosen: the macro space of TransNAS-Bench-101.

    A position has its own weights for every width it may be entered with, as the blocks differ in their shapes; so
    has the head.

    Parameters
    ----------
    block : callable
        ``block(c_in, c_out, stride)`` returns one block.
    stages : sequence of mapping
        For each choice, the blocks of every option as factor on the channels and stride; none ends the network.
    C : int
        Channels after the stem.
    widest : int
        Most channels a network of the space has.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int
    """

    mixable = False

    def __init__(
        self,
        block: Callable[[int, int, int], nn.Module],
        stages: Sequence[Mapping[str, Sequence[tuple[int, int]]]],
        C: int,
        widest: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
    ) -> None:
        super().__init__(block, (), C, input_shape, n_outputs)
        del self.body, self.head
        self.C = C
        self.factors = [[math.prod(f for f, _ in blocks) for blocks in stage.values()] for stage in stages]
        self.stages = nn.ModuleList()
        entering = {C}
        for choice, stage in enumerate(stages):
            places = nn.ModuleDict()
            for c in sorted(entering):
                place = Alternatives({name: _chain(block, blocks, c, widest) for name, blocks in stage.items()})
                self.bind(choice, place)
                places[str(c)] = place
            self.stages.append(places)
            entering = {c * factor for c in entering for factor in self.factors[choice] if c * factor <= widest}
        # Every network of the space is wider at its end.
        self.heads = nn.ModuleDict({str(c): nn.Linear(c, n_outputs) for c in sorted(entering - {C})})

    def _path(self) -> tuple[list[nn.Module], nn.Module]:
        """Return the rows of blocks that are active, and the head behind them."""
        rows: list[nn.Module] = []
        c = self.C
        for places, factors in zip(self.stages, self.factors, strict=True):
            place = places.get_submodule(str(c))
            assert isinstance(place, Alternatives)
            row = place.table[place.active]
            if row is None:
                break
            rows.append(row)
            c *= factors[place.active]
        return rows, self.heads[str(c)]

    def features(self, x: Tensor) -> Tensor:
        """Return the globally pooled features before the classifier."""
        x = self.stem(x)
        for row in self._path()[0]:
            x = row(x)
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        logits: Tensor = self._path()[1](self.features(x))
        return logits

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the active path; its blocks are numbered from the first to the last."""
        rows, head = self._path()
        blocks = nn.Sequential(*(block for row in rows for block in row.children()))
        parts = nn.ModuleDict({"stem": self.stem, "body": blocks, "head": head})
        return active_state(parts)


def _chain(
    block: Callable[[int, int, int], nn.Module], blocks: Sequence[tuple[int, int]], c: int, widest: int
) -> nn.Sequential | None:
    """Return a row of blocks, or None where there are none or they would be too wide for the space."""
    row = nn.Sequential()
    for factor, stride in blocks:
        if factor * c > widest:
            return None
        row.append(block(c, factor * c, stride))
        c *= factor
    return row if blocks else None
