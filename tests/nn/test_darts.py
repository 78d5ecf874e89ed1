"""The DARTS cell and network against the same layers called one by one."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ogive.nn.darts import DartsNetwork, TwoInputCell, cell_operation
from ogive.nn.separable import dilated_conv, separable_conv

EDGES = [
    ("sep_conv_3x3", 0),
    ("skip_connect", 1),
    ("max_pool_3x3", 0),
    ("avg_pool_3x3", 2),
    ("dil_conv_5x5", 1),
    ("none", 3),
    ("none", 0),
    ("none", 2),
]


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_separable_and_dilated_convolutions_are_depthwise_then_pointwise():
    x = seeded(2, 4, 9, 9)
    with torch.no_grad():
        block = dilated_conv(4, 5, 2).eval()
        depthwise = F.conv2d(x.relu(), block[1].weight, stride=2, padding=4, dilation=2, groups=4)
        pointwise = F.conv2d(depthwise, block[2].weight) / (1 + block[3].eps) ** 0.5
        assert torch.allclose(block(x), pointwise, atol=1e-5)
        twice = separable_conv(4, 3, 2).eval()
        y = x
        for half, stride in zip(twice, (2, 1), strict=True):
            y = F.conv2d(y.relu(), half[1].weight, stride=stride, padding=1, groups=4)
            y = F.conv2d(y, half[2].weight) / (1 + half[3].eps) ** 0.5
        assert torch.allclose(twice(x), y, atol=1e-5)


def test_every_operation_halves_alike():
    for op in ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"):
        for side in (7, 8):
            assert cell_operation(op, 4, 2).eval()(seeded(1, 4, side, side)).shape == (1, 4, 4, 4)
            assert cell_operation(op, 4, 1).eval()(seeded(1, 4, side, side)).shape == (1, 4, side, side)
    assert cell_operation("none", 4, 1) is None


def test_cell_sums_two_operations_a_node_and_concatenates():
    for stride in (1, 2):
        cell = TwoInputCell(EDGES, 6, 5, 4, stride, halve_before=True).eval()
        before, last = seeded(2, 6, 16, 16), seeded(2, 5, 8, 8)
        with torch.no_grad():
            a, b = cell.before(before), cell.last(last)
            n2 = cell.ops["0"](a) + cell.ops["1"](b)
            n3 = F.max_pool2d(a, 3, stride, 1) + F.avg_pool2d(n2, 3, 1, 1, count_include_pad=False)
            n4 = cell.ops["4"](b)
            out = torch.cat([n2, n3, n4, torch.zeros_like(n4)], dim=1)
            assert torch.allclose(cell(before, last), out, atol=1e-6)


def test_network_reads_two_cells_back_and_reduces_at_thirds():
    edges = [("skip_connect", 0), ("skip_connect", 1)] * 4
    model = DartsNetwork(edges, edges, 2, 6, (3, 16, 16), 5).eval()
    assert [cell.stride for cell in model.cells] == [1, 1, 2, 1, 2, 1]
    x = seeded(2, 3, 16, 16)
    with torch.no_grad():
        states = [model.stem(x), model.stem(x)]
        for cell in model.cells:
            states.append(cell(states[-2], states[-1]))
        logits = model.head(states[-1].mean(dim=(2, 3)))
        assert torch.allclose(model(x), logits, atol=1e-6)
    assert [tuple(s.shape[1:]) for s in states[1:]] == [
        (6, 16, 16), (8, 16, 16), (8, 16, 16), (16, 8, 8), (16, 8, 8), (32, 4, 4), (32, 4, 4)
    ]  # fmt: skip
