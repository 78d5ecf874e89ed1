"""Cells as arrays of graphs, a whole space at once, in the formats that graph encoders are published with.

The operators and their order, the sizes and the padding are those of Yan et al., "Does Unsupervised Architecture
Representation Learning Help Neural Architecture Search?", NeurIPS 2020 (arXiv 2006.06936), and its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.spaces.paths import CUT, PASS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Graphs, Space

_VOCABULARIES = {
    "nasbench101": ("input", "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3", "output"),
    "nasbench201": ("input", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none", "output"),
    "transnas_micro": ("input", "nor_conv_1x1", "nor_conv_3x3", "skip_connect", "none", "output"),
    "darts": (
        "c_{k-2}",
        "c_{k-1}",
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
        "output",
    ),
}
_DARTS_CELL = 10
"""Vertices of one DARTS cell before its output: two inputs and eight edges."""


@dataclass(frozen=True)
class GraphBatch:
    """Labelled directed acyclic graphs of one size, padded at the end.

    Attributes
    ----------
    ops : ndarray of int8, (m, N)
        Index into `vocabulary` of every vertex; -1 is padding.
    adjacency : ndarray of uint8, (m, N, N)
        ``adjacency[i, s, t]`` is 1 where graph i has an edge from s to t; strictly upper triangular.
    vocabulary : tuple of str
        Operators, in the order of the published one-hot columns.
    cells : int
        Graphs an architecture has: rows ``cells * i`` to ``cells * i + cells - 1`` are architecture i.
    """

    ops: NDArray[np.int8]
    adjacency: NDArray[np.uint8]
    vocabulary: tuple[str, ...]
    cells: int = 1

    @classmethod
    def of(cls, space: Space, genotypes: Genotypes) -> GraphBatch:
        """Return the graphs of n genotypes, ``n * cells`` of them.

        NAS-Bench-101: the pruned cell, 7 vertices with the padding behind the output. NAS-Bench-201: 8 vertices, the
        six edges between input and output. TransNAS-Bench-101, cells: the same without average pooling. DARTS: 11
        vertices, normal and reduction cell one after the other; the publication has one cell for both. Any other
        space: `Space.graph` as it is.
        """
        graphs = space.graph(genotypes)
        vocabulary = _VOCABULARIES.get(space.name, graphs.vocabulary)
        if space.name == "darts":
            return cls(*_darts_cells(graphs, vocabulary), vocabulary, cells=2)
        code = np.array([vocabulary.index(word) for word in graphs.vocabulary] + [-1], dtype=np.int8)
        return cls(code[graphs.ops], graphs.adjacency.astype(np.uint8), vocabulary)

    def __len__(self) -> int:
        return len(self.ops)

    def __getitem__(self, rows: NDArray[np.integer[Any]] | slice) -> GraphBatch:
        return GraphBatch(self.ops[rows], self.adjacency[rows], self.vocabulary, self.cells)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which vertices are there, ``(m, N)``."""
        return self.ops >= 0

    @property
    def onehot(self) -> NDArray[np.float32]:
        """The operators as the published matrices X, ``(m, N, K)``; the rows of padding are zero."""
        return np.asarray(self.ops[..., None] == np.arange(len(self.vocabulary)), dtype=np.float32)

    def computation(self) -> GraphBatch:
        """Return what the graphs compute: skips followed, cut and dead vertices removed.

        Removed vertices stay as padding without edges. Where a skip was followed, `adjacency` counts how often a
        vertex is read. Two graphs that differ only in skips, zeros and dead layers become isomorphic.
        """
        cut, hand_on = (np.isin(self.vocabulary, sorted(words)).nonzero()[0] for words in (CUT, PASS))
        ops = np.where(np.isin(self.ops, cut), np.int8(-1), self.ops)
        paths = np.where((ops >= 0)[:, :, None] & (ops >= 0)[:, None, :], self.adjacency, 0).astype(np.int16)
        n_vertices = ops.shape[1]
        for v in range(1, n_vertices - 1):
            skip = np.isin(ops[:, v], hand_on)
            paths += skip[:, None, None] * paths[:, :, v, None] * paths[:, None, v, :]
            paths[skip, :, v] = 0
            paths[skip, v] = 0
            ops[skip, v] = -1
        output = ops == self.vocabulary.index("output")
        # What nothing can enter is an input; a DARTS cell has two.
        inputs = (ops >= 0) & ~self.adjacency.any(axis=1)
        reached, reaching = inputs.copy(), output.copy()
        for v in range(1, n_vertices):
            reached[:, v] |= (reached & (paths[:, :, v] > 0)).any(axis=1)
        for v in range(n_vertices - 2, -1, -1):
            reaching[:, v] |= (reaching & (paths[:, v] > 0)).any(axis=1)
        live = (reached & reaching) | inputs | output
        kept = paths * live[:, :, None] * live[:, None, :]
        return GraphBatch(
            np.where(live, ops, np.int8(-1)), np.minimum(kept, 255).astype(np.uint8), self.vocabulary, self.cells
        )

    def hash(self) -> NDArray[np.uint64]:
        """Return a number of each graph that does not depend on the order of its vertices, ``(m,)``.

        Colours start as operator and degrees and are refined N times by the colours on both sides, as in the hash
        of NAS-Bench-101 (Ying et al., ICML 2019), on 64-bit words. Isomorphic graphs have equal numbers.
        """
        there = self.mask
        edges = self.adjacency.astype(np.uint64)
        degrees = edges.sum(axis=1) * np.uint64(64) + edges.sum(axis=2)
        colour = _mix((self.ops + 1).astype(np.uint64) * np.uint64(4096) + degrees)
        for _ in range(self.ops.shape[1]):
            before = np.einsum("nst,ns->nt", edges, _mix(colour ^ np.uint64(0x5BF0)))
            after = np.einsum("nst,nt->ns", edges, _mix(colour ^ np.uint64(0xA3D1)))
            colour = _mix(colour + _mix(before ^ np.uint64(0x11)) + _mix(after ^ np.uint64(0x2F0000)))
        return np.asarray(_mix(np.where(there, colour, np.uint64(0)).sum(axis=1)))


def classes(space: Space, genotypes: Genotypes) -> NDArray[np.int64]:
    """Return the number of each genotype's class of equal architectures, from 0, ``(n,)``; see `Space.canonical`."""
    return np.unique(space.canonical(genotypes), axis=0, return_inverse=True)[1].reshape(-1)


def _darts_cells(graphs: Graphs, vocabulary: tuple[str, ...]) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Cut the two cells of `DARTS.graph` apart: each with its own two inputs and the common output."""
    words = [word.removesuffix("/2") for word in graphs.vocabulary]
    code = np.array([vocabulary.index(word) if word in vocabulary else -1 for word in words], dtype=np.int8)
    at = [[*range(1 + c * _DARTS_CELL, 1 + (c + 1) * _DARTS_CELL), graphs.ops.shape[1] - 1] for c in range(2)]
    ops = np.stack([code[graphs.ops[:, v]] for v in at], axis=1)
    adjacency = np.stack([graphs.adjacency[np.ix_(range(len(ops)), v, v)] for v in at], axis=1)
    width = _DARTS_CELL + 1
    return ops.reshape(-1, width), adjacency.reshape(-1, width, width).astype(np.uint8)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words; the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
