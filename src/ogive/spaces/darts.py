"""The DARTS space, the one NAS-Bench-301 predicts: a normal and a reduction cell of four nodes with two inputs each.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019; Zela et al., "Surrogate NAS
Benchmarks: Going Beyond the Limited Search Spaces of Tabular NAS Benchmarks", ICLR 2022.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError
from ogive.spaces._darts_counts import NetworkCounts
from ogive.spaces._darts_strings import format_cells, parse_cells
from ogive.spaces.base import SPACES, Choice, Genotypes, Graphs, Space, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.supernet import SuperNetwork

OPS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""Operations in the official order."""

CELLS = ("normal", "reduce")
NODES = (2, 3, 4, 5)
"""Numbers of the inner nodes; 0 and 1 are the two cells before."""

_PAIRS = {node: tuple(itertools.combinations(range(node), 2)) for node in NODES}
_WIDTH = 11
"""Choices of one cell: the inputs of all nodes but the first, which has no choice, and two operations a node."""


class DARTS(Space):
    """The cells of DARTS and NAS-Bench-301 in the CIFAR network: 1.1e18 pairs of cells.

    Parameters
    ----------
    C : int
        Channels of a node in the first cell.
    layers : int
        Number of cells, at least 3. The published networks have C=36, layers=20 on CIFAR-10.
    auxiliary : bool
        Whether the network has the auxiliary head, see `ogive.nn.darts.DartsNetwork`; its parameters are then
        counted, where the publications leave them out.
    drop_path : float
        Chance of dropping an operation while training, in [0, 1).
    none : bool
        Whether an edge may carry nothing, the eighth operation of the search phase. No published cell does.
    """

    name = "darts"
    reference = "Liu et al., DARTS, ICLR 2019, arXiv 1806.09055; Zela et al., ICLR 2022, arXiv 2008.09777"
    buildable = True

    def __init__(
        self,
        C: int = 36,
        layers: int = 20,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        none: bool = False,
    ) -> None:
        if not (isinstance(C, int) and isinstance(layers, int) and C >= 2 and C % 2 == 0 and layers >= 3):
            raise InputError(f"darts needs an even whole number C >= 2 and layers >= 3, not C={C}, layers={layers}")
        if not 0 <= drop_path < 1:
            raise InputError(f"darts needs 0 <= drop_path < 1, not {drop_path}")
        self.C, self.layers, self.auxiliary, self.drop_path, self.none = C, layers, auxiliary, drop_path, none
        self.ops = ("none", *OPS) if none else OPS
        self.choices = tuple(itertools.chain.from_iterable(map(self._cell_choices, CELLS)))

    def _cell_choices(self, cell: str) -> list[Choice]:
        out = []
        for node in NODES:
            if node > NODES[0]:
                out.append(Choice(f"{cell}_{node}_inputs", tuple(f"{a}+{b}" for a, b in _PAIRS[node])))
            out += [Choice(f"{cell}_{node}_op_{side}", self.ops) for side in ("a", "b")]
        return out

    @property
    def spec(self) -> str:
        """The text that gives this space again."""
        defaults = {"C": 36, "layers": 20, "auxiliary": False, "drop_path": 0.0, "none": False}
        changed = [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return self.name + (":" + ",".join(changed) if changed else "")

    # ---------------------------------------------------------------- cells

    def cells(self, genotypes: Genotypes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the sources and operations of all edges, both ``(n, 2, 4, 2)``: cell, node, its two edges.

        Of a node's two edges, the one with the lower source comes first.
        """
        g = np.asarray(genotypes).reshape(-1, len(CELLS), _WIDTH)
        sources = np.empty((*g.shape[:2], len(NODES), 2), dtype=np.int64)
        ops = np.empty_like(sources)
        for i, node in enumerate(NODES):
            sources[:, :, i] = np.array(_PAIRS[node])[g[:, :, 3 * i - 1]] if i else (0, 1)
            ops[:, :, i] = g[:, :, 3 * i : 3 * i + 2]
        return sources, ops

    def from_cells(self, sources: NDArray[np.int64], ops: NDArray[np.int64]) -> Genotypes:
        """Return the genotypes of cells; the inverse of `cells`, except that a node's edges may come in any order."""
        order = np.argsort(sources, axis=-1)
        sources, ops = (np.take_along_axis(a, order, axis=-1) for a in (sources, ops))
        out = np.empty((*sources.shape[:2], _WIDTH), dtype=self.dtype)
        for i, node in enumerate(NODES):
            low, high = sources[:, :, i, 0], sources[:, :, i, 1]
            if i:
                # Pairs below (low, high) in lexicographic order.
                out[:, :, 3 * i - 1] = low * (2 * node - low - 1) // 2 + high - low - 1
            out[:, :, 3 * i : 3 * i + 2] = ops[:, :, i]
        return out.reshape(len(sources), self.n_choices)

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return, of all genotypes whose cells differ only in the order of their nodes, the lexicographically first.

        Renaming nodes only moves channels of the concatenated output. Each cell is renamed on its own.
        """
        sources, ops = self.cells(genotypes)
        radix = np.concatenate([np.cumprod(self.cardinalities[_WIDTH - 1 : 0 : -1])[::-1], [1]])
        best = np.full(sources.shape[:2], np.iinfo(np.int64).max)
        found = np.empty((*best.shape, _WIDTH), dtype=self.dtype)
        for inner in itertools.permutations(NODES):
            renamed = np.array([0, 1, *inner])
            new = np.argsort(inner)  # which old node stands at each new place
            moved_sources, moved_ops = renamed[sources[:, :, new]], ops[:, :, new]
            legal = np.asarray((moved_sources < np.array(NODES)[:, None]).all(axis=(2, 3)))
            rows = self.from_cells(moved_sources * legal[..., None, None], moved_ops).reshape(*legal.shape, _WIDTH)
            number = np.where(legal, rows.astype(np.int64) @ radix, np.iinfo(np.int64).max)
            better = number < best
            best[better], found[better] = number[better], rows[better]
        return found.reshape(len(sources), self.n_choices)

    # ---------------------------------------------------------------- strings and graphs

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read strings such as ``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], ...)``.

        A node's two edges may come in any order, and the concatenated nodes may be written ``range(2, 6)``.
        """
        rows = [parse_cells(arch, self.ops) for arch in archs]
        edges = np.array(rows, dtype=np.int64).reshape(len(rows), len(CELLS), len(NODES), 2, 2)
        return self.from_cells(edges[..., 1], edges[..., 0])

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write the field's notation of every genotype, the edge with the lower source first."""
        sources, ops = self.cells(genotypes)
        return [format_cells(o, s, self.ops) for o, s in zip(ops.tolist(), sources.tolist(), strict=True)]

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return both cells side by side: input, then for each cell its two inputs and eight edges, output.

        Edges are vertices; what a reduction cell does is marked by ``/2``.
        """
        sources, ops = self.cells(genotypes)
        n, block = len(sources), 2 + 2 * len(NODES)
        words = ("c_{k-2}", "c_{k-1}", *self.ops)
        vocabulary = ("input", *words, *(f"{word}/2" for word in words), "output")
        codes = np.zeros((n, 2 + len(CELLS) * block), dtype=np.int8)
        codes[:, -1] = len(vocabulary) - 1
        adjacency = np.zeros((n, codes.shape[1], codes.shape[1]), dtype=np.bool_)
        for c in range(len(CELLS)):
            at = 1 + c * block
            codes[:, at : at + 2] = np.array([1, 2]) + c * len(words)
            codes[:, at + 2 : at + block] = ops[:, c].reshape(n, -1) + 3 + c * len(words)
            adjacency[:, 0, at : at + 2] = True
            adjacency[:, at + 2 : at + block, -1] = True
            edges = sources[:, c].reshape(n, -1)
            # The vertices of node k are the two edges into it.
            node = np.array([0, 1, *np.repeat(NODES, 2)])
            adjacency[:, at : at + block, at + 2 : at + block] = node[:, None] == edges[:, None]
        return Graphs(codes, adjacency, vocabulary)

    # ---------------------------------------------------------------- networks

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the CIFAR network: stem, cells with two reductions, linear head, auxiliary head if asked for."""
        from ogive.nn.darts import DartsNetwork

        sources, ops = self.cells(self.check(genotype))
        normal, reduction = (
            [(self.ops[o], s) for o, s in zip(ops[0, c].ravel().tolist(), sources[0, c].ravel().tolist(), strict=True)]
            for c in range(len(CELLS))
        )
        shape = image_shape(self.name, task)
        options = {"auxiliary": self.auxiliary, "drop_path": self.drop_path}
        return DartsNetwork(normal, reduction, self.C, self.layers, shape, task.n_outputs, **options)  # type: ignore[arg-type]

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the network with all operations between all pairs of states; `none` is one where the space has it."""
        from ogive.nn.super_darts import SuperDartsNetwork

        pairs = [[(0, 1)], *(_PAIRS[node] for node in NODES[1:])]
        shape = image_shape(self.name, task)
        options = {"auxiliary": self.auxiliary, "drop_path": self.drop_path}
        return SuperDartsNetwork(self.ops, pairs, self.C, self.layers, shape, task.n_outputs, **options)

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]]:
        """Return exact ``params``, ``macs``, ``relus`` and ``depth`` in closed form.

        The parameters of the auxiliary head are counted, its computation is not: it only runs while training.
        """
        sources, ops = self.cells(genotypes)
        counts = NetworkCounts(sources, ops, self.ops, self.C, image_shape(self.name, task))
        counts.cells(self.layers)
        return counts.total(task.n_outputs, auxiliary=self.auxiliary)


SPACES.add("darts", DARTS)
