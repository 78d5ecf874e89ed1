"""The functional encoding: what a cell computes, as counts of its paths and of the layers that are alive.

Two ways of writing the same computation get the same features: skips are followed, `none` cuts, dead layers vanish.
Paths are those of White et al., "BANANAS", AAAI 2021 (arXiv 1910.11858), section 3, counted instead of marked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces._types import Genotypes, Graphs
    from ogive.spaces.base import Space

    Features = NDArray[np.float32]

PASS = frozenset({"skip_connect", "identity", "skip"})
"""Operations that hand on what they get: a path goes through them unchanged."""

CUT = frozenset({"none", "zero"})
"""Operations that give nothing: no path goes through them."""

_MAX_PATHS = 1024
_MAX_CELLS = 20_000_000
_PROBES = 64
_CONV = re.compile(r"conv\D*(?:(\d+)x(\d+))?")


@dataclass(frozen=True)
class Layout:
    """The columns of a space's functional encoding.

    Attributes
    ----------
    vocabulary : tuple of str
        Operations of the space's graphs, with "input" first and "output" last.
    kinds : tuple of str
        Operations that paths are made of.
    longest : int
        Operations of the longest sequence with a column of its own; a longer path counts by its last ones.
    chain : bool
        Whether every graph is a chain. A chain has one path, which tells nothing that the choices do not, so these
        stand in its place: one column an option, then one a choice.
    """

    vocabulary: tuple[str, ...]
    kinds: tuple[str, ...]
    longest: int
    chain: bool

    @classmethod
    def of(cls, space: Space) -> Layout:
        """Find the layout from a fixed sample of the unrestricted space."""
        free = space.free()
        graphs = free.graph(free.sample(_PROBES, np.random.default_rng(0)))
        kinds = tuple(w for w in graphs.vocabulary[1:-1] if w not in PASS | CUT)
        union = np.asarray(graphs.adjacency.any(axis=0))
        depth = np.zeros(len(union), dtype=np.int64)
        for v in range(1, len(union)):
            depth[v] = 1 + depth[union[:, v]].max(initial=-1)
        longest, total = 0, 1
        while longest < depth.max() - 1 and total + len(kinds) ** (longest + 1) <= _MAX_PATHS:
            longest += 1
            total += len(kinds) ** longest
        return cls(graphs.vocabulary, kinds, longest, chain=bool(graphs.adjacency.sum(axis=2).max() <= 1))

    @property
    def starts(self) -> tuple[int, ...]:
        """First column of the sequences of length 0, 1, ..., and the number of columns."""
        return tuple(accumulate((len(self.kinds) ** n for n in range(self.longest + 1)), initial=0))


def functional(space: Space, genotypes: Genotypes) -> tuple[Features, Features]:
    """Return the two groups of functional features of each genotype: its paths and its counts.

    Parameters
    ----------
    space : Space
    genotypes : ndarray of int, (n, n_choices)

    Returns
    -------
    paths : ndarray of float32, (n, p)
        How many paths from input to output carry each sequence of operations; shorter sequences first, sequences of
        one length in lexicographic order of the vocabulary. See `Layout.chain` for the spaces without branches.
    counts : ndarray of float32, (n, c)
        Live layers of each operation, `none` left out; the kernel areas of the live convolutions, added up; the most
        weighted layers on a path, -1 where nothing is connected.

    Both are those of the canonical genotype, so architectures that `Space.canonical` holds for one have equal rows.
    """
    layout = Layout.of(space)
    canonical = space.canonical(genotypes)
    graphs = space.graph(canonical)
    counts = _counts(graphs, layout)
    if layout.chain:
        return np.hstack([space.encode(canonical, "onehot"), space.encode(canonical, "ordinal")]), counts
    block = max(1, _MAX_CELLS // (graphs.ops.shape[1] * layout.starts[-1]))
    parts = [
        _paths(graphs.ops[i : i + block], graphs.adjacency[i : i + block], layout)
        for i in range(0, max(1, len(graphs.ops)), block)
    ]
    return np.concatenate(parts), counts


def _paths(ops: NDArray[np.int8], adjacency: NDArray[np.bool_], layout: Layout) -> Features:
    """Count paths vertex after vertex: those into a vertex are those out of its sources, one operation longer."""
    n, v = ops.shape
    starts, words = layout.starts, layout.vocabulary
    out = np.zeros((v, n, starts[-1]), dtype=np.float32)
    total = np.zeros((n, starts[-1]), dtype=np.float32)
    for t in range(v):
        into = np.zeros_like(total)
        for s in range(t):
            rows = adjacency[:, s, t]
            if rows.any():
                into += out[s] * rows[:, None]
        for code in np.unique(ops[:, t][ops[:, t] >= 0]).tolist():
            rows, word = ops[:, t] == code, words[code]
            if code == 0:
                out[t, rows, 0] = 1
            elif code == len(words) - 1:
                total[rows] += into[rows]
            elif word in layout.kinds:
                out[t, rows] = _longer(into[rows], layout.kinds.index(word), layout)
            elif word in PASS:
                out[t, rows] = into[rows]
    return total


def _longer(paths: Features, kind: int, layout: Layout) -> Features:
    """Append an operation to every sequence.

    A sequence is a number written in base k, k being the number of kinds, so appending is ``k * number + kind``.
    """
    k, starts = len(layout.kinds), layout.starts
    out = np.zeros_like(paths)
    for length in range(layout.longest):
        first, next_, end = starts[length : length + 3]
        out[:, next_ + kind : end : k] = paths[:, first:next_]
    full = paths[:, starts[-2] :]
    if layout.longest:
        # Full already: the first operation, the leading digit, is forgotten.
        out[:, starts[-2] + kind :: k] += full.reshape(len(full), k, -1).sum(axis=1)
    return out


def _counts(graphs: Graphs, layout: Layout) -> Features:
    words = layout.vocabulary
    area = np.array([kernel_area(w) for w in words], dtype=np.float32)
    weighted = area > 0 if area.any() else np.isin(words, layout.kinds)
    live, depth = _live(graphs, weighted)
    shown = [i for i, w in enumerate(words) if w not in CUT][1:-1]
    columns = [(live == i).sum(axis=1) for i in shown]
    columns.append(np.where(live >= 0, area[live], 0.0).sum(axis=1))
    columns.append(np.where(graphs.ops == len(words) - 1, np.maximum(depth, -1.0), -1.0).max(axis=1))
    return np.stack(columns, axis=1).astype(np.float32)


def _live(graphs: Graphs, weighted: NDArray[np.bool_]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return the operations that lie on a path from input to output, -1 for all others, and how deep each vertex lies.

    Depth is the most weighted operations on a path from the input, very negative where there is none.
    """
    words, ops, adjacency = graphs.vocabulary, graphs.ops, graphs.adjacency
    open_ = (ops >= 0) & ~np.isin(ops, [i for i, w in enumerate(words) if w in CUT])
    v = ops.shape[1]
    far = -1e6
    depth = np.where(ops == 0, 0.0, far)
    for t in range(1, v):
        best = np.where(adjacency[:, :t, t], depth[:, :t], far).max(axis=1) + weighted[ops[:, t]]
        depth[:, t] = np.where(open_[:, t] & (best >= 0), np.maximum(depth[:, t], best), depth[:, t])
    useful = ops == len(words) - 1
    for s in range(v - 2, -1, -1):
        useful[:, s] |= open_[:, s] & (adjacency[:, s, s + 1 :] & useful[:, s + 1 :]).any(axis=1)
    return np.where(useful & (depth >= 0), ops, np.int8(-1)), depth


def live_forms(space: Space, genotypes: Genotypes) -> NDArray[np.intp]:
    """Return a number for each genotype, equal where the same live layers stand in the same places, ``(n,)``.

    Finer than isomorphism: such architectures differ in dead layers alone, so they are one network with one training.
    """
    graphs = space.graph(genotypes)
    live, _ = _live(graphs, np.zeros(len(graphs.vocabulary), dtype=np.bool_))
    alive = live >= 0
    arcs = graphs.adjacency & alive[:, :, None] & alive[:, None, :]
    rows = np.hstack([live, np.packbits(arcs.reshape(len(live), -1), axis=1).view(np.int8)])
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)


def written_cost(space: Space, genotypes: Genotypes) -> Features:
    """Return how much is written down in each genotype, dead layers included: kernel areas plus operations, ``(n,)``.

    Of two genotypes that compute the same, the one that costs less here is never the dearer network.
    """
    graphs = space.graph(genotypes)
    cost = [kernel_area(w) + float(w not in PASS | CUT) for w in graphs.vocabulary]
    cost[0] = cost[-1] = 0.0
    written = np.where(graphs.ops >= 0, np.array(cost, dtype=np.float32)[graphs.ops], np.float32(0))
    return np.asarray(written.sum(axis=1))


def kernel_area(operation: str) -> int:
    """Return the kernel area of a convolution by its name, 1 where the name gives no size, 0 of anything else."""
    found = _CONV.search(operation)
    if found is None:
        return 0
    height, width = found.groups()
    return int(height or 1) * int(width or 1)
