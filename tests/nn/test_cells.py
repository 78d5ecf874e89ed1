"""Cells and skeletons: what a node adds up, what runs, which shapes come out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ogive.nn.cells import Cell, CellNetwork, ModuleNetwork

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def test_a_node_is_the_sum_of_its_incoming_edges():
    cell = Cell(["skip_connect"] * 6, EDGES, 2, 2)
    x = torch.randn(3, 2, 4, 4)
    # Nodes: x, x, x + x, and x + x + 2x.
    torch.testing.assert_close(cell(x), 4 * x)


def test_nothing_reaches_the_output_of_an_empty_cell():
    cell = Cell(["none"] * 6, EDGES, 2, 4, stride=2)
    out = cell(torch.randn(3, 2, 5, 8))
    assert out.shape == (3, 4, 3, 4)
    assert not out.any()


def test_pooling_does_not_count_the_padding():
    cell = Cell(["none", "none", "none", "avg_pool_3x3", "none", "none"], EDGES, 1, 1)
    torch.testing.assert_close(cell(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 3, 3))


def test_operations_run_on_zeros_and_in_dead_ends_as_in_the_published_networks():
    # 1->2 reads a node that nothing reaches; 0->1 of the other cell leads nowhere.
    for ops, key in (
        (["none", "none", "nor_conv_3x3", "skip_connect", "none", "none"], "1->2"),
        (["nor_conv_1x1", "none", "none", "skip_connect", "none", "none"], "0->1"),
    ):
        cell, seen = Cell(ops, EDGES, 2, 2), []
        cell.edges[key].register_forward_hook(lambda _module, _args, out, seen=seen: seen.append(out))
        x = torch.randn(2, 2, 4, 4)
        torch.testing.assert_close(cell(x), x)
        assert len(seen) == 1


def test_only_edges_from_the_input_change_the_shape():
    cell = Cell(
        ["nor_conv_3x3", "skip_connect", "nor_conv_1x1", "none", "skip_connect", "nor_conv_3x3"], EDGES, 2, 4, 2
    )
    assert cell.edges["0->1"].conv.weight.shape == (4, 2, 3, 3)
    assert cell.edges["1->2"].conv.weight.shape == (4, 4, 1, 1)
    assert isinstance(cell.edges["1->3"], nn.Identity)
    assert cell(torch.randn(2, 2, 8, 8)).shape == (2, 4, 4, 4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 5, 1), (1, 1, 1)])
def test_networks_accept_images_of_any_size(shape):
    x = torch.randn(2, *shape)
    network = CellNetwork(["nor_conv_3x3"] * 6, EDGES, 4, 1, shape, 7).eval()
    assert network(x).shape == (2, 7)
    assert network.features(x).shape == (2, 16)
    blocks = ModuleNetwork(
        lambda a, b, s: Cell(["skip_connect"] * 6, EDGES, a, b, s), [(2, 2), (1, 1)], 4, shape, 7
    ).eval()
    assert blocks(x).shape == (2, 7)
    assert blocks.features(x).shape == (2, 8)


def test_skeleton_has_the_published_stages():
    network = CellNetwork(["skip_connect"] * 6, EDGES, 16, 5, (3, 32, 32), 10)
    sizes, x = [], torch.randn(1, 3, 32, 32)
    for part in (network.stem, network.stage1, network.reduce1, network.stage2, network.reduce2, network.stage3):
        x = part(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (32, 16, 16), (64, 8, 8), (64, 8, 8)]
    assert [len(s) for s in (network.stage1, network.stage2, network.stage3)] == [5, 5, 5]
