"""The public network against layers written out by hand."""

from __future__ import annotations

import pytest
import torch

from ogive.nn.residual import ResidualNetwork


@pytest.mark.parametrize(("width", "shape", "n_outputs"), [(16, (3, 32, 32), 10), (4, (1, 8, 8), 3), (2, (1, 7, 5), 2)])
def test_it_has_the_weights_of_seven_convolutions_two_shortcuts_and_a_head(width, shape, n_outputs):
    w, c = width, shape[0]
    convs = 9 * (c * w + 2 * w * w + w * 2 * w + 4 * w * w + 2 * w * 4 * w + 16 * w * w) + 2 * w * w + 8 * w * w
    norms = 2 * (w + 2 * w + 3 * 2 * w + 3 * 4 * w + 4 * w)
    model = ResidualNetwork(width, shape, n_outputs)
    assert sum(p.numel() for p in model.parameters()) == convs + norms + (4 * w + 1) * n_outputs
    assert model(torch.rand(3, *shape)).shape == (3, n_outputs)
