"""Convolution, batch normalisation, ReLU: the block of networks that activate after normalising."""

from __future__ import annotations

from torch import nn


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU.

    Parameters
    ----------
    c_in, c_out : int
        Channels.
    kernel : int
        Odd kernel size; padding keeps the resolution at stride 1.
    stride, dilation : int
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU()
