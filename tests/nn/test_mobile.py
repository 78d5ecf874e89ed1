"""Blocks of the mobile networks against the same layers called one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ogive.nn.mobile import ChannelShuffle, InvertedResidual, MobileNetwork, SqueezeExcite, conv_bn


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def normed(x, norm):
    return x / (1 + norm.eps) ** 0.5


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 2), (5, 1), (7, 2)])
def test_convolutions_round_odd_resolutions_up(kernel, stride):
    with torch.no_grad():
        out = conv_bn(2, 3, kernel, stride, activation="relu6").eval()(seeded(1, 2, 9, 6))
    assert out.shape == (1, 3, -(-9 // stride), -(-6 // stride))
    assert 0 <= out.min() <= out.max() <= 6


def test_gates_of_squeeze_and_excitation():
    block = SqueezeExcite(6, 2)
    x = seeded(3, 6, 5, 4)
    _, reduce, _, restore, _ = block.gate
    with torch.no_grad():
        hidden = F.linear(x.mean(dim=(2, 3)), reduce.weight.flatten(1), reduce.bias).clamp(min=0)
        gate = ((F.linear(hidden, restore.weight.flatten(1), restore.bias) + 3) / 6).clamp(0, 1)
        assert torch.allclose(block(x), x * gate[:, :, None, None], atol=1e-6)


def test_shuffled_channels_take_turns():
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert ChannelShuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert ChannelShuffle(3)(x).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_inverted_residual_is_its_three_convolutions_and_the_shortcut():
    block = InvertedResidual(4, 4, 12, 5, 1, "hardswish").eval()
    (wide, norm1, _), (depthwise, norm2, _), (back, norm3) = block.body
    x = seeded(2, 4, 7, 6)
    with torch.no_grad():
        y = F.hardswish(normed(F.conv2d(x, wide.weight), norm1))
        y = F.hardswish(normed(F.conv2d(y, depthwise.weight, padding=2, groups=12), norm2))
        assert torch.allclose(block(x), x + normed(F.conv2d(y, back.weight), norm3), atol=1e-5)


@pytest.mark.parametrize(("c_out", "stride"), [(4, 2), (5, 1)])
def test_a_block_that_changes_the_shape_has_no_shortcut(c_out, stride):
    block = InvertedResidual(4, c_out, 8, 3, stride, "relu").eval()
    nn.init.zeros_(block.body[-1][0].weight)
    with torch.no_grad():
        assert not block(seeded(1, 4, 6, 6)).any()


def test_without_expansion_the_block_starts_depthwise():
    block = InvertedResidual(4, 8, 4, 3, 1, "relu", expand=False)
    assert [m.groups for m in block.modules() if isinstance(m, nn.Conv2d)] == [4, 1]


def test_groups_are_mixed_between_the_two_grouped_convolutions():
    block = InvertedResidual(4, 4, 4, 3, 1, "relu", groups=2).eval()
    x = seeded(1, 4, 5, 5).requires_grad_()
    (block(x)[0, 0] - x[0, 0]).sum().backward()
    # Output channel 0 lies in the first half; without the shuffle it would see inputs 0 and 1 alone.
    assert (x.grad[0].abs().sum(dim=(1, 2)) > 0).all()


def test_images_are_resized_first():
    model = MobileNetwork(conv_bn(3, 4, 3), [], nn.Identity(), (4, 6, "relu"), 6, 5, resolution=8).eval()
    x = seeded(2, 3, 12, 10)
    with torch.no_grad():
        small = F.interpolate(x, size=(8, 8), mode="bilinear", align_corners=False)
        pooled = model.stem(small).mean(dim=(2, 3))
        features = F.linear(pooled, model.mix[0].weight.flatten(1)).clamp(min=0)
        assert torch.allclose(model.features(x), features, atol=1e-5)
        assert torch.allclose(model(x), model.head(features), atol=1e-5)
