"""NAS-Bench-201: cells of four nodes whose six edges each carry one of five operations.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
"""

from __future__ import annotations

import itertools
import random
import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import ArchStringError, InputError, nearest
from ogive.spaces._cells import EDGES, Tally, edge_graphs, longest_path
from ogive.spaces.base import SPACES, Choice, Genotypes, Graphs, Space, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.supernet import SuperNetwork

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""Operations in the official order."""

_NONE, _SKIP, _CONV1, _CONV3 = range(4)
_SLOT = re.compile(r"([^|+~]*)~(\d+)")


class NASBench201(Space):
    """The topology space of NAS-Bench-201, 15,625 cells in the published macro skeleton.

    Parameters
    ----------
    C : int
        Channels of the first stage; the second and third have 2C and 4C.
    N : int
        Cells in each of the three stages. The published benchmark has C=16, N=5.
    """

    name = "nasbench201"
    reference = "Dong and Yang, NAS-Bench-201, ICLR 2020, arXiv 2001.00326"
    buildable = True
    choices = tuple(Choice(f"{s}->{t}", OPS) for s, t in EDGES)

    def __init__(self, C: int = 16, N: int = 5) -> None:
        if not (isinstance(C, int) and isinstance(N, int) and C >= 1 and N >= 1):
            raise InputError(f"nasbench201 needs whole numbers C >= 1 and N >= 1, not C={C}, N={N}")
        self.C, self.N = C, N

    @property
    def spec(self) -> str:
        """The text that gives this space again."""
        return self.name if (self.C, self.N) == (16, 5) else f"{self.name}:C={self.C},N={self.N}"

    # ---------------------------------------------------------------- strings

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read strings such as ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|``."""
        rows = [_parse(arch) for arch in archs]
        return np.array(rows, dtype=self.dtype).reshape(len(rows), self.n_choices)

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write the official string of every genotype."""
        a, b, c, d, e, f = ([f"{OPS[op]}~{s}" for op in col] for col, (s, _) in zip(genotypes.T, EDGES, strict=True))
        return [f"|{u}|+|{v}|{w}|+|{x}|{y}|{z}|" for u, v, w, x, y, z in zip(a, b, c, d, e, f, strict=True)]

    # ---------------------------------------------------------------- official order and identity

    @staticmethod
    def official() -> NDArray[np.int64]:
        """Return the mixed-radix index of each architecture in the benchmark's order, ``(15625,)``.

        The official list is the product of the operations, first edge slowest, shuffled once with Python's generator
        seeded by 88: ``space.from_index(space.official())[i]`` is architecture number i.
        """
        order = list(range(len(OPS) ** len(EDGES)))
        random.Random(88).shuffle(order)
        return np.array(order, dtype=np.int64)

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return the first cell, in official order, of each cell's isomorphism class; there are 6,466 classes.

        Two cells are one class when their unique strings agree, as the benchmark's authors define them: a skip stands
        for its source, an edge that carries nothing is zero, the terms of a sum are sorted as text. It is the rule of
        the published tables and not quite that of equal functions: sorting through nested sums would leave 5,755
        classes, dropping zero terms as well 4,930; and as text cannot tell one convolution that is used twice from
        two convolutions, cells of one class may differ in their parameters.
        """
        return _representatives()[self.index(genotypes)]

    # ---------------------------------------------------------------- graphs

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return the operations-on-nodes form: input, the six edges as vertices in string order, output."""
        return edge_graphs(genotypes, OPS)

    # ---------------------------------------------------------------- networks

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the published network: stem, three stages of N cells, two residual reductions, linear head."""
        from ogive.nn.cells import CellNetwork

        (row,) = self.check(genotype)
        shape = image_shape(self.name, task)
        return CellNetwork([OPS[o] for o in row], EDGES, self.C, self.N, shape, task.n_outputs)

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the network with all five operations on every edge of every cell."""
        from ogive.nn.super_cells import SuperCellNetwork

        shape = image_shape(self.name, task)
        return SuperCellNetwork([OPS] * len(EDGES), EDGES, self.C, self.N, shape, task.n_outputs)

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]]:
        """Return exact ``params``, ``macs``, ``relus`` and ``depth`` in closed form."""
        g = np.asarray(genotypes)
        conv1, conv3 = (g == _CONV1).sum(axis=1), (g == _CONV3).sum(axis=1)
        tally = Tally(len(g), image_shape(self.name, task))
        tally.convolutions(1, 9, self.C, relu=False)
        tally.move(self.C)
        for c in (self.C, 2 * self.C, 4 * self.C):
            if c > self.C:
                tally.convolutions(1, 9, c, stride=2)
                tally.convolutions(1, 1, c, stride=2, relu=False, norm=False)
                tally.move(c, stride=2)
                tally.convolutions(1, 9, c)
            tally.convolutions(self.N * (conv1 + conv3), self.N * (conv1 + 9 * conv3), c)
        tally.params += 2 * tally.c
        tally.relus += tally.c * tally.h * tally.w
        # Stem, cells, two convolutions a reduction, classifier; a cell without a path leaves nothing connected.
        cell = longest_path(g != _NONE, (g == _CONV1) | (g == _CONV3))
        return tally.total(task.n_outputs, np.where(cell < 0, 0, 1 + 3 * self.N * cell + 4 + 1))


def _parse(arch: str) -> list[int]:
    """Read one string strictly; every error names the position."""

    def fail(at: int, what: str) -> ArchStringError:
        return ArchStringError(
            f"architecture string '{arch}' of space 'nasbench201', position {at}: {what}; "
            "write |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
        )

    row: list[int] = []
    at = 0
    for target in (1, 2, 3):
        if target > 1:
            if not arch.startswith("+", at):
                raise fail(at, "expected '+'")
            at += 1
        if not arch.startswith("|", at):
            raise fail(at, "expected '|'")
        for source in range(target):
            slot = _SLOT.match(arch, at + 1)
            if slot is None:
                raise fail(at + 1, "expected an operation, '~' and a node number")
            op, node = slot.groups()
            if op not in OPS:
                raise fail(at + 1, f"unknown operation '{op}' ({nearest(op, OPS)})")
            if int(node) != source:
                raise fail(slot.start(2), f"expected node {source}, found {node}")
            row.append(OPS.index(op))
            at = slot.end()
            if not arch.startswith("|", at):
                raise fail(at, "expected '|'")
        at += 1
    if at != len(arch):
        raise fail(at, "expected the end")
    return row


@cache
def _representatives() -> Genotypes:
    """Return, by mixed-radix index, the first cell of the same class in official order, ``(15625, 6)``."""
    expressions = [_expression(g) for g in itertools.product(range(len(OPS)), repeat=len(EDGES))]
    first: dict[str, int] = {}
    official = NASBench201.official().tolist()
    for index in official:
        first.setdefault(expressions[index], index)
    return NASBench201().from_index(np.array([first[e] for e in expressions]))


def _expression(genotype: tuple[int, ...]) -> str:
    """Write what the cell computes as the authors' unique string; its text order decides the classes."""
    nodes: list[str] = ["0"]
    terms: list[str] = []
    for op, (s, t) in zip(genotype, EDGES, strict=True):
        if t > len(nodes):
            nodes.append("+".join(sorted(terms)))
            terms = []
        source = nodes[s]
        if op == _NONE or source == "#":
            terms.append("#")
        else:
            terms.append(source if op == _SKIP else f"({source})@{OPS[op]}")
    return "+".join(sorted(terms))


SPACES.add("nasbench201", NASBench201)
