"""Convolution blocks in pre-activation order, as the cell benchmarks define them."""

from __future__ import annotations

from torch import Tensor, nn


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, batch normalisation: the convolution operation of NAS-Bench-201.

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
            nn.AvgPool2d(2, stride=2, ceil_mode=False), nn.Conv2d(c_in, c_out, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c_in, h, w)`` to ``(n, c_out, h // 2, w // 2)``."""
        residual: Tensor = self.downsample(x)
        y: Tensor = self.conv_b(self.conv_a(x))
        return residual + y
