"""TransNAS-Bench-101: a space of cells and a space of macro skeletons, both with seven tasks in the benchmark.

Duan, Chen, Xu, Chen, Liang, Zhang and Li, "TransNAS-Bench-101: Improving Transferability and Generalizability of
Cross-Task Neural Architecture Search", CVPR 2021.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import ArchStringError, InputError
from ogive.spaces._cells import EDGES, Tally, edge_graphs, longest_path
from ogive.spaces.base import SPACES, Choice, Genotypes, Graphs, Space, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.supernet import SuperNetwork

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
"""Operations of the cell space, in the order of their digits."""

MODULES = {"normal": (1, 1), "wider": (2, 1), "half": (1, 2), "half_wider": (2, 2)}
"""Kinds of module and their factor on the channels and stride; digits 1 to 4 of the arch strings."""

MAX_WIDENINGS = 3
"""Most modules of the macro space that double the width."""

CELL_SKELETON = (4, 1, 4, 1, 4)
"""Modules of the skeleton around the searched cell."""

_NONE, _SKIP = range(2)
_REFERENCE = "Duan et al., TransNAS-Bench-101, CVPR 2021, arXiv 2105.11871"


class _TransNAS(Space):
    """What both spaces share: the width in front of every arch string.

    Parameters
    ----------
    C : int
        Channels after the stem, even. The published benchmark has 64.
    """

    reference = _REFERENCE
    buildable = True

    def __init__(self, C: int = 64) -> None:
        if not (isinstance(C, int) and C >= 2 and C % 2 == 0):
            raise InputError(f"{self.name} needs an even whole number C >= 2, not C={C}")
        self.C = C

    @property
    def spec(self) -> str:
        """The text that gives this space again."""
        return self.name if self.C == 64 else f"{self.name}:C={self.C}"

    def _skeleton(
        self, codes: Sequence[int], task: TaskShape
    ) -> tuple[list[tuple[int, int]], int, tuple[int, int, int], int]:
        """Return what a network of modules needs besides its block: blocks, width, input shape, outputs."""
        return _blocks(codes), self.C, image_shape(self.name, task), task.n_outputs

    def _fail(self, arch: str, at: int, what: str, form: str) -> ArchStringError:
        return ArchStringError(
            f"architecture string '{arch}' of space '{self.name}', position {at}: {what}; write {form}"
        )


class TransNASMicro(_TransNAS):
    """The cell space: six edges with one of four operations each, 4,096 cells in the skeleton 64-41414.

    The first cell of a module "4" halves the resolution and doubles the width on the edges that leave its input; a
    skip connection there is a factorised reduction, which has weights.
    """

    name = "transnas_micro"
    choices = tuple(Choice(f"{s}->{t}", OPS) for s, t in EDGES)

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read strings such as ``64-41414-1_02_333``: the digits of the edges into node 1, 2 and 3."""
        rows = [self._parse(arch) for arch in archs]
        return np.array(rows, dtype=self.dtype).reshape(len(rows), self.n_choices)

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write the official string of every genotype."""
        head = self._head
        return [f"{head}{a}_{b}{c}_{d}{e}{f}" for a, b, c, d, e, f in np.asarray(genotypes).tolist()]

    @property
    def _head(self) -> str:
        return f"{self.C}-{''.join(map(str, CELL_SKELETON))}-"

    def _parse(self, arch: str) -> list[int]:
        form = f"{self._head}a_bc_def with digits 0 to 3"
        pattern = f"{self._head}0_00_000"
        for at, expected in enumerate(pattern):
            found = arch[at : at + 1]
            digit = at >= len(self._head) and expected == "0"
            if digit and found not in tuple("0123"):
                raise self._fail(arch, at, "expected a digit 0 to 3", form)
            if not digit and found != expected:
                raise self._fail(arch, at, f"expected '{expected}'", form)
        if len(arch) > len(pattern):
            raise self._fail(arch, len(pattern), "expected the end", form)
        return [int(c) for c in arch[len(self._head) :] if c != "_"]

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return the first cell, in lexicographic order, of each class of cells that compute the same function.

        Cells are one class when renaming their weight layers makes them equal after skips are followed, sums are
        flattened and layers that reach no output, or that nothing reaches, are dropped. A skip from the input is a
        layer, because it has weights in the cells that reduce. There are 1,376 classes; no row of the published
        table, where equal cells share one training run, spans two of them. The one approximation: a layer fed by
        zeros is not zero once its batch norm has learned a shift.
        """
        return _representatives()[self.index(genotypes)]

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return the operations-on-nodes form: input, the six edges as vertices in string order, output."""
        return edge_graphs(np.asarray(genotypes), OPS)

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the published network with global average pooling and a linear head."""
        from ogive.nn.cells import Cell, ModuleNetwork

        (row,) = self.check(genotype)
        cell = partial(Cell, [OPS[o] for o in row], EDGES)
        return ModuleNetwork(cell, *self._skeleton(CELL_SKELETON, task))

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the network with all four operations on every edge of every cell."""
        from ogive.nn.cells import Cell
        from ogive.nn.super_cells import SuperModuleNetwork

        return SuperModuleNetwork(partial(Cell, [OPS] * len(EDGES), EDGES), *self._skeleton(CELL_SKELETON, task))

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]]:
        """Return exact ``params``, ``macs``, ``relus`` and ``depth`` in closed form."""
        g = np.asarray(genotypes)
        entry = np.array([s == 0 for s, _ in EDGES])
        area = np.array([0, 0, 1, 9])[g]
        # In a cell that changes the shape, a skip from the input counts like a 1x1 convolution.
        skip = ((g == _SKIP) & entry).astype(np.int64)
        tally = _stem(len(g), self.C, image_shape(self.name, task))
        for factor, stride in _blocks(CELL_SKELETON):
            first = area + skip if factor * stride > 1 else area
            c_out = factor * tally.c
            tally.convolutions(((first > 0) & entry).sum(axis=1), (first * entry).sum(axis=1), c_out, stride)
            tally.move(c_out, stride)
            tally.convolutions(((area > 0) & ~entry).sum(axis=1), (area * ~entry).sum(axis=1), c_out)
        normal = longest_path(g != _NONE, area > 0)
        reducing = longest_path(g != _NONE, area + skip > 0)
        # Two layers in the stem, seven cells that keep the shape, three that do not, classifier.
        return tally.total(task.n_outputs, np.where(normal < 0, 0, 2 + 7 * normal + 3 * reducing + 1))


class TransNASMacro(_TransNAS):
    """The macro space: four to six modules of two residual blocks, 3,256 networks.

    The resolution is halved in one to four modules and the width doubled in one to three. A shorter network leaves
    the last modules out, written as option "end".
    """

    name = "transnas_macro"
    choices = tuple(Choice(f"module{i + 1}", tuple(MODULES) if i < 4 else ("end", *MODULES)) for i in range(6))
    size = 3256

    def _codes(self, genotypes: Genotypes) -> NDArray[np.int64]:
        """Return the digits of the arch strings, 0 where the network has ended, ``(n, 6)``."""
        return np.add(genotypes, [1, 1, 1, 1, 0, 0], dtype=np.int64)

    def valid(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which genotypes have 1 to 4 halvings, 1 to 3 widenings and no module after the end."""
        codes = self._codes(genotypes)
        halvings, widenings = (codes >= 3).sum(axis=1), ((codes == 2) | (codes == 4)).sum(axis=1)
        resumes = (codes[:, 4] == 0) & (codes[:, 5] != 0)
        inside = (halvings >= 1) & (halvings <= 4) & (widenings >= 1) & (widenings <= MAX_WIDENINGS)
        return np.asarray(inside & ~resumes)

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read strings such as ``64-1234-basic``: one digit a module."""
        rows = [self._parse(arch) for arch in archs]
        return np.array(rows, dtype=self.dtype).reshape(len(rows), self.n_choices)

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write the official string of every genotype."""
        codes = ("".join(map(str, row)).rstrip("0") for row in self._codes(genotypes).tolist())
        return [f"{self.C}-{code}-basic" for code in codes]

    def _parse(self, arch: str) -> list[int]:
        head, tail = f"{self.C}-", "-basic"
        form = f"{head}dddd{tail} with 4 to 6 digits 1 to 4"
        for at, expected in enumerate(head):
            if arch[at : at + 1] != expected:
                raise self._fail(arch, at, f"expected '{expected}'", form)
        digits, _, _ = arch[len(head) :].partition("-")
        for at, digit in enumerate(digits, start=len(head)):
            if digit not in "1234":
                raise self._fail(arch, at, "expected a digit 1 to 4", form)
            if at - len(head) == 6:
                raise self._fail(arch, at, "expected at most 6 digits", form)
        end = len(head) + len(digits)
        if len(digits) < 4:
            raise self._fail(arch, end, "expected at least 4 digits", form)
        if arch[end:] != tail:
            raise self._fail(arch, end, f"expected '{tail}' and the end", form)
        row = [int(d) - 1 for d in digits[:4]] + [int(d) for d in digits[4:]] + [0] * (6 - len(digits))
        if not self.valid(np.array([row]))[0]:
            raise self._fail(
                arch, len(head), "the space has 1 to 4 modules that halve (3, 4) and 1 to 3 that widen (2, 4)", form
            )
        return row

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return a chain of modules between input and output."""
        codes = self._codes(genotypes)
        n, length = len(codes), (codes > 0).sum(axis=1)
        ops = np.full((n, 8), -1, dtype=np.int8)
        ops[:, 0], ops[:, 1:7] = 0, np.where(codes > 0, codes, -1)
        ops[np.arange(n), length + 1] = 5
        step = np.arange(7) <= length[:, None]
        adjacency = np.zeros((n, 8, 8), dtype=np.bool_)
        adjacency[:, np.arange(7), np.arange(1, 8)] = step
        return Graphs(ops, adjacency, ("input", *MODULES, "output"))

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the published network with global average pooling and a linear head."""
        from ogive.nn.blocks import ResidualBlock
        from ogive.nn.cells import ModuleNetwork

        rows = self._codes(self.check(genotype))
        modules = [c for c in rows[0].tolist() if c]
        return ModuleNetwork(ResidualBlock, *self._skeleton(modules, task))

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the network with every module in every position, one for each width it may be entered with."""
        from ogive.nn.blocks import ResidualBlock
        from ogive.nn.super_cells import SuperMacroNetwork

        codes = {"end": (), **{name: (code,) for code, name in enumerate(MODULES, start=1)}}
        stages = [{option: _blocks(codes[option]) for option in choice.options} for choice in self.choices]
        shape = image_shape(self.name, task)
        return SuperMacroNetwork(ResidualBlock, stages, self.C, self.C << MAX_WIDENINGS, shape, task.n_outputs)

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]]:
        """Return exact ``params``, ``macs``, ``relus`` and ``depth`` in closed form."""
        codes = self._codes(genotypes)
        tally = _stem(len(codes), self.C, image_shape(self.name, task))
        table = np.array([(1, 1), *MODULES.values()])
        for code in codes.T:
            there = (code > 0).astype(np.int64)
            factor, stride = table[code].T
            c_out, changes = factor * tally.c, (code > 1).astype(np.int64)
            tally.convolutions(there, 9 * there, c_out, stride)
            tally.convolutions(changes, changes, c_out, stride, relu=False)
            tally.move(c_out, stride)
            tally.convolutions(3 * there, 27 * there, c_out)
        return tally.total(task.n_outputs, 2 + 4 * (codes > 0).sum(axis=1) + 1)


def _blocks(codes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the factor on the channels and the stride of every block: two a module, the second changes nothing."""
    kinds = list(MODULES.values())
    return [pair for code in codes for pair in (kinds[code - 1], (1, 1))]


def _stem(n: int, C: int, shape: tuple[int, int, int]) -> Tally:
    """Start a tally with the two convolutions of stride 2 in front of the modules."""
    tally = Tally(n, shape)
    tally.convolutions(1, 9, C // 2, stride=2, relu=False)
    tally.move(C // 2, stride=2)
    tally.convolutions(1, 9, C, stride=2)
    tally.move(C, stride=2)
    return tally


@cache
def _representatives() -> Genotypes:
    """Return, by mixed-radix index, the first cell of the same class, ``(4096, 6)``."""
    cells = TransNASMicro().enumerate()
    first: dict[tuple[str, ...], int] = {}
    # A loop over cells: what a cell computes is a small graph of its own.
    rows = [first.setdefault(_function(row), i) for i, row in enumerate(cells.tolist())]
    return np.asarray(cells[rows])


def _function(cell: Sequence[int]) -> tuple[str, ...]:
    """Return a key that two cells share exactly when they compute the same function, up to names of layers.

    A node is a multiset of layers, 0 standing for the input; a layer is an operation on such a node. Layers are told
    apart by colour refinement: what they are, what they read, who reads them.
    """
    nodes: list[tuple[int, ...]] = [(0,)]
    layers: list[tuple[int, tuple[int, ...]]] = [(_NONE, ())]
    for target in (1, 2, 3):
        terms: tuple[int, ...] = ()
        for op, (s, t) in zip(cell, EDGES, strict=True):
            if t != target or op == _NONE or not nodes[s]:
                continue
            if op == _SKIP and s:
                terms += nodes[s]
            else:
                layers.append((op, nodes[s]))
                terms += (len(layers) - 1,)
        nodes.append(terms)
    live = {0, *nodes[3]}
    for i in range(len(layers) - 1, 0, -1):
        if i in live:
            live.update(layers[i][1])
    colour = dict.fromkeys(live, 0)
    key: tuple[str, ...] = ()
    for _ in range(4):
        signature = {
            i: (
                layers[i][0],
                nodes[3].count(i),
                sorted(colour[j] for j in layers[i][1]),
                sorted(colour[k] for k in live for j in layers[k][1] if j == i),
            )
            for i in live
        }
        key = tuple(sorted(map(str, signature.values())))
        colour = {i: key.index(str(signature[i])) for i in live}
    return key


SPACES.add("transnas_micro", TransNASMicro)
SPACES.add("transnas_macro", TransNASMacro)
