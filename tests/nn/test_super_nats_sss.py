"""Paths of the size space's supernet against plain networks; channels that are not chosen must not matter."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.spaces.base import Shape
from ogive.training.supernet import Supernet
from tests.nn.test_super_mobile import randomise

TASK = Shape((3, 7, 6), 5)


@cache
def supernet():
    made = Supernet("nats_sss", TASK)
    randomise(made.network)
    made.network.eval()
    return made


def images(n=2):
    return torch.randn(n, *TASK.input_shape, generator=torch.Generator().manual_seed(0))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=5, max_size=5))
def test_a_path_taken_out_computes_what_it_computed_inside(codes):
    made, path = supernet(), np.array(codes, dtype=np.uint8)
    with torch.inference_mode():
        inside, alone = made.forward(images(), path), made.extract(path).eval()(images())
    assert (inside - alone).abs().max() <= 1e-6 * alone.abs().max().clamp(min=1)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=5, max_size=5))
def test_nothing_but_the_first_channels_is_used(codes):
    made, path = Supernet("nats_sss", TASK), np.array(codes, dtype=np.uint8)
    made.network.eval()
    with torch.no_grad():
        expected = made.forward(images(), path)
        views = made.network.active_state()
        kept = {name: view.clone() for name, view in views.items()}
        for tensor in [*made.network.parameters(), *made.network.buffers()]:
            tensor.fill_(torch.nan if tensor.is_floating_point() else 0)
        for name, view in views.items():
            view.copy_(kept[name])
        assert torch.equal(made.network(images()), expected)


def test_the_skip_of_a_cell_is_a_convolution_only_where_the_width_changes():
    made = supernet()
    skip = made.network.body[2].edges["0->3"]
    made.select(np.array([1, 3, 3, 0, 2], dtype=np.uint8))
    x = torch.randn(2, 32, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(skip(x), x)
        made.select(np.array([1, 3, 4, 0, 2], dtype=np.uint8))
        conv, norm = skip.table[1]
        narrow = F.conv2d(x, conv.weight[:40, :32])
        statistics = norm.running_mean[:40], norm.running_var[:40], norm.weight[:40], norm.bias[:40]
        assert torch.allclose(skip(x), F.batch_norm(narrow, *statistics, eps=norm.eps), atol=1e-5)
    # The first cell is as wide as the stem.
    assert isinstance(made.network.body[0].edges["0->3"], nn.Identity)


def test_training_a_narrow_path_moves_its_channels_only():
    made = Supernet("nats_sss", TASK)
    made.network.train()
    path = np.array([0, 1, 2, 3, 4], dtype=np.uint8)
    alone = made.extract(path).train()
    for network in (lambda x: made.forward(x, path), alone):
        network(images(8)).square().sum().backward()
    wide = made.network.head.weight.grad
    assert torch.allclose(wide[:, :40], alone.head.weight.grad, atol=1e-5)
    assert not wide[:, 40:].any()
    statistics = made.network.last[0].running_mean
    assert torch.allclose(statistics[:40], alone.last[0].running_mean, atol=1e-6)
    assert not statistics[40:].any()


def test_widths_cannot_be_mixed():
    with pytest.raises(InputError, match="cannot be mixed"):
        supernet().network.mix([torch.ones(8) / 8] * 5)
