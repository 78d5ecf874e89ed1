"""Convolution blocks in pre-activation order, as the cell benchmarks define them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, batch normalisation: the convolution operation of the cell benchmarks.

    Parameters
    ----------
    c_in, c_out : int
        Channels.
    kernel : int
        Odd kernel size; padding keeps the resolution at stride 1.
    stride : int
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)


class ResidualReduction(nn.Module):
    """The residual block that halves the resolution and changes the width between stages of NAS-Bench-201.

    An odd resolution is rounded up on both branches; on even ones the block is the published one.

    Parameters
    ----------
    c_in, c_out : int
        Channels.

    References
    ----------
    Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.1.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(c_in, c_out, 3, stride=2)
        self.conv_b = ReLUConvBN(c_out, c_out, 3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True), nn.Conv2d(c_in, c_out, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c_in, h, w)`` to ``(n, c_out, ceil(h / 2), ceil(w / 2))``."""
        residual: Tensor = self.downsample(x)
        y: Tensor = self.conv_b(self.conv_a(x))
        return residual + y


class ResidualBlock(nn.Module):
    """Two pre-activated 3x3 convolutions beside a shortcut: the block of TransNAS-Bench-101's macro space.

    Parameters
    ----------
    c_in, c_out : int
        Channels.
    stride : int
        Of the first convolution; the shortcut is a 1x1 convolution wherever the shape changes.

    References
    ----------
    Duan et al., TransNAS-Bench-101, CVPR 2021, section 3.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(c_in, c_out, 3, stride=stride)
        self.conv_b = ReLUConvBN(c_out, c_out, 3)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c_in, h, w)`` to ``(n, c_out, ceil(h / stride), ceil(w / stride))``."""
        shortcut: Tensor = self.shortcut(x)
        y: Tensor = self.conv_b(self.conv_a(x))
        return shortcut + y


class FactorizedReduction(nn.Module):
    """A skip connection that changes the shape: two 1x1 convolutions on grids one pixel apart, concatenated.

    Parameters
    ----------
    c_in, c_out : int
        Channels; each convolution makes half of `c_out`, the first the smaller half.
    stride : int
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_a = nn.Conv2d(c_in, c_out // 2, 1, stride=stride, bias=False)
        self.conv_b = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=stride, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c_in, h, w)`` to ``(n, c_out, ceil(h / stride), ceil(w / stride))``."""
        x = self.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        y: Tensor = self.bn(torch.cat([self.conv_a(x), self.conv_b(shifted)], dim=1))
        return y
