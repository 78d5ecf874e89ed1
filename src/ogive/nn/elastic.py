"""Layers that hold many widths and kernels in one weight: narrow is the first channels, small is the centre.

Cai, Gan, Wang, Zhang and Han, "Once-for-All: Train One Network and Specialize It for Efficient Deployment", ICLR 2020,
section 3.3. An elastic layer is made of the largest plain layer and takes its parameters over; `resize` says how much
of it runs, and `active_state` gives the parameters of a plain layer of that size, under a plain layer's names.

The rest of a weight has a gradient of zero then, not none: momentum and weight decay still move it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ElasticConv2d(nn.Conv2d):
    """A convolution of which the first channels and the centre of the kernel may run alone.

    Groups keep their width, so a grouped convolution with fewer channels has fewer groups; a depthwise one stays
    depthwise. A smaller kernel has less padding: the resolution does not depend on it.

    Parameters
    ----------
    conv : Conv2d
        The convolution at its largest, alike along both axes and padded with zeros.
    kernels : sequence of int
        Smaller kernel sizes to choose from, odd where the convolution's is odd.
    transform : bool
        Whether a kernel is a learned linear map of the centre of the next larger one (one map for all channels, at
        first the identity), and not the centre itself.

    Raises
    ------
    InputError
        If the convolution is of another kind.

    Attributes
    ----------
    active_in, active_out, active_kernel : int
        What runs. Change it with `resize`.
    """

    def __init__(self, conv: nn.Conv2d, kernels: Sequence[int] = (), *, transform: bool = False) -> None:
        axes = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
        if conv.padding_mode != "zeros" or any(pair[0] != pair[1] for pair in axes):
            raise InputError(f"{conv} cannot be elastic: it must be alike along both axes and padded with zeros")
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            int(conv.padding[0]),
            conv.dilation[0],
            conv.groups,
            conv.bias is not None,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.kernels = tuple(sorted({*kernels, conv.kernel_size[0]}, reverse=True))
        smaller = self.kernels[1:] if transform else ()
        identities = {str(k): torch.eye(k * k, dtype=conv.weight.dtype, device=conv.weight.device) for k in smaller}
        self.transforms = nn.ParameterDict({k: nn.Parameter(matrix) for k, matrix in identities.items()})
        self.active_in, self.active_out, self.active_kernel = self.in_channels, self.out_channels, self.kernels[0]

    def reset_parameters(self) -> None:
        """Draw the weights anew as a plain convolution does; the transforms are the identity again."""
        super().reset_parameters()
        # The constructor of the plain layer calls this before there are any.
        for matrix in getattr(self, "transforms", {}).values():
            nn.init.eye_(matrix)

    def resize(self, c_in: int | None = None, c_out: int | None = None, kernel: int | None = None) -> None:
        """Choose what runs; what is not given stays.

        Raises
        ------
        InputError
            If the layer has fewer channels, other kernels, or a group would be cut.
        """
        c_in, c_out = _given(c_in, self.active_in), _given(c_out, self.active_out)
        kernel = _given(kernel, self.active_kernel)
        fits = 0 < c_in <= self.in_channels and 0 < c_out <= self.out_channels and kernel in self.kernels
        if not fits or (self.groups > 1 and c_in * self.out_channels != c_out * self.in_channels):
            raise InputError(f"a convolution {c_in} -> {c_out} with kernel {kernel} is no part of {self}")
        if self.groups > 1 and c_in % (self.in_channels // self.groups):
            raise InputError(f"{c_in} channels cut a group of {self}")
        self.active_in, self.active_out, self.active_kernel = c_in, c_out, kernel

    @property
    def active_groups(self) -> int:
        """Groups that run."""
        return self.groups * self.active_in // self.in_channels if self.groups > 1 else 1

    def active_weight(self) -> Tensor:
        """Return the weight of what runs, ``(active_out, active_in / active_groups, active_kernel, active_kernel)``."""
        weight = self.weight[: self.active_out, : self.active_in // self.active_groups]
        if not self.transforms:
            return _centre(weight, self.active_kernel)
        for kernel in self.kernels[1:]:
            if kernel >= self.active_kernel:
                centre = _centre(weight, kernel)
                weight = (centre.flatten(2) @ self.transforms[str(kernel)].T).view_as(centre)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, active_in, h, w)`` to ``(n, active_out, h', w')``, h' and w' as the largest kernel gives them."""
        less = (self.kernels[0] - self.active_kernel) // 2
        padding = int(self.padding[0]) - self.dilation[0] * less
        weight, bias = self.active_weight(), _first(self.bias, self.active_out)
        return F.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.active_groups)

    def active_state(self) -> dict[str, Tensor]:
        """Return the parameters of the plain convolution that runs."""
        return _named(weight=self.active_weight(), bias=_first(self.bias, self.active_out))


class ElasticBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation of the first channels.

    All widths share one set of running statistics, which fits none of them well: estimate them anew for a network that
    is to be scored (Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019).

    Parameters
    ----------
    norm : BatchNorm2d
        The layer at its widest.

    Attributes
    ----------
    active : int
        Channels that run. Change it with `resize`.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.active = self.num_features

    def resize(self, channels: int) -> None:
        """Choose how many channels run; InputError if there are fewer."""
        self.active = _checked(channels, self.num_features, self)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(n, active, h, w)``."""
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        return F.batch_norm(
            x,
            _first(self.running_mean, self.active),
            _first(self.running_var, self.active),
            _first(self.weight, self.active),
            _first(self.bias, self.active),
            self.training or self.running_mean is None,
            momentum,
            self.eps,
        )

    def active_state(self) -> dict[str, Tensor]:
        """Return the parameters and running statistics of the plain layer that runs."""
        names = ("weight", "bias", "running_mean", "running_var")
        sliced = {name: _first(getattr(self, name), self.active) for name in names}
        return _named(**sliced, num_batches_tracked=self.num_batches_tracked)


class ElasticLinear(nn.Linear):
    """A linear layer of which the first inputs and outputs may run alone.

    Parameters
    ----------
    linear : Linear
        The layer at its largest.

    Attributes
    ----------
    active_in, active_out : int
        What runs. Change it with `resize`.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.active_in, self.active_out = self.in_features, self.out_features

    def resize(self, c_in: int | None = None, c_out: int | None = None) -> None:
        """Choose what runs; what is not given stays. InputError if the layer is smaller."""
        self.active_in = _checked(_given(c_in, self.active_in), self.in_features, self)
        self.active_out = _checked(_given(c_out, self.active_out), self.out_features, self)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., active_in)`` to ``(..., active_out)``."""
        return F.linear(x, *self._active())

    def active_state(self) -> dict[str, Tensor]:
        """Return the parameters of the plain layer that runs."""
        weight, bias = self._active()
        return _named(weight=weight, bias=bias)

    def _active(self) -> tuple[Tensor, Tensor | None]:
        return self.weight[: self.active_out, : self.active_in], _first(self.bias, self.active_out)


def elastic(module: nn.Module, *, kernels: Sequence[int] = (), transform: bool = False) -> nn.Module:
    """Return a network whose convolutions, batch norms and linear layers are elastic, with the same parameters.

    Parameters
    ----------
    module : Module
        The network, or one layer. Its children are replaced in place, under their names. Options of a place where
        several compete are made elastic before they get there.
    kernels : sequence of int
        Sizes to choose from for the convolutions that have the largest of them.
    transform : bool
        As in `ElasticConv2d`.
    """
    match module:
        case nn.Conv2d():
            fits = bool(kernels) and module.kernel_size[0] == max(kernels)
            return ElasticConv2d(module, kernels if fits else (), transform=transform)
        case nn.BatchNorm2d():
            return ElasticBatchNorm2d(module)
        case nn.Linear():
            return ElasticLinear(module)
    for name, child in module.named_children():
        setattr(module, name, elastic(child, kernels=kernels, transform=transform))
    return module


def resize(row: nn.Module, *widths: int, kernel: int | None = None) -> None:
    """Choose the sizes of elastic convolutions and norms in a straight row, such as a `ReLUConvBN`.

    Parameters
    ----------
    row : Module
        Its convolutions run one after the other, in the order in which it lists them.
    *widths : int
        Channels before the first convolution and after each of them. A norm has what comes before it.
    kernel : int, optional
        For the convolutions that have several.

    Raises
    ------
    InputError
        If the row has another number of convolutions, or a layer has no such size.
    """
    layers = [m for m in row.modules() if isinstance(m, (ElasticConv2d, ElasticBatchNorm2d))]
    convolutions = sum(isinstance(m, ElasticConv2d) for m in layers)
    if convolutions + 1 != len(widths):
        raise InputError(f"a row of {convolutions} convolutions has {convolutions + 1} widths, not {len(widths)}")
    after = 0
    for layer in layers:
        if isinstance(layer, ElasticBatchNorm2d):
            layer.resize(widths[after])
        else:
            layer.resize(widths[after], widths[after + 1], kernel if len(layer.kernels) > 1 else None)
            after += 1


def _centre(weight: Tensor, kernel: int) -> Tensor:
    cut = (weight.shape[-1] - kernel) // 2
    return weight[..., cut : cut + kernel, cut : cut + kernel]


def _first(tensor: Tensor | None, n: int) -> Tensor | None:
    return None if tensor is None else tensor[:n]


def _given(value: int | None, present: int) -> int:
    return present if value is None else value


def _checked(width: int, full: int, layer: nn.Module) -> int:
    if not 0 < width <= full:
        raise InputError(f"{width} channels are no part of {layer}")
    return width


def _named(**tensors: Tensor | None) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items() if tensor is not None}
