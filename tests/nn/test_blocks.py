"""Building blocks against the same computation written with functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ogive.nn.blocks import FactorizedReduction, ReLUConvBN, ResidualBlock, ResidualReduction


def randomised(module):
    """The module in evaluation mode with statistics that differ from channel to channel."""
    generator = torch.Generator().manual_seed(0)
    for m in module.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            for t in (m.weight.data, m.bias.data, m.running_mean):
                t.normal_(generator=generator)
            m.running_var.uniform_(0.5, 2.0, generator=generator)
    return module.eval()


def norm(bn, x):
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    return (x - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]


def relu_conv_bn(m, x, stride):
    return norm(m.bn, F.conv2d(x.clamp(min=0), m.conv.weight, stride=stride, padding=m.conv.weight.shape[-1] // 2))


@pytest.fixture
def x():
    return torch.randn(2, 4, 7, 10, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_relu_conv_bn(x, kernel, stride):
    block = randomised(ReLUConvBN(4, 6, kernel, stride))
    torch.testing.assert_close(block(x), relu_conv_bn(block, x, stride))


def test_residual_reduction_on_even_sizes_is_the_published_block(x):
    x = x[:, :, :6]
    block = randomised(ResidualReduction(4, 8))
    pooled = F.avg_pool2d(x, 2)
    expected = F.conv2d(pooled, block.downsample[1].weight)
    expected = expected + relu_conv_bn(block.conv_b, relu_conv_bn(block.conv_a, x, 2), 1)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 5), (7, 10)])
def test_every_block_rounds_odd_sizes_up(size):
    x = torch.randn(2, 4, *size)
    half = (2, 8, -(-size[0] // 2), -(-size[1] // 2))
    for block in (
        ResidualReduction(4, 8),
        ResidualBlock(4, 8, 2),
        FactorizedReduction(4, 8, 2),
        ReLUConvBN(4, 8, 3, 2),
    ):
        assert block.eval()(x).shape == half


def test_odd_sizes_average_only_what_is_there():
    block = ResidualReduction(1, 1).eval()
    block.downsample[1].weight.data.fill_(1.0)
    x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    torch.testing.assert_close(block.downsample(x), torch.tensor([[[[1.5, 3.0]]]]))


def test_residual_block(x):
    same = randomised(ResidualBlock(4, 4))
    torch.testing.assert_close(same(x), x + relu_conv_bn(same.conv_b, relu_conv_bn(same.conv_a, x, 1), 1))
    assert sum(p.numel() for p in same.shortcut.parameters()) == 0
    other = randomised(ResidualBlock(4, 8, 2))
    shortcut = norm(other.shortcut[1], F.conv2d(x, other.shortcut[0].weight, stride=2))
    torch.testing.assert_close(other(x), shortcut + relu_conv_bn(other.conv_b, relu_conv_bn(other.conv_a, x, 2), 1))


def test_factorized_reduction_reads_two_grids(x):
    block = randomised(FactorizedReduction(4, 6, 2))
    rectified = x.clamp(min=0)
    first = torch.einsum("oc,nchw->nohw", block.conv_a.weight[:, :, 0, 0], rectified[:, :, 0::2, 0::2])
    shifted = torch.zeros(2, 4, 4, 5)
    shifted[:, :, :3, :5] = rectified[:, :, 1::2, 1::2]
    second = torch.einsum("oc,nchw->nohw", block.conv_b.weight[:, :, 0, 0], shifted)
    torch.testing.assert_close(block(x), norm(block.bn, torch.cat([first, second], dim=1)))
