"""Both spaces of TransNAS-Bench-101 against their published tables."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from ogive._errors import ArchStringError, InputError
from ogive.spaces.base import Shape, get_space
from ogive.spaces.transnas import TransNASMacro, TransNASMicro

MICRO, MACRO = TransNASMicro(), TransNASMacro()
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


@pytest.mark.parametrize(("space", "name", "size"), [(MICRO, "micro", 4096), (MACRO, "macro", 3256)])
def test_the_space_is_exactly_the_published_table(shared, space, name, size):
    table = pd.read_csv(shared / f"transnasbench101_{name}.csv.gz")
    archs = space.format(space.enumerate())
    assert len(archs) == len(table) == space.size == size
    assert set(archs) == set(table["arch"])


def function_by_permutation(cell):
    """Smallest description of what a cell computes over all numberings of its live layers."""
    nodes, layers = {0: Counter({"x": 1})}, {}
    for t in (1, 2, 3):
        total = Counter()
        for i, (op, (s, target)) in enumerate(zip(cell, EDGES, strict=True)):
            if target != t or op == 0 or not nodes[s]:
                continue
            if op == 1 and s:
                total += nodes[s]
            else:
                layers[i] = (op, nodes[s])
                total[i] += 1
        nodes[t] = total
    live, todo = set(), [i for i in nodes[3] if i != "x"]
    while todo:
        i = todo.pop()
        if i not in live:
            live.add(i)
            todo += [j for j in layers[i][1] if j != "x"]
    best = None
    for order in itertools.permutations(range(len(live))):
        number = dict(zip(sorted(live), order, strict=True)) | {"x": -1}
        told = [(number[i], layers[i][0], sorted((number[j], n) for j, n in layers[i][1].items())) for i in live]
        key = str((sorted(told), sorted((number[j], n) for j, n in nodes[3].items())))
        best = key if best is None else min(best, key)
    return best


def test_classes_of_all_cells_are_those_of_trying_every_numbering():
    cells = MICRO.enumerate()
    ours = MICRO.index(MICRO.canonical(cells)).tolist()
    brute = [function_by_permutation(c) for c in cells.tolist()]
    assert len(set(ours)) == len(set(brute)) == len(set(zip(ours, brute, strict=True))) == 1376


def test_no_row_of_the_table_spans_two_classes(shared):
    """Where the benchmark trained once for several cells, we call them the same too; it trained 2,994 times."""
    table = pd.read_csv(shared / "transnasbench101_micro.csv.gz")
    row = table.filter(like="_val").apply(tuple, axis=1).astype("category").cat.codes
    cells = MICRO.index(MICRO.canonical(MICRO.parse(list(table["arch"]))))
    assert row.nunique() == 2994
    assert pd.Series(cells).groupby(row).nunique().max() == 1
    assert len(np.unique(cells)) == 1376


def test_disconnected_cells_are_one_class_of_depth_zero(shared):
    table = pd.read_csv(shared / "transnasbench101_micro.csv.gz")
    g = MICRO.parse(list(table["arch"]))
    dead = (table["class_scene_val"].round(4) == 7.4841).to_numpy()
    assert dead.sum() == 169
    assert np.array_equal(MICRO.count(g, Shape((3, 256, 256), 63))["depth"] == 0, dead)
    assert np.array_equal((MICRO.canonical(g) == 0).all(axis=1), dead)


@pytest.mark.parametrize(
    ("space", "arch", "position", "what"),
    [
        (MICRO, "64-41414-1_02_334", 16, "digit 0 to 3"),
        (MICRO, "64-41414-1-02_333", 10, "expected '_'"),
        (MICRO, "32-41414-1_02_333", 0, "expected '6'"),
        (MICRO, "64-41414-1_02_3331", 17, "expected the end"),
        (MICRO, "64-41414-1_02_33", 16, "digit 0 to 3"),
        (MACRO, "64-1234", 7, "expected '-basic'"),
        (MACRO, "64-123-basic", 6, "at least 4 digits"),
        (MACRO, "64-1234123-basic", 9, "at most 6 digits"),
        (MACRO, "64-1235-basic", 6, "digit 1 to 4"),
        (MACRO, "64-1111-basic", 3, "1 to 4 modules that halve"),
        (MACRO, "64-1234-basics", 7, "expected '-basic'"),
    ],
)
def test_malformed_strings(space, arch, position, what):
    with pytest.raises(ArchStringError) as error:
        space.parse(arch)
    assert f"position {position}:" in str(error.value)
    assert what in str(error.value)


def test_macro_counts_by_hand():
    """The smallest interesting network, 64-4111-basic on 3 x 32 x 32, worked out layer by layer."""
    counts = MACRO.count(MACRO.parse(["64-4111-basic"]), Shape((3, 32, 32), 10))
    stem = 3 * 32 * 9 + 2 * 32 + 32 * 64 * 9 + 2 * 64
    widening = 64 * 128 * 9 + 128 * 128 * 9 + 64 * 128 + 3 * 2 * 128
    block = 2 * (128 * 128 * 9 + 2 * 128)
    head = 128 * 10 + 10
    assert counts["params"][0] == stem + widening + 7 * block + head
    # Resolutions: 16 x 16 and 8 x 8 in the stem, 4 x 4 from the first module on.
    macs = 3 * 32 * 9 * 256 + 32 * 64 * 9 * 64 + (64 * 128 * 9 + 128 * 128 * 9 + 64 * 128) * 16
    assert counts["macs"][0] == macs + 14 * 128 * 128 * 9 * 16 + 1280
    assert counts["relus"][0] == 32 * 256 + (64 * 64 + 128 * 16) + 14 * 128 * 16
    assert counts["depth"][0] == 2 + 4 * 4 + 1


def test_micro_counts_by_hand():
    """A skip from input to output: factorised reductions in the three cells that reduce, nothing elsewhere."""
    counts = MICRO.count(MICRO.parse(["64-41414-0_00_100"]), Shape((3, 64, 64), 75))
    stem = 3 * 32 * 9 + 2 * 32 + 32 * 64 * 9 + 2 * 64
    reductions = sum(c * 2 * c + 2 * 2 * c for c in (64, 128, 256))
    assert counts["params"][0] == stem + reductions + 512 * 75 + 75
    # The stem leaves 16 x 16; each reduction halves it.
    macs = 3 * 32 * 9 * 1024 + 32 * 64 * 9 * 256
    macs += 64 * 128 * 64 + 128 * 256 * 16 + 256 * 512 * 4
    assert counts["macs"][0] == macs + 512 * 75
    assert counts["relus"][0] == 32 * 1024 + 64 * 256 + 128 * 64 + 256 * 16
    assert counts["depth"][0] == 2 + 3 + 1


def test_macro_graphs_are_chains_as_long_as_the_network():
    graphs = MACRO.graph(MACRO.parse(["64-1234-basic", "64-112434-basic"]))
    assert graphs.vocabulary == ("input", "normal", "wider", "half", "half_wider", "output")
    assert graphs.ops.tolist() == [[0, 1, 2, 3, 4, 5, -1, -1], [0, 1, 1, 2, 4, 3, 4, 5]]
    assert graphs.adjacency.sum(axis=(1, 2)).tolist() == [5, 7]


def test_width_is_part_of_spec_and_string():
    space = get_space("transnas_macro:C=16")
    assert space.spec == "transnas_macro:C=16"
    assert space.format(space.parse("16-1234-basic")) == "16-1234-basic"
    with pytest.raises(InputError, match="even whole number"):
        get_space("transnas_micro:C=15")
