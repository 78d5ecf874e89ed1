"""NAS-Bench-101 against its published records, its published definition of the hash, and every renaming by hand."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogive._errors import ArchStringError, InputError
from ogive.metrics.counts import count_module
from ogive.spaces.base import Shape, get_space
from ogive.spaces.nasbench101 import EDGES, OPS, NASBench101, vertex_channels
from tests.spaces.damage import EDITS, check_damaged

SPACE = NASBench101()
CIFAR = Shape((3, 32, 32), 10)

RECORD = (
    "0100110001000000010010000010000001000000010000000:"
    "input,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output"
)
"""The first record of the published table."""

INCEPTION = (
    "0111010000000100000010000100000000100000010000000:"
    "input,conv1x1-bn-relu,conv3x3-bn-relu,conv3x3-bn-relu,conv3x3-bn-relu,maxpool3x3,output"
)
"""The example cell of the benchmark's own notebook."""


# -------------------------------------------------------------------- independent definitions


def prune(matrix, ops):
    """Walk forwards and backwards with sets; return the kept rows and columns, or None."""
    n = len(matrix)
    forward, backward = {0}, {n - 1}
    for _ in range(n):
        forward |= {t for s in forward for t in range(n) if matrix[s][t]}
        backward |= {s for t in backward for s in range(n) if matrix[s][t]}
    keep = sorted(forward & backward)
    if not {0, n - 1} <= set(keep):
        return None
    return [[int(matrix[s][t]) for t in keep] for s in keep], [ops[v] for v in keep]


def published_hash(matrix, labels):
    """The definition, written from its description: colours refined by what enters and leaves a vertex."""

    def digest(text):
        return hashlib.md5(text.encode()).hexdigest()

    vertices = range(len(labels))
    colour = {}
    for v in vertices:
        leaves, enters = sum(matrix[v]), sum(row[v] for row in matrix)
        colour[v] = digest(f"({leaves}, {enters}, {labels[v]})")
    for _ in vertices:
        old = dict(colour)
        for v in vertices:
            entering = "".join(sorted(old[u] for u in vertices if matrix[u][v]))
            leaving = "".join(sorted(old[u] for u in vertices if matrix[v][u]))
            colour[v] = digest(entering + "|" + leaving + "|" + old[v])
    return digest("[" + ", ".join(f"'{c}'" for c in sorted(colour.values())) + "]")


def matrix_of(row):
    matrix = [[0] * 7 for _ in range(7)]
    for (s, t), bit in zip(EDGES, row, strict=False):
        matrix[s][t] = int(bit)
    return matrix


def smallest_renaming(matrix, labels):
    """The smallest description over all renamings of the inner vertices."""
    v = len(labels)
    best = None
    for inner in itertools.permutations(range(1, v - 1)):
        new = (0, *inner, v - 1)
        edges = tuple(sorted((new[s], new[t]) for s in range(v) for t in range(v) if matrix[s][t]))
        named = tuple(sorted((new[i], labels[i]) for i in range(v)))
        best = min(best or (edges, named), (edges, named))
    return best


def full_graphs(v):
    """Every labelled graph of v vertices, all of them on paths, as strings of the space."""
    pairs = list(itertools.combinations(range(v), 2))
    for bits in itertools.product((0, 1), repeat=len(pairs)):
        if sum(bits) > 9:
            continue
        matrix = np.zeros((v, v), dtype=int)
        for (s, t), bit in zip(pairs, bits, strict=True):
            matrix[s, t] = bit
        if matrix[:-1].any(axis=1).all() and matrix[:, 1:].any(axis=0).all():
            for labels in itertools.product(range(3), repeat=v - 2):
                yield matrix, labels


# -------------------------------------------------------------------- identity


def test_published_records():
    g = SPACE.parse([RECORD, INCEPTION])
    assert SPACE.format(g) == [RECORD, INCEPTION]
    assert SPACE.hash(g)[0] == "00005c142e6f48ac74fdcf73e3439874"
    assert SPACE.count(g, CIFAR)["params"].tolist() == [8_555_530, 2_694_282]


def test_hashes_are_the_published_definition():
    rng = np.random.default_rng(0)
    g = rng.integers(0, SPACE.cardinalities, size=(3000, 26)).astype(np.uint8)
    valid = SPACE.valid(g)
    hashes = iter(SPACE.hash(g[valid]))
    assert valid.sum() >= 1000
    for row, ok in zip(g, valid, strict=True):
        kept = prune(matrix_of(row), [-1, *row[21:].tolist(), -2])
        assert ok == (kept is not None and sum(map(sum, kept[0])) <= 9)
        if ok:
            assert next(hashes) == published_hash(*kept)


def test_equal_hashes_mean_isomorphic_and_the_other_way_round():
    """All labelled graphs of at most five vertices, against every renaming."""
    sizes = []
    for v in (2, 3, 4, 5):
        graphs = list(full_graphs(v))
        bits = ["".join(map(str, m.reshape(-1))) for m, _ in graphs]
        words = [",".join(["input", *(OPS[o] for o in labels), "output"]) for _, labels in graphs]
        g = SPACE.parse([f"{b}:{w}" for b, w in zip(bits, words, strict=True)])
        brute = [smallest_renaming(m, (-1, *labels, -2)) for m, labels in graphs]
        hashes = SPACE.hash(g)
        canonical = SPACE.index(SPACE.canonical(g)).tolist()
        classes = len(set(brute))
        assert len(set(hashes)) == len(set(canonical)) == classes
        assert len(set(zip(hashes, canonical, brute, strict=True))) == classes
        sizes.append(classes)
    assert sizes == [1, 6, 84, 2441]


def test_canonical_is_the_smallest_index_of_all_renamings():
    g = SPACE.sample(200, np.random.default_rng(1))
    for row, found in zip(g, SPACE.index(SPACE.canonical(g)).tolist(), strict=True):
        matrix, labels = prune(matrix_of(row), list(range(7)))
        ops = {v: row[21 + v - 1] for v in labels[1:-1]}
        indices = []
        for places in itertools.permutations(range(1, 6), len(ops)):
            to = {0: 0, 6: 6, **dict(zip(ops, places, strict=True))}
            edges = {(to[labels[s]], to[labels[t]]) for s in range(len(labels)) for t in range(s) if matrix[t][s]}
            edges = {(t, s) for s, t in edges}
            if all(s < t for s, t in edges):
                at = {to[v]: op for v, op in ops.items()}
                bits = [int(e in edges) for e in EDGES] + [at.get(v, 0) for v in range(1, 6)]
                indices.append(int(SPACE.index(np.array([bits]))[0]))
        assert found == min(indices)


def test_size_counts_every_valid_genotype():
    numbers = np.arange(2**21)
    bits = ((numbers[:, None] >> np.arange(20, -1, -1)) & 1).astype(np.uint8)
    g = np.concatenate([bits, np.zeros((2**21, 5), dtype=np.uint8)], axis=1)
    assert SPACE.valid(g).sum() * 3**5 == SPACE.size


@pytest.mark.slow
def test_there_are_423_624_cells():
    numbers = np.arange(2**21)
    bits = ((numbers[:, None] >> np.arange(20, -1, -1)) & 1).astype(np.uint8)
    bits = bits[SPACE.valid(np.concatenate([bits, np.zeros((2**21, 5), dtype=np.uint8)], axis=1))]
    ops = np.array(list(itertools.product(range(3), repeat=5)), dtype=np.uint8)
    plain = np.concatenate([bits, np.zeros((len(bits), 5), dtype=np.uint8)], axis=1)
    shapes = np.unique(SPACE.canonical(plain)[:, :21], axis=0)
    cells = np.concatenate([np.repeat(shapes, 243, axis=0), np.tile(ops, (len(shapes), 1))], axis=1)
    cells = np.unique(SPACE.canonical(cells), axis=0)
    vertices = (SPACE.graph(cells).ops >= 0).sum(axis=1)
    assert np.bincount(vertices)[2:].tolist() == [1, 6, 84, 2441, 62010, 359082]
    assert len(set(SPACE.hash(cells))) == SPACE.n_unique == 423_624


# -------------------------------------------------------------------- networks


def test_vertex_channels_as_published():
    """The cases of the benchmark's own tests: (width, edges, channels of the inner vertices)."""
    cases = [
        (8, 4, [(0, 1), (0, 2), (1, 3), (2, 3)], [4, 4]),
        (15, 4, [(0, 1), (0, 2), (1, 3), (2, 3)], [8, 7]),
        (8, 5, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], [3, 3, 2]),
        (9, 5, [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)], [5, 5, 4]),
        (15, 5, [(0, 1), (0, 3), (1, 2), (1, 4), (2, 3), (3, 4)], [8, 7, 7]),
        (16, 4, [(0, 1), (1, 2), (2, 3)], [16, 16]),
    ]
    for width, v, edges, expected in cases:
        adjacency = np.zeros((1, v, v), dtype=bool)
        for s, t in edges:
            adjacency[0, s, t] = True
        assert vertex_channels(adjacency, width)[0, 1:].tolist() == [*expected, width]


def test_the_smallest_cell_by_hand():
    """Input straight to output: nine projections between a stem and a classifier."""
    counts = SPACE.count(SPACE.parse(["0100:input,output"]), CIFAR)
    stem = 27 * 128 + 256
    cells = [(128, 128)] * 3 + [(128, 256)] + [(256, 256)] * 2 + [(256, 512)] + [(512, 512)] * 2
    assert counts["params"][0] == stem + sum(a * b + 2 * b for a, b in cells) + 5130
    assert counts["depth"][0] == 11


def test_the_order_of_vertices_matters_little():
    g = SPACE.sample(5000, np.random.default_rng(0))
    ours, canonical = (SPACE.count(rows, CIFAR) for rows in (g, SPACE.canonical(g)))
    difference = np.abs(canonical["params"] / ours["params"] - 1)
    assert (difference > 0).mean() == pytest.approx(0.05, abs=0.005)
    assert difference.max() == pytest.approx(0.009, abs=0.0005)
    assert np.array_equal(ours["depth"], canonical["depth"])


def test_closed_form_is_what_the_networks_do():
    import torch

    space = NASBench101(C=9, N=2)
    g = space.sample(12, np.random.default_rng(3))
    counts = space.count(g, CIFAR)
    for i, row in enumerate(g):
        with torch.device("meta"):
            model = space.build(row, CIFAR)
        assert vars(count_module(model, CIFAR.input_shape)) == {k: int(v[i]) for k, v in counts.items()}


# -------------------------------------------------------------------- strings


@pytest.mark.parametrize(
    ("arch", "position", "what"),
    [
        ("0120:input,output", 2, "digit 0 or 1"),
        ("010:input,output", 3, "vertices"),
        ("0100", 4, "expected ':'"),
        ("0110:input,output", 2, "earlier to a later"),
        ("0000:input,output", 0, "no path"),
        ("0100:in,output", 5, "unknown operation 'in'"),
        ("0100:input", 10, "expected 2 operations"),
        ("0100:input,output,output", 17, "expected the end"),
        ("011001000:input,conv3x3,output", 16, "did you mean"),
    ],
)
def test_malformed_strings(arch, position, what):
    with pytest.raises(ArchStringError) as error:
        SPACE.parse(arch)
    assert f"position {position}:" in str(error.value)
    assert what in str(error.value)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), EDITS)
def test_damaged_strings(seed, edits):
    check_damaged(SPACE, SPACE.format(SPACE.sample(1, np.random.default_rng(seed)))[0], edits)


def test_cells_outside_the_space_have_no_hash():
    with pytest.raises(InputError, match="is not an architecture"):
        SPACE.hash(np.zeros((1, 26), dtype=np.uint8))
    assert SPACE.hash(SPACE.sample(0, np.random.default_rng(0))) == []


def test_impossible_widths():
    with pytest.raises(InputError, match="C >= 8"):
        get_space("nasbench101:C=4")
