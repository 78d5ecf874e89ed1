"""NAS-Bench-201 against its published table: order, classes, graphs."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ogive._errors import ArchStringError, InputError
from ogive.spaces.base import Shape, get_space
from ogive.spaces.nasbench201 import OPS, NASBench201

SPACE = NASBench201()


def test_the_official_order_is_that_of_the_published_table(shared):
    table = pd.read_csv(shared / "nasbench201.csv.gz")
    assert SPACE.format(SPACE.from_index(SPACE.official())) == list(table["arch"])
    assert SPACE.size == len(table) == 15625


def test_classes_are_the_published_ones(shared):
    with np.load(shared / "nb360_nb201_tables.npz") as tables:
        published = tables["rep"].astype(np.int64)
    cells = SPACE.from_index(SPACE.official())
    number = np.empty(SPACE.size, dtype=np.int64)
    number[SPACE.official()] = np.arange(SPACE.size)
    ours = number[SPACE.index(SPACE.canonical(cells))]
    assert len(np.unique(ours)) == len(np.unique(published)) == 6466
    # The same partition: as many pairs as classes on either side.
    assert len(np.unique(np.stack([ours, published]), axis=1).T) == 6466
    # And the representative is the class's first member in official order.
    assert (ours <= np.arange(SPACE.size)).all()


def test_published_classes_do_not_tell_one_convolution_used_twice_from_two():
    twice = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
    two = "|none~0|+|nor_conv_1x1~0|none~1|+|nor_conv_1x1~0|none~1|skip_connect~2|"
    g = SPACE.parse([twice, two])
    assert len(np.unique(SPACE.canonical(g), axis=0)) == 1
    assert np.diff(SPACE.count(g, Shape((3, 32, 32), 10))["params"])[0] == 5 * sum(c * c + 2 * c for c in (16, 32, 64))


@pytest.mark.parametrize(
    ("arch", "position", "what"),
    [
        ("", 0, "expected '|'"),
        ("nor_conv_3x3~0", 0, "expected '|'"),
        ("|nor_conv_3x3|+|none~0|none~1|+|none~0|none~1|none~2|", 1, "an operation, '~' and a node"),
        ("|nor_conv_5x5~0|+|none~0|none~1|+|none~0|none~1|none~2|", 1, "did you mean 'nor_conv"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", 6, "expected node 0, found 1"),
        ("|none~0|-|none~0|none~1|+|none~0|none~1|none~2|", 8, "expected '+'"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2", 46, "expected '|'"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2| ", 47, "expected the end"),
    ],
)
def test_malformed_strings(arch, position, what):
    with pytest.raises(ArchStringError) as error:
        SPACE.parse(arch)
    assert f"position {position}:" in str(error.value)
    assert what in str(error.value)


def test_graph_is_the_operations_on_nodes_form():
    graphs = SPACE.graph(np.array([[0, 1, 2, 3, 4, 0]]))
    assert graphs.vocabulary == ("input", *OPS, "output")
    assert graphs.ops[0].tolist() == [0, 1, 2, 3, 4, 5, 1, 6]
    # Yan et al., arch2vec, NeurIPS 2020: 0-1, 0-2, 0-4, 1-3, 1-5, 2-6, 3-6, 4-7, 5-7, 6-7.
    edges = [(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7)]
    assert np.argwhere(graphs.adjacency[0]).tolist() == [list(e) for e in edges]


def test_counts_of_all_725_published_cells(shared):
    table = pd.read_csv(shared / "nasbench201_zero_cost_cifar10.csv.gz")
    assert len(table) == 725
    counts = SPACE.count(SPACE.parse(list(table["arch"])), Shape((3, 32, 32), 10))
    written = np.array([float(f"{p / 1e6:.6g}") for p in counts["params"]])
    assert np.array_equal(written, table["params"])


def test_counts_of_the_reference_networks_of_two_other_implementations(shared):
    archs = json.loads((shared / "zero_cost_reference.json").read_text())["archs"].values()
    counts = SPACE.count(SPACE.parse([a["arch_str"] for a in archs]), Shape((3, 32, 32), 10))
    assert len(archs) == 21
    assert counts["params"].tolist() == [a["params"] for a in archs]
    assert counts["macs"].tolist() == [a["macs_conv_linear"] for a in archs]


def test_the_published_flops_column_is_macs_plus_elementwise_work(shared):
    """The column adds to the multiply-accumulates 2 for each batch-norm element, 1 for each ReLU, k*k for each
    average-pooling output, and (8 + 1)**2 for each output of the global pooling over 8 x 8 (off by one a side)."""
    table = pd.read_csv(shared / "nasbench201_zero_cost_cifar10.csv.gz")
    g = SPACE.parse(list(table["arch"]))
    counts = SPACE.count(g, Shape((3, 32, 32), 10))
    maps = [16 * 32 * 32, 32 * 16 * 16, 64 * 8 * 8]
    convolutions, poolings = np.isin(g, (2, 3)).sum(axis=1), (g == 4).sum(axis=1)
    batch_norm = maps[0] + 2 * maps[1] + 2 * maps[2] + maps[2] + 5 * sum(maps) * convolutions
    pooling = 9 * 5 * sum(maps) * poolings + 4 * (16 * 16 * 16 + 32 * 8 * 8) + 9**2 * 64
    flops = counts["macs"] + 2 * batch_norm + counts["relus"] + pooling
    written = np.array([float(f"{f / 1e6:.6g}") for f in flops])
    assert np.array_equal(written, table["flops"])


def test_published_anchors_of_the_all_3x3_cell():
    counts = SPACE.count(np.full((1, 6), OPS.index("nor_conv_3x3")), Shape((3, 32, 32), 10))
    assert counts["params"][0] == 1_531_546
    assert counts["macs"][0] == 220_119_680


@pytest.mark.parametrize(
    ("arch", "relus"),
    [
        # No convolution: first reduction 16*32*32 + 32*16*16, second 32*16*16 + 64*8*8, last map 64*8*8.
        (
            "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
            (16384 + 8192) + (8192 + 4096) + 4096,
        ),
        # One convolution a cell, five cells a stage on maps of 16384, 8192 and 4096 elements.
        (
            "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
            5 * (16384 + 8192 + 4096) + (16384 + 8192) + (8192 + 4096) + 4096,
        ),
        # Four convolutions a cell: 1x1 and 3x3 alike, one of them fed by a node that carries zeros; pooling is free.
        (
            "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_1x1~2|",
            4 * 5 * (16384 + 8192 + 4096) + (16384 + 8192) + (8192 + 4096) + 4096,
        ),
    ],
)
def test_relus_by_hand(arch, relus):
    assert SPACE.count(SPACE.parse([arch]), Shape((3, 32, 32), 10))["relus"][0] == relus


def brute_depth(genotype):
    """Longest path by trying all four paths from node 0 to node 3: through neither, either, or both inner nodes."""
    op = dict(zip([(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)], genotype, strict=True))
    best = None
    for path in ([0, 3], [0, 1, 3], [0, 2, 3], [0, 1, 2, 3]):
        ops = [op[e] for e in pairwise(path)]
        if 0 not in ops:
            weighted = sum(o in (2, 3) for o in ops)
            best = weighted if best is None else max(best, weighted)
    return 0 if best is None else 1 + 15 * best + 4 + 1


def test_depth_of_every_cell_is_that_of_its_longest_path():
    g = SPACE.enumerate()
    depth = SPACE.count(g, Shape((3, 32, 32), 10))["depth"]
    assert depth.tolist() == [brute_depth(row) for row in g.tolist()]
    assert depth[0] == 0


def test_options_and_shapes_that_make_no_sense():
    with pytest.raises(InputError, match="C >= 1"):
        get_space("nasbench201:C=0")
    with pytest.raises(InputError, match="whole numbers"):
        get_space("nasbench201:C=1.5")
    with pytest.raises(InputError, match="channels, height, width"):
        SPACE.build(np.zeros(6, dtype=int), Shape((64,), 2))
