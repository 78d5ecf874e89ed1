"""The cell that changes its width against the same layers called one by one."""

from __future__ import annotations

import torch
from torch import nn

from ogive.nn.nats_sss import SizedNetwork, sized_cell
from ogive.spaces._cells import EDGES
from ogive.spaces.nats_sss import CELL


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_skip_of_a_widening_cell_is_a_convolution_without_relu():
    cell = sized_cell(CELL, EDGES, 3, 5).eval()
    x = seeded(2, 3, 6, 6)
    e = cell.edges
    with torch.no_grad():
        skip = nn.functional.conv2d(x, e["0->3"][0].weight) / (1 + e["0->3"][1].eps) ** 0.5
        n1 = e["0->1"](x)
        n2 = e["0->2"](x) + e["1->2"](n1)
        assert torch.allclose(cell(x), skip + e["1->3"](n1) + e["2->3"](n2), atol=1e-5)
    assert isinstance(sized_cell(CELL, EDGES, 4, 4).edges["0->3"], nn.Identity)


def test_network_is_cells_and_reductions_in_turn():
    model = SizedNetwork(CELL, EDGES, [8, 16, 24, 32, 40], (3, 12, 12), 7).eval()
    shapes = []
    for part in model.body:
        part.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert model(seeded(2, 3, 12, 12)).shape == (2, 7)
    assert shapes == [(8, 12, 12), (16, 6, 6), (24, 6, 6), (32, 3, 3), (40, 3, 3)]
