"""Elastic layers against plain layers whose parameters are cut out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.nn.blocks import ReLUConvBN
from ogive.nn.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear, elastic, resize


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_narrow_convolution_is_the_first_channels():
    layer = ElasticConv2d(nn.Conv2d(6, 8, 3, stride=2, padding=1))
    layer.resize(4, 5)
    x = seeded(2, 4, 7, 7)
    expected = F.conv2d(x, layer.weight[:5, :4], layer.bias[:5], stride=2, padding=1)
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer.active_state()["weight"], layer.weight[:5, :4])
    layer.resize(c_in=6)
    assert (layer.active_in, layer.active_out) == (6, 5)


def test_a_narrow_depthwise_convolution_stays_depthwise():
    layer = ElasticConv2d(nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False))
    layer.resize(4, 4)
    x = seeded(2, 4, 5, 5)
    channels = [F.conv2d(x[:, [i]], layer.weight[[i]], padding=1) for i in range(4)]
    assert torch.allclose(layer(x), torch.cat(channels, dim=1), atol=1e-6)


def test_groups_keep_their_width():
    layer = ElasticConv2d(nn.Conv2d(6, 9, 1, groups=3))
    layer.resize(4, 6)
    x = seeded(2, 4, 5, 5)
    groups = [F.conv2d(x[:, 2 * g : 2 * g + 2], layer.weight[3 * g : 3 * g + 3]) for g in range(2)]
    expected = torch.cat(groups, dim=1) + layer.bias[:6, None, None]
    assert layer.active_groups == 2
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_a_small_kernel_is_the_centre_and_keeps_the_resolution(stride, dilation):
    layer = ElasticConv2d(nn.Conv2d(2, 3, 7, stride, 3 * dilation, dilation, bias=False), kernels=(3, 5))
    x = seeded(1, 2, 17, 16)
    for kernel, padding in ((7, 3), (5, 2), (3, 1)):
        layer.resize(kernel=kernel)
        centre = layer.weight[:, :, 3 - kernel // 2 : 4 + kernel // 2, 3 - kernel // 2 : 4 + kernel // 2]
        expected = F.conv2d(x, centre, None, stride, padding * dilation, dilation)
        assert torch.equal(layer(x), expected)
        assert expected.shape[2:] == (-(-17 // stride), -(-16 // stride))


def test_a_transformed_kernel_goes_through_all_larger_ones():
    layer = ElasticConv2d(nn.Conv2d(2, 3, 7, padding=3), kernels=(3, 5), transform=True)
    layer.resize(1, 2, kernel=3)
    assert torch.equal(layer.active_weight(), layer.weight[:2, :1, 2:5, 2:5])
    with torch.no_grad():
        layer.transforms["5"].copy_(seeded(25, 25))
        layer.transforms["3"].copy_(seeded(9, 9, seed=1))
    five = torch.einsum("pq,oiq->oip", layer.transforms["5"], layer.weight[:2, :1, 1:6, 1:6].flatten(2))
    three = five.view(2, 1, 5, 5)[..., 1:4, 1:4].flatten(2)
    three = torch.einsum("pq,oiq->oip", layer.transforms["3"], three).view(2, 1, 3, 3)
    assert torch.allclose(layer.active_weight(), three, atol=1e-5)
    layer(seeded(1, 1, 4, 4)).sum().backward()
    assert all(layer.transforms[k].grad.any() for k in ("5", "3"))
    layer.resize(kernel=7)
    assert torch.equal(layer.active_weight(), layer.weight[:2, :1])


def test_drawing_weights_anew_resets_the_transforms():
    layer = ElasticConv2d(nn.Conv2d(2, 3, 5, padding=2), kernels=(3,), transform=True)
    before = layer.weight.clone()
    nn.init.zeros_(layer.transforms["3"])
    layer.reset_parameters()
    assert torch.equal(layer.transforms["3"], torch.eye(9))
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_narrow_batch_norm_moves_the_statistics_of_its_channels_only(momentum):
    layer, plain = ElasticBatchNorm2d(nn.BatchNorm2d(5, momentum=momentum)), nn.BatchNorm2d(3, momentum=momentum)
    layer.resize(3)
    for step in range(2):
        x = seeded(4, 3, 6, 6, seed=step)
        assert torch.equal(layer(x), plain(x))
    assert all(torch.equal(t, plain.state_dict()[name]) for name, t in layer.active_state().items())
    assert torch.equal(layer.running_mean[3:], torch.zeros(2))
    assert torch.equal(layer.running_var[3:], torch.ones(2))
    x = seeded(4, 3, 6, 6)
    assert torch.equal(layer.eval()(x), plain.eval()(x))


def test_a_narrow_linear_layer_is_the_first_inputs_and_outputs():
    layer = ElasticLinear(nn.Linear(5, 4))
    layer.resize(c_in=3, c_out=2)
    x = seeded(2, 3)
    assert torch.allclose(layer(x), x @ layer.weight[:2, :3].T + layer.bias[:2])
    assert [t.shape for t in layer.active_state().values()] == [(2, 3), (2,)]


def small_network():
    return nn.Sequential(ReLUConvBN(6, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)), nn.Flatten())


def test_an_elastic_network_has_the_names_and_the_very_parameters_of_the_plain_one():
    plain = small_network()
    before = dict(plain.named_parameters())
    x = seeded(2, 6, 4, 4)
    expected = plain.eval()(x)
    network = elastic(plain)
    after = dict(network.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is parameter for name, parameter in before.items())
    assert torch.equal(network.eval()(x), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.booleans())
def test_a_resized_row_is_the_plain_row_of_that_size(c_in, c_out, training):
    network = elastic(small_network())
    resize(network, c_in, c_out, c_out)
    narrow = nn.Sequential(
        ReLUConvBN(c_in, c_out, 3), nn.Sequential(nn.Conv2d(c_out, c_out, 1), nn.BatchNorm2d(c_out)), nn.Flatten()
    )
    layers = {n: m for n, m in network.named_modules() if hasattr(m, "active_state")}
    narrow.load_state_dict({f"{n}.{k}": t for n, m in layers.items() for k, t in m.active_state().items()})
    x = seeded(3, c_in, 4, 4)
    wide_out, narrow_out = network.train(training)(x), narrow.train(training)(x)
    assert torch.allclose(wide_out, narrow_out, atol=1e-6)
    wide_out.square().sum().backward()
    narrow_out.square().sum().backward()
    for name, parameter in narrow.named_parameters():
        gradient = network.get_parameter(name).grad
        mine = tuple(slice(0, n) for n in parameter.shape)
        assert torch.allclose(gradient[mine], parameter.grad, atol=1e-4)
        gradient[mine] = 0
        assert not gradient.any()


def test_kernels_apply_to_the_convolutions_that_have_the_largest():
    network = elastic(nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 5, padding=2)), kernels=(3, 5))
    assert [layer.kernels for layer in network] == [(1,), (5, 3)]


def test_sizes_of_a_row_are_given_one_by_one():
    row = elastic(
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 5), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1)), kernels=(3, 5)
    )
    resize(row, 2, 5, 3, kernel=3)
    norm1, wide, norm2, back = row
    assert (norm1.active, norm2.active) == (2, 5)
    assert (wide.active_in, wide.active_out, wide.active_kernel) == (2, 5, 3)
    assert (back.active_in, back.active_out, back.active_kernel) == (5, 3, 1)
    with pytest.raises(InputError, match="2 convolutions has 3 widths, not 2"):
        resize(row, 2, 5)


@pytest.mark.parametrize(
    "options", [{"kernel_size": (3, 1)}, {"kernel_size": 3, "stride": (1, 2)}, {"kernel_size": 3, "padding": "same"}]
)
def test_convolutions_that_differ_between_the_axes_are_refused(options):
    with pytest.raises(InputError, match="alike along both axes"):
        elastic(nn.Conv2d(2, 2, **options))


@pytest.mark.parametrize(
    ("layer", "size", "message"),
    [
        (ElasticConv2d(nn.Conv2d(4, 4, 5)), {"c_out": 5}, "4 -> 5"),
        (ElasticConv2d(nn.Conv2d(4, 4, 5)), {"c_in": 0}, "0 -> 4"),
        (ElasticConv2d(nn.Conv2d(4, 4, 5), (3,)), {"kernel": 1}, "kernel 1"),
        (ElasticConv2d(nn.Conv2d(4, 4, 1, groups=2)), {"c_in": 3, "c_out": 3}, "cut a group"),
        (ElasticConv2d(nn.Conv2d(4, 8, 1, groups=4)), {"c_in": 2, "c_out": 2}, "2 -> 2"),
        (ElasticBatchNorm2d(nn.BatchNorm2d(4)), {"channels": 5}, "5 channels"),
        (ElasticLinear(nn.Linear(4, 4)), {"c_out": 0}, "0 channels"),
    ],
)
def test_what_is_no_part_of_the_layer_is_refused(layer, size, message):
    with pytest.raises(InputError, match=message):
        layer.resize(**size)
