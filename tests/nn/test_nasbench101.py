"""The cell of NAS-Bench-101 against the same layers called one by one."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ogive.nn.nasbench101 import GraphCell, GraphCellNetwork


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def layer(block, x):
    """Convolution, batch norm in evaluation mode, ReLU, from the raw weights."""
    kernel = block.conv.weight.shape[-1]
    y = F.conv2d(x, block.conv.weight, padding=kernel // 2)
    scale = block.bn.weight / torch.sqrt(block.bn.running_var + block.bn.eps)
    y = (y - block.bn.running_mean[:, None, None]) * scale[:, None, None] + block.bn.bias[:, None, None]
    return y.clamp(min=0)


def test_cell_adds_truncates_projects_and_concatenates():
    """Vertex 1 is one channel wider than vertex 2, which reads it; the input also reaches the output."""
    edges = [(0, 1), (0, 2), (0, 4), (1, 2), (1, 4), (2, 3), (2, 4), (3, 4)]
    ops = ["conv3x3-bn-relu", "maxpool3x3", "conv1x1-bn-relu"]
    cell = GraphCell(edges, ops, [5, 3, 2, 2, 7]).eval()
    for module in cell.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(seeded(module.num_features))
            module.running_var.uniform_(0.5, 2.0)
    x = seeded(2, 5, 6, 6)
    with torch.no_grad():
        v1 = layer(cell.ops[0], layer(cell.projections["1"], x))
        v2 = F.max_pool2d(v1[:, :2] + layer(cell.projections["2"], x), 3, 1, 1)
        v3 = layer(cell.ops[2], v2)
        out = torch.cat([v1, v2, v3], dim=1) + layer(cell.projections["4"], x)
        assert torch.allclose(cell(x), out, atol=1e-5)


def test_input_straight_to_output_is_a_projection():
    cell = GraphCell([(0, 1)], [], [4, 6]).eval()
    x = seeded(2, 4, 5, 5)
    with torch.no_grad():
        assert torch.allclose(cell(x), layer(cell.projections["1"], x), atol=1e-6)


def test_network_halves_between_stacks():
    widths = [(8, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32)]
    model = GraphCellNetwork([(0, 1)], [], widths, 3, (3, 11, 10), 4).eval()
    sides = []
    for module in model.body:
        module.register_forward_hook(lambda _m, _i, out: sides.append(tuple(out.shape[1:])))
    with torch.no_grad():
        x = seeded(2, 3, 11, 10)
        pooled = model.body(model.stem(x)).mean(dim=(2, 3))
        assert torch.allclose(model(x), pooled @ model.head.weight.T + model.head.bias, atol=1e-5)
    cells = [(8, 11, 10)] * 2 + [(8, 6, 5)] + [(16, 6, 5)] * 2 + [(16, 3, 3)] + [(32, 3, 3)] * 2
    assert sides[:8] == cells
