"""The networks of the mobile spaces: inverted residual blocks between a stem and a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hardswish": nn.Hardswish}


def conv_bn(
    c_in: int, c_out: int, kernel: int, stride: int = 1, *, groups: int = 1, activation: str | None = None
) -> nn.Sequential:
    """Return a convolution without bias, its batch norm and, if named, an activation; an odd resolution rounds up."""
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    return nn.Sequential(*layers, *([ACTIVATIONS[activation]()] if activation else []))


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate computed from the means of all channels.

    Parameters
    ----------
    channels, squeezed : int
        Width of the block, and of the layer between the means and the gates.

    References
    ----------
    Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.3: the gate is a hard sigmoid.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with its channels scaled."""
        scaled: Tensor = x * self.gate(x)
        return scaled


class ChannelShuffle(nn.Module):
    """Interleaves the channels of `groups` groups, so that the next grouped convolution mixes them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with its channels in another order."""
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class InvertedResidual(nn.Module):
    """1x1 convolution to a wide layer, depthwise convolution, 1x1 convolution back; a shortcut where the shape stays.

    Parameters
    ----------
    c_in, c_out, hidden : int
        Channels before, after and inside.
    kernel, stride : int
        Of the depthwise convolution.
    activation : str
        A key of `ACTIVATIONS`.
    expand : bool
        Whether the first 1x1 convolution is there; without it `hidden` is `c_in`.
    groups : int
        Groups of both 1x1 convolutions; with more than one, channels are shuffled after the first.
    squeezed : int
        Width inside the squeeze-and-excitation behind the depthwise convolution, 0 for none.

    References
    ----------
    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, section 3.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        hidden: int,
        kernel: int,
        stride: int,
        activation: str,
        *,
        expand: bool = True,
        groups: int = 1,
        squeezed: int = 0,
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and c_in == c_out
        self.body = nn.Sequential()
        if expand:
            self.body.append(conv_bn(c_in, hidden, 1, groups=groups, activation=activation))
        if groups > 1:
            self.body.append(ChannelShuffle(groups))
        self.body.append(conv_bn(hidden, hidden, kernel, stride, groups=hidden, activation=activation))
        if squeezed:
            self.body.append(SqueezeExcite(hidden, squeezed))
        self.body.append(conv_bn(hidden, c_out, 1, groups=groups))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c_in, h, w)`` to ``(n, c_out, ceil(h / stride), ceil(w / stride))``."""
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class MobileNetwork(nn.Module):
    """Stem, blocks, a last 1x1 convolution, global average pooling and a linear head.

    Parameters
    ----------
    stem : nn.Module
    blocks : sequence of nn.Module
    last : nn.Module
        From the blocks' width to that of the pooled features.
    mix : tuple of int and str, or None
        A second 1x1 convolution, behind the pooling: its inputs, outputs and activation; MobileNetV3 has one.
    width, n_outputs : int
        Inputs and outputs of the head.
    resolution : int, optional
        Side of the square that images are resized to first.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Sequence[nn.Module],
        last: nn.Module,
        mix: tuple[int, int, str] | None,
        width: int,
        n_outputs: int,
        resolution: int | None = None,
    ) -> None:
        super().__init__()
        self.resize = nn.Upsample((resolution, resolution), mode="bilinear") if resolution else nn.Identity()
        self.stem, self.blocks, self.last = stem, nn.Sequential(*blocks), last
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix: nn.Module = nn.Identity()
        if mix:
            c_in, c_out, activation = mix
            self.mix = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), ACTIVATIONS[activation]())
        self.head = nn.Linear(width, n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """Return the globally pooled features before the classifier."""
        pooled: Tensor = self.pool(self.last(self.blocks(self.stem(self.resize(x)))))
        mixed: Tensor = self.mix(pooled)
        return mixed.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        logits: Tensor = self.head(self.features(x))
        return logits
