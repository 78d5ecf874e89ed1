"""Supernets of cells whose edges carry operations: NAS-Bench-201 and the cell space of TransNAS-Bench-101."""

from __future__ import annotations

from typing import Any

from ogive.nn.cells import Cell, CellNetwork, ModuleNetwork
from ogive.nn.supernet import Alternatives, SuperNetwork


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
