"""Depthwise-separable and dilated convolutions in pre-activation order, as the DARTS cells use them."""

from __future__ import annotations

from torch import nn


def dilated_conv(channels: int, kernel: int, stride: int, dilation: int = 2) -> nn.Sequential:
    """Return ReLU, depthwise convolution, 1x1 convolution and batch norm; the kernel is spread by `dilation`."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation=dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


def separable_conv(channels: int, kernel: int, stride: int) -> nn.Sequential:
    """Return two depthwise-separable convolutions in a row; the first one has the stride."""
    return nn.Sequential(dilated_conv(channels, kernel, stride, 1), dilated_conv(channels, kernel, 1, 1))
