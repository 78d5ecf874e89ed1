"""From decoded graphs to architectures: which are in the space, and the legal ones nearest to a decoder's scores."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ogive._errors import InputError
from ogive.spaces.base import get_space
from ogive.spaces.darts import DARTS, NODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ogive.predictors.graph_batches import GraphBatch
    from ogive.spaces.base import Genotypes, Space

    Scores = NDArray[np.float32]


class Grammar(Protocol):
    """What graphs a space has, in the format of `GraphBatch`."""

    def read(self, batch: GraphBatch) -> tuple[Genotypes, NDArray[np.bool_]]:
        """Return the architecture of every graph and whether there is one, ``(m, n_choices)`` and ``(m,)``.

        Strict: operators and all edges between them must be those of the architecture. Rows without one are any.
        """

    def loose(self, batch: GraphBatch) -> NDArray[np.bool_]:
        """Return which graphs pass the check of the publication, ``(m,)``."""

    def nearest(self, operators: Scores, edges: Scores) -> Genotypes:
        """Return the architecture that a decoder's logits ``(m, N, K)`` and ``(m, N, N)`` favour; always legal."""


class _EdgeCells:
    """Cells whose wiring is fixed, so that only the operators between input and output are free."""

    def __init__(self, space: Space) -> None:
        from ogive.predictors.graph_batches import GraphBatch

        example = GraphBatch.of(space, space.from_index(np.zeros(1, dtype=np.int64)))
        self._wiring, vocabulary = example.adjacency[0], example.vocabulary
        self._last = len(vocabulary) - 1
        words = space.choices[0].options
        self._columns = [vocabulary.index(word) for word in words]
        self._code = np.full(len(vocabulary), -1)
        self._code[self._columns] = np.arange(len(words))

    def read(self, batch: GraphBatch) -> tuple[Genotypes, NDArray[np.bool_]]:
        codes = self._code[batch.ops[:, 1:-1]]
        ends = (batch.ops[:, 0] == 0) & (batch.ops[:, -1] == self._last)
        wired = (batch.adjacency == self._wiring).all(axis=(1, 2))
        return np.maximum(codes, 0).astype(np.uint8), ends & wired & (codes >= 0).all(axis=1)

    def loose(self, batch: GraphBatch) -> NDArray[np.bool_]:
        # As published: no look at the edges, nor at the first operator.
        ends = (batch.ops[:, 0] == 0) & (batch.ops[:, -1] == self._last)
        return np.asarray(ends & (self._code[batch.ops[:, 2:-1]] >= 0).all(axis=1))

    def nearest(self, operators: Scores, edges: Scores) -> Genotypes:  # noqa: ARG002 - the wiring is fixed
        return np.asarray(operators[:, 1:-1, self._columns].argmax(axis=2), dtype=np.uint8)


class _FreeCells:
    """NAS-Bench-101: two to seven vertices; what follows the first output is padding."""

    _POSITIONS = np.triu_indices(7, 1)

    def __init__(self, space: Space) -> None:
        from ogive.predictors.graph_batches import GraphBatch

        self._space = space
        vocabulary = GraphBatch.of(space, space.sample(1, np.random.default_rng(0))).vocabulary
        self._last = len(vocabulary) - 1
        words = space.choices[-1].options
        self._columns = [vocabulary.index(word) for word in words]
        self._code = np.full(len(vocabulary), -1)
        self._code[self._columns] = np.arange(len(words))

    def read(self, batch: GraphBatch) -> tuple[Genotypes, NDArray[np.bool_]]:
        output = batch.ops == self._last
        end = output.argmax(axis=1)
        inner = (np.arange(7) > 0) & (np.arange(7) < end[:, None])
        codes = np.where(inner, self._code[batch.ops], 0)
        genotypes = self._genotypes(codes, batch.adjacency == 1, end)
        legal = output.any(axis=1) & (end > 0) & (batch.ops[:, 0] == 0) & (codes >= 0).all(axis=1)
        return genotypes, legal & self._space.valid(genotypes)

    def loose(self, batch: GraphBatch) -> NDArray[np.bool_]:
        # The published check is the benchmark's own.
        return self.read(batch)[1]

    def nearest(self, operators: Scores, edges: Scores) -> Genotypes:
        end = 1 + operators[:, 1:, self._last].argmax(axis=1)
        codes = operators[:, :, self._columns].argmax(axis=2)
        s, t = self._POSITIONS
        inside = t <= end[:, None]
        scores = np.where(inside, edges[:, s, t], -np.inf)
        # The nine likeliest edges at most.
        rank = (-scores).argsort(axis=1, kind="stable").argsort(axis=1)
        chosen = (scores > 0) & (rank < 9)
        genotypes = self._genotypes(codes, self._matrix(chosen), end)
        bad = ~self._space.valid(genotypes)
        # No path: the weakest edge gives way to one from input to output.
        direct = (s == 0) & (t == end[bad, None])
        chosen[bad] = (chosen[bad] & (rank[bad] < 8)) | direct
        genotypes[bad] = self._genotypes(codes[bad], self._matrix(chosen[bad]), end[bad])
        return genotypes

    def _matrix(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        out = np.zeros((len(chosen), 7, 7), dtype=np.bool_)
        out[:, *self._POSITIONS] = chosen
        return out

    def _genotypes(self, codes: NDArray[np.int64], adjacency: NDArray[np.bool_], end: NDArray[np.int64]) -> Genotypes:
        """Move the output, at position `end`, to the last vertex."""
        at = np.arange(7)
        before = at < end[:, None]
        moved = adjacency & before[:, :, None] & before[:, None, :]
        moved[:, :, -1] = np.take_along_axis(adjacency, end[:, None, None], axis=2)[:, :, 0] & before
        inner = np.where(before, np.maximum(codes, 0), 0)[:, 1:-1]
        return np.hstack([moved[:, *self._POSITIONS], inner]).astype(np.uint8)


class _PairCells:
    """DARTS: four blocks of two operations with different sources; a cell serves as both cells."""

    _BLOCKS = np.repeat(np.arange(4), 2)

    def __init__(self, space: Space) -> None:
        from ogive.predictors.graph_batches import GraphBatch

        assert isinstance(space, DARTS)
        self._space = space
        vocabulary = GraphBatch.of(space, space.sample(1, np.random.default_rng(0))).vocabulary
        self._columns = [vocabulary.index(word) for word in space.ops]
        self._code = np.full(len(vocabulary), -1)
        self._code[self._columns] = np.arange(len(space.ops))
        self._last = len(vocabulary) - 1
        # Which vertices make up each node, (10, 6): the two inputs, then the two operations of a block.
        self._nodes = np.array([0, 1, *np.repeat(NODES, 2)])[:, None] == np.arange(6)

    def read(self, batch: GraphBatch) -> tuple[Genotypes, NDArray[np.bool_]]:
        codes = self._code[batch.ops[:, 2:10]]
        into = batch.adjacency[:, :10, 2:10].astype(np.int64)
        covered = np.einsum("mst,sk->mtk", into, self._nodes) == self._nodes.sum(axis=0)
        source = covered.argmax(axis=2)
        one = covered.sum(axis=2) == 1
        exact = into.sum(axis=1) == self._nodes.sum(axis=0)[source]
        earlier = source < self._BLOCKS + 2
        distinct = source[:, ::2] != source[:, 1::2]
        ends = (batch.ops[:, [0, 1, 10]] == [0, 1, self._last]).all(axis=1)
        concatenated = (batch.adjacency[:, :10, 10] == (np.arange(10) >= 2)).all(axis=1)
        apart = ~batch.adjacency[:, 0, 1].astype(np.bool_)
        legal = (one & exact & earlier & (codes >= 0)).all(axis=1) & distinct.all(axis=1) & ends & concatenated & apart
        safe = np.where(legal[:, None], source, np.tile([0, 1], 4))
        return self._genotypes(safe, np.maximum(codes, 0)), legal

    def loose(self, batch: GraphBatch) -> NDArray[np.bool_]:
        return self.read(batch)[1]

    def nearest(self, operators: Scores, edges: Scores) -> Genotypes:
        codes = operators[:, 2:10, self._columns].argmax(axis=2)
        weights = self._nodes / self._nodes.sum(axis=0)
        scores = np.einsum("mst,sk->mtk", edges[:, :10, 2:10], weights)
        source = np.empty(codes.shape, dtype=np.int64)
        for block, node in enumerate(NODES):
            pairs = np.array(list(itertools.permutations(range(node), 2)))
            a, b = pairs.T
            best = (scores[:, 2 * block, a] + scores[:, 2 * block + 1, b]).argmax(axis=1)
            source[:, 2 * block : 2 * block + 2] = pairs[best]
        return self._genotypes(source, codes)

    def _genotypes(self, source: NDArray[np.int64], codes: NDArray[np.int64]) -> Genotypes:
        both = [np.broadcast_to(part.reshape(-1, 1, 4, 2), (len(part), 2, 4, 2)) for part in (source, codes)]
        return self._space.from_cells(*both)


_GRAMMARS: dict[str, Callable[[Space], Grammar]] = {
    "nasbench101": _FreeCells,
    "nasbench201": _EdgeCells,
    "transnas_micro": _EdgeCells,
    "darts": _PairCells,
}


def grammar(space: Space) -> Grammar:
    """Return the grammar of a space.

    Raises
    ------
    InputError
        If the space has none.
    """
    if space.name not in _GRAMMARS:
        raise InputError(
            f"graphs of space '{space.name}' cannot be decoded; that works in {', '.join(sorted(_GRAMMARS))}"
        )
    return _GRAMMARS[space.name](get_space(space.spec))
