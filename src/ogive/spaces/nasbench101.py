"""NAS-Bench-101: cells of up to seven vertices and nine edges with an operation on every inner vertex.

Ying, Klein, Christiansen, Real, Murphy and Hutter, "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
ICML 2019.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import ArchStringError, InputError, nearest
from ogive.spaces.base import SPACES, Choice, Genotypes, Graphs, Space, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.supernet import SuperNetwork

OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""Operations in the order of their published labels 0, 1, 2."""

VERTICES, MAX_EDGES, STACKS = 7, 9, 3

EDGES = tuple(itertools.combinations(range(VERTICES), 2))
"""Possible edges (source, target), row by row of the adjacency matrix."""

_SOURCES, _TARGETS = np.array(EDGES).T
_LAST = VERTICES - 1
_CONV3, _CONV1, _POOL = range(3)
_BLOCK = 16_384


class NASBench101(Space):
    """The space of NAS-Bench-101: 21 possible edges between seven vertices, and five operations.

    A genotype is in the space when, after vertices on no path from input to output are removed, a path is left and at
    most nine edges. 373,754,169 genotypes are, and prune to 423,624 different cells.

    Parameters
    ----------
    C : int
        Channels after the stem and of the first stack, at least 8; the second and third stack have 2C and 4C.
    N : int
        Cells in each of the three stacks. The published benchmark has C=128, N=3.
    """

    name = "nasbench101"
    reference = "Ying et al., NAS-Bench-101, ICML 2019, arXiv 1902.09635"
    buildable = True
    choices = (
        *(Choice(f"{s}->{t}", ("off", "on")) for s, t in EDGES),
        *(Choice(f"op{v}", OPS) for v in range(1, _LAST)),
    )
    size = 373_754_169
    n_unique = 423_624
    """Number of different cells, as published; `canonical` tells them apart."""

    def __init__(self, C: int = 128, N: int = 3) -> None:
        if not (isinstance(C, int) and isinstance(N, int) and C >= 8 and N >= 1):
            raise InputError(f"nasbench101 needs whole numbers C >= 8 and N >= 1, not C={C}, N={N}")
        self.C, self.N = C, N

    @property
    def spec(self) -> str:
        """The text that gives this space again."""
        return self.name if (self.C, self.N) == (128, 3) else f"{self.name}:C={self.C},N={self.N}"

    # ---------------------------------------------------------------- validity and identity

    def valid(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which genotypes have a path from input to output and at most nine edges on such paths."""
        edges, live = _pruned(genotypes)
        return np.asarray(live[:, _LAST] & (edges.sum(axis=1) <= MAX_EDGES))

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return, of all genotypes that prune to isomorphic graphs, the one with the smallest index.

        Two graphs are isomorphic when renaming inner vertices makes edges and operations equal; all 120 renamings are
        tried at once. Isomorphic cells have the same published hash, and no others have.
        """
        edges, live = _pruned(genotypes)
        ops = np.asarray(genotypes)[:, len(EDGES) :] * live[:, 1:_LAST]
        rows = np.concatenate([edges, ops], axis=1).astype(np.float64)
        smallest = [
            (rows[i : i + _BLOCK] @ _renamings(tuple(self._radix.tolist()))).min(axis=1)
            for i in range(0, len(rows), _BLOCK)
        ]
        return self.from_index(np.concatenate([np.empty(0), *smallest]).astype(np.int64))

    def hash(self, genotypes: Genotypes) -> list[str]:
        """Return the published hash of every cell, 32 hexadecimal digits: the key of the benchmark's tables.

        Raises
        ------
        InputError
            If a genotype is not in the space.
        """
        rows, inverse = np.unique(self.canonical(self.check(genotypes)), axis=0, return_inverse=True)
        edges, live = _pruned(rows)
        hashes = []
        # A loop over different cells: the hash is defined on texts.
        for row, on, alive in zip(rows, edges, live, strict=True):
            kept = np.flatnonzero(alive)
            labels = [-1, *(row[len(EDGES) + v - 1] for v in kept[1:-1]), -2]
            hashes.append(graph_hash(_matrix(on[None])[0][np.ix_(kept, kept)], labels))
        return [hashes[i] for i in inverse.reshape(-1).tolist()]

    # ---------------------------------------------------------------- strings

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read the two fields of the published records, joined by a colon: ``0110...:input,maxpool3x3,...,output``.

        The first field is the adjacency matrix of two to seven vertices, row by row, the second the operations. In a
        smaller cell the vertices that are missing stand unconnected before the output.
        """
        array = np.array([_parse(arch) for arch in archs], dtype=self.dtype).reshape(len(archs), self.n_choices)
        for i in np.flatnonzero(~self.valid(array))[:1]:
            raise _failure(archs[i], 0, f"no path from input to output, or more than {MAX_EDGES} edges on such paths")
        return array

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write all seven vertices of every genotype, also those that pruning would remove."""
        g = np.asarray(genotypes)
        digits = _matrix(g[:, : len(EDGES)] == 1).reshape(len(g), -1).astype(np.uint8) + ord("0")
        ops = (",".join(OPS[o] for o in row) for row in g[:, len(EDGES) :].tolist())
        return [f"{bytes(d).decode()}:input,{o},output" for d, o in zip(digits, ops, strict=True)]

    # ---------------------------------------------------------------- graphs and networks

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return the pruned graphs: input, the inner vertices that are left in their order, output."""
        g = np.asarray(genotypes)
        edges, live = _pruned(g)
        ops = np.full(live.shape, len(OPS) + 1, dtype=np.int8)
        ops[:, 0], ops[:, 1:_LAST] = 0, g[:, len(EDGES) :] + 1
        order = np.argsort(~live, axis=1, kind="stable")
        ops = np.where(np.take_along_axis(live, order, axis=1), np.take_along_axis(ops, order, axis=1), -1)
        adjacency = np.take_along_axis(_matrix(edges), order[:, :, None], axis=1)
        return Graphs(ops, np.take_along_axis(adjacency, order[:, None], axis=2), ("input", *OPS, "output"))

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the published network: a stem, three stacks of N cells between max-poolings, a linear head."""
        from ogive.nn.nasbench101 import GraphCellNetwork

        (row,) = self.check(genotype)
        vertices, edges, widths = self._cells(row)
        ops = [OPS[row[len(EDGES) + v - 1]] for v in vertices]
        return GraphCellNetwork(edges, ops, widths, STACKS, image_shape(self.name, task), task.n_outputs)

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the network with all operations on every vertex, as wide as a vertex can be; less is a slice."""
        from ogive.nn.super_nasbench101 import SuperGraphCellNetwork

        widths, shape = self._cell_widths(), image_shape(self.name, task)
        return SuperGraphCellNetwork(self._cells, OPS, VERTICES, widths, STACKS, shape, task.n_outputs)

    def _cells(self, genotype: Sequence[int]) -> tuple[list[int], list[tuple[int, int]], list[list[int]]]:
        """Return which inner vertices a valid genotype keeps, the edges between what is kept, and all widths.

        Edges number the kept vertices anew, with the input and output. Widths are those of the input, the kept
        vertices and the output of every cell of the network.
        """
        pruned, live = _pruned(np.asarray(genotype)[None])
        kept = np.flatnonzero(live[0])
        adjacency = _matrix(pruned)[:, kept][:, :, kept]
        widths = [[c_in, *vertex_channels(adjacency, c)[0, 1:].tolist()] for c_in, c in self._cell_widths()]
        edges = [(int(s), int(t)) for s, t in np.argwhere(adjacency[0])]
        return kept[1:-1].tolist(), edges, widths

    def _cell_widths(self) -> list[tuple[int, int]]:
        """Return the width of the input and of the output of every cell."""
        outputs = [self.C << stack for stack in range(STACKS) for _ in range(self.N)]
        return list(zip([self.C, *outputs], outputs, strict=False))

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]]:
        """Return exact ``params``, ``macs``, ``relus`` and ``depth`` in closed form.

        Where the width does not divide evenly among the vertices that enter the output, the first ones get a channel
        more: isomorphic cells with another order of vertices can differ by a hundredth of their cost.
        """
        edges, live = _pruned(genotypes)
        adjacency, inner = _matrix(edges), live[:, 1:_LAST]
        ops = np.asarray(genotypes)[:, len(EDGES) :]
        area = np.array([9, 1, 0])[ops] * inner
        pools = inner & (ops == _POOL)
        c, h, w = image_shape(self.name, task)
        weights = np.full(len(live), 9 * c * self.C, dtype=np.int64)
        params, macs, relus = weights + 2 * self.C, weights * h * w, np.full_like(weights, self.C * h * w)
        for i, (c_in, c_out) in enumerate(self._cell_widths()):
            if i and i % self.N == 0:
                h, w = -(-h // 2), -(-w // 2)
                relus += 3 * c_in * h * w
            channels = vertex_channels(adjacency, c_out)[:, 1:]
            projected, convolved = channels * adjacency[:, 0, 1:], channels[:, :-1] * (area > 0)
            weights = c_in * projected.sum(axis=1) + (area * channels[:, :-1] ** 2).sum(axis=1)
            normalised = projected.sum(axis=1) + convolved.sum(axis=1)
            params += weights + 2 * normalised
            macs += weights * h * w
            relus += (normalised + 8 * (channels[:, :-1] * pools).sum(axis=1)) * h * w
        c = self.C << (STACKS - 1)
        depth = 2 + STACKS * self.N * _longest_path(adjacency, area > 0)
        return {
            "params": params + (c + 1) * task.n_outputs,
            "macs": macs + c * task.n_outputs,
            "relus": relus,
            "depth": np.where(live[:, _LAST], depth, 0),
        }


def graph_hash(adjacency: NDArray[np.bool_], labels: Sequence[int]) -> str:
    """Return the benchmark's hash of one pruned cell, the same for all isomorphic ones.

    The colour of a vertex starts as the MD5 digest of its out-degree, in-degree and label, and is refined as often as
    there are vertices: a digest of the sorted colours it reads, those that read it, and its own. The hash is the
    digest of all colours, sorted.

    Parameters
    ----------
    adjacency : ndarray of bool, (v, v)
    labels : sequence of int
        -1 for the input, -2 for the output, else the position in `OPS`.
    """
    v = len(labels)
    sources = [np.flatnonzero(column).tolist() for column in np.asarray(adjacency).T]
    targets = [np.flatnonzero(row).tolist() for row in np.asarray(adjacency)]
    colours = [_md5(str((len(targets[i]), len(sources[i]), int(labels[i])))) for i in range(v)]
    for _ in range(v):
        around = [["".join(sorted(colours[j] for j in side[i])) for side in (sources, targets)] for i in range(v)]
        colours = [_md5("|".join([*around[i], colours[i]])) for i in range(v)]
    return _md5(str(sorted(colours)))


def vertex_channels(adjacency: NDArray[np.bool_], width: int) -> NDArray[np.int64]:
    """Return the number of channels of every vertex of pruned cells whose output has `width`, ``(n, v)``.

    The vertices that enter the output share its width evenly, the first ones taking a channel more where it does not
    divide; any other vertex is as wide as the widest it enters. The entry of the input vertex is 0.
    """
    n, v, _ = adjacency.shape
    last = v - 1
    ends = adjacency[:, 1:last, last]
    degree = np.maximum(ends.sum(axis=1), 1)[:, None]
    channels = np.zeros((n, v), dtype=np.int64)
    channels[:, 1:last] = ends * (width // degree + (np.cumsum(ends, axis=1) <= width % degree))
    for vertex in range(last - 2, 0, -1):
        widest = (channels[:, :last] * adjacency[:, vertex, :last]).max(axis=1)
        channels[:, vertex] = np.where(ends[:, vertex - 1], channels[:, vertex], widest)
    channels[:, last] = width
    return channels


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _matrix(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    out = np.zeros((len(edges), VERTICES, VERTICES), dtype=np.bool_)
    out[:, _SOURCES, _TARGETS] = edges
    return out


def _pruned(genotypes: Genotypes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which edges and which vertices lie on a path from input to output, ``(n, 21)`` and ``(n, 7)``."""
    edges = np.asarray(genotypes)[:, : len(EDGES)] == 1
    reached, reaching = np.zeros((2, VERTICES, len(edges)), dtype=np.bool_)
    reached[0], reaching[_LAST] = True, True
    for i, (s, t) in enumerate(EDGES):
        reached[t] |= reached[s] & edges[:, i]
    for i, (s, t) in reversed(list(enumerate(EDGES))):
        reaching[s] |= reaching[t] & edges[:, i]
    live = (reached & reaching).T
    return edges & live[:, _SOURCES] & live[:, _TARGETS], live


def _longest_path(adjacency: NDArray[np.bool_], weighted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the most weight layers on a path through each cell; the projection of its input is one of them."""
    longest = np.zeros((VERTICES, len(adjacency)), dtype=np.int64)
    for t in range(1, VERTICES):
        through = [longest[s] * adjacency[:, s, t] for s in range(1, t)]
        longest[t] = np.max([adjacency[:, 0, t].astype(np.int64), *through], axis=0)
        if t < _LAST:
            longest[t] += weighted[:, t - 1]
    return np.asarray(longest[_LAST])


@cache
def _renamings(radix: tuple[int, ...]) -> NDArray[np.float64]:
    """Return, for every renaming of the inner vertices, what each edge and operation adds to the index, (26, 120)."""
    number = {edge: i for i, edge in enumerate(EDGES)}
    backwards = 2**40
    columns = []
    for inner in itertools.permutations(range(1, _LAST)):
        to = (0, *inner, _LAST)
        edges = [radix[number[to[s], to[t]]] if to[s] < to[t] else backwards for s, t in EDGES]
        columns.append([*edges, *(radix[len(EDGES) + v - 1] for v in inner)])
    return np.array(columns, dtype=np.float64).T


def _failure(arch: str, at: int, what: str) -> ArchStringError:
    return ArchStringError(
        f"architecture string '{arch}' of space 'nasbench101', position {at}: {what}; "
        "write the rows of the adjacency matrix, ':' and input,op,...,output"
    )


def _parse(arch: str) -> list[int]:
    """Read one string; every error names the position."""
    digits, colon, words = arch.partition(":")
    v = math.isqrt(len(digits))
    for at, digit in enumerate(digits):
        if digit not in "01":
            raise _failure(arch, at, "expected a digit 0 or 1")
    if v * v != len(digits) or not 2 <= v <= VERTICES or not colon:
        raise _failure(arch, len(digits), f"expected ':' after the v * v digits of 2 to {VERTICES} vertices")
    for at, digit in enumerate(digits):
        if digit == "1" and at % v <= at // v:
            raise _failure(arch, at, "an edge goes from an earlier to a later vertex")
    at, ops = len(digits) + 1, words.split(",")
    for i in range(v):
        legal = OPS if 0 < i < v - 1 else ("input",) if i == 0 else ("output",)
        if i >= len(ops):
            raise _failure(arch, len(arch), f"expected {v} operations, found {len(ops)}")
        if ops[i] not in legal:
            raise _failure(arch, at, f"unknown operation '{ops[i]}' ({nearest(ops[i], legal)})")
        at += len(ops[i]) + 1
    if len(ops) > v:
        raise _failure(arch, at - 1, "expected the end")
    place = [*range(v - 1), _LAST]
    on = {(place[at // v], place[at % v]) for at, digit in enumerate(digits) if digit == "1"}
    codes = [OPS.index(op) for op in ops[1:-1]]
    return [*(int(edge in on) for edge in EDGES), *codes, *[_CONV3] * (VERTICES - v)]


SPACES.add("nasbench101", NASBench101)
