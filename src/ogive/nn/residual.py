"""A small public network: what anyone can train without a shipped one."""

from __future__ import annotations

from torch import Tensor, nn

from ogive.nn.blocks import ResidualBlock


class ResidualNetwork(nn.Module):
    """A stem, three residual blocks of rising width and a linear head: eight layers.

    Parameters
    ----------
    width : int
        Channels of the first block; the others have two and four times as many, at half and a quarter of the
        resolution.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int

    References
    ----------
    He et al., Identity Mappings in Deep Residual Networks, ECCV 2016 (the block); Banbury et al., MLPerf Tiny
    Benchmark, NeurIPS 2021 Datasets and Benchmarks (the size, with width 16).
    """

    def __init__(self, width: int, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.body = nn.Sequential(
            ResidualBlock(width, width),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width, stride=2),
        )
        self.last = nn.Sequential(nn.BatchNorm2d(4 * width), nn.ReLU())
        self.head = nn.Linear(4 * width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, *input_shape)`` to logits, ``(n, n_outputs)``."""
        logits: Tensor = self.head(self.last(self.body(self.stem(x))).mean(dim=(2, 3)))
        return logits
