"""Count what a network computes by running it once without numbers, on PyTorch's meta device."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

aten = torch.ops.aten


@dataclass(frozen=True)
class Counts:
    """What one example costs.

    Attributes
    ----------
    params : int
        Trainable parameters; one that is shared counts once.
    macs : int
        Multiply-accumulates of convolutions, linear layers and matrix products.
    relus : int
        Comparisons of piecewise-linear units, see `count_module`.
    depth : int
        Weighted layers on the longest path from the input to the output, 0 where the output ignores the input.
    """

    params: int
    macs: int
    relus: int
    depth: int


def count_module(model: nn.Module, input_shape: Sequence[int], *, dtype: torch.dtype | None = None) -> Counts:
    """Count the parameters, multiply-accumulates, ReLUs and depth of any module, as it computes in evaluation mode.

    The counts come from the operations that run, so functional calls, shared modules and branches that are skipped
    are all seen. No weight is allocated or copied, and `model` is not touched.

    ``macs`` charges convolutions of any dimension, grouped and transposed ones included, and matrix products; biases,
    normalisation, pooling and sums are free. ``relus`` is the number of comparisons: one for each output of ReLU,
    leaky ReLU, PReLU, ELU, ``maximum`` and each bound of ``clamp``; two for ReLU6, hardtanh, hardswish and
    hardsigmoid; ``k - 1`` for each output of a maximum over k values, so ``k * k - 1`` in a k x k max-pooling. Smooth
    activations have none. ``depth`` counts convolutions and products with a weight, not products of two activations.

    Parameters
    ----------
    model : nn.Module
        Takes one tensor. May live on any device, the meta device included.
    input_shape : sequence of int
        Shape of one example, without the batch axis.
    dtype : torch.dtype, optional
        Of the input; by default that of the first floating-point parameter. Give ``torch.long`` for token indices.

    Returns
    -------
    Counts

    Raises
    ------
    InputError
        If the model cannot run on an input of this shape, or its course depends on values.

    Notes
    -----
    Private inference pays for comparisons, whether a ReLU or a max-pooling makes them, so both are charged.
    """
    twin = _weightless(model)
    if dtype is None:
        dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    x = torch.empty((1, *input_shape), dtype=dtype, device="meta")
    counter = _Counter(x)
    try:
        with torch.no_grad(), torch.device("meta"), sdpa_kernel(SDPBackend.MATH), counter:
            out = twin(x)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{type(model).__name__} cannot be counted on an input of shape {tuple(input_shape)}: {reason}"
        ) from error
    ends = [counter.depth_of(t) for t in tree_leaves(out) if isinstance(t, Tensor)]
    return Counts(
        params=sum(p.numel() for p in model.parameters() if p.requires_grad),
        macs=counter.macs,
        relus=counter.relus,
        depth=max([d for d in ends if d is not None], default=0),
    )


def _weightless(model: nn.Module) -> nn.Module:
    """Copy a module's structure in evaluation mode, each of its tensors replaced by one without storage."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        held = {**module._parameters, **module._buffers, **module.__dict__}
        for tensor in held.values():
            if isinstance(tensor, nn.UninitializedParameter):
                raise InputError(f"{type(model).__name__} has lazy layers; run it once on real input, then count it")
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                empty = torch.empty_like(tensor, device="meta", requires_grad=False)
                is_parameter = isinstance(tensor, nn.Parameter)
                memo[id(tensor)] = nn.Parameter(empty, requires_grad=False) if is_parameter else empty
    try:
        return copy.deepcopy(model, memo).eval()
    except (RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{type(model).__name__} cannot be counted, because it cannot be copied: {reason}") from error


_COMPARISONS: dict[Any, int] = {
    **dict.fromkeys(
        (
            aten.relu, aten.relu_, aten.leaky_relu, aten.leaky_relu_, aten._prelu_kernel, aten.rrelu_with_noise,
            aten.rrelu_with_noise_, aten.threshold, aten.threshold_, aten.elu, aten.elu_, aten.celu, aten.celu_,
            aten.maximum, aten.minimum, aten.clamp_min, aten.clamp_min_, aten.clamp_max, aten.clamp_max_,
        ),
        1,
    ),
    **dict.fromkeys(
        (aten.hardtanh, aten.hardtanh_, aten.hardswish, aten.hardswish_, aten.hardsigmoid, aten.hardsigmoid_), 2
    ),
}  # fmt: skip
"""Comparisons for each output element."""

_FACTORIES = {
    aten.new_zeros, aten.new_ones, aten.new_full, aten.new_empty, aten.new_empty_strided, aten.zeros_like,
    aten.ones_like, aten.full_like, aten.empty_like, aten.rand_like, aten.randn_like,
}  # fmt: skip
"""Operations that take a shape from their argument, and no value."""

_POOLS = {aten.max_pool2d_with_indices, aten.max_pool3d_with_indices}
_ADAPTIVE_POOLS = {aten.adaptive_max_pool2d: 2, aten.adaptive_max_pool3d: 3}
_REDUCTIONS = {aten.amax, aten.amin, aten.max, aten.min}

_PRODUCTS = {
    aten.mm: (0, 1), aten.bmm: (0, 1), aten.mv: (0, 1), aten.dot: (0, 1),
    aten.addmm: (1, 2), aten.baddbmm: (1, 2), aten.addbmm: (1, 2), aten.addmv: (1, 2),
}  # fmt: skip
"""Matrix products and the positions of their two operands."""


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every primitive operation; follows how deep each storage is, so that views and in-place writes are too."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.relus = 0
        self._depth: dict[int, int] = {}
        self._alive: list[Any] = []
        self._set_depth(x, 0)

    def depth_of(self, tensor: Tensor) -> int | None:
        """Return the depth of a tensor, None where it does not depend on the input."""
        return self._depth.get(tensor.untyped_storage()._cdata)

    def _set_depth(self, tensor: Tensor, depth: int) -> None:
        storage = tensor.untyped_storage()
        self._alive.append(storage)  # so that its address is not used again
        self._depth[storage._cdata] = max(depth, self._depth.get(storage._cdata, 0))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        op = func.overloadpacket
        self.relus += _comparisons(op, args, kwargs, out)
        operands: tuple[Tensor, ...] = ()
        if op is aten.convolution:
            operands = args[:2]
            self.macs += _convolution_macs(args, out)
        elif op in _PRODUCTS:
            operands = tuple(args[i] for i in _PRODUCTS[op])
            self.macs += operands[0].numel() * (operands[1].shape[-1] if operands[1].ndim > 1 else 1)
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        depths = [d for d in map(self.depth_of, tensors) if d is not None]
        if depths and op not in _FACTORIES:
            layer = any(self.depth_of(t) is None for t in operands)
            for t in tree_leaves(out):
                if isinstance(t, Tensor):
                    self._set_depth(t, max(depths) + layer)
        return out


def _convolution_macs(args: Sequence[Any], out: Tensor) -> int:
    """Every weight of a filter meets every output position, or every input position where transposed."""
    x, weight, transposed = args[0], args[1], args[6]
    positions = x.numel() // x.shape[1] if transposed else out.numel() // out.shape[1]
    return int(positions * weight.numel())


def _comparisons(op: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> int:
    """Return how many comparisons an operation makes."""
    if op in _COMPARISONS:
        return _COMPARISONS[op] * int(out.numel())
    if op in (aten.clamp, aten.clamp_):
        bounds = [*args[1:], kwargs.get("min"), kwargs.get("max")]
        return sum(b is not None for b in bounds) * int(out.numel())
    if op in _POOLS:
        return int(out[0].numel()) * (_window(args) - 1)
    if op in _ADAPTIVE_POOLS:
        return _adaptive_comparisons(args[0], out[0], _ADAPTIVE_POOLS[op])
    if op in _REDUCTIONS:
        return int(args[0].numel()) - int((out if isinstance(out, Tensor) else out[0]).numel())
    return 0


def _window(args: Sequence[Any]) -> int:
    axes = args[0].ndim - 1 if args[0].ndim == 3 else args[0].ndim - 2
    kernel = list(args[1])
    return prod(kernel if len(kernel) > 1 else kernel * axes)


def _adaptive_comparisons(x: Tensor, out: Tensor, axes: int) -> int:
    """Windows of adaptive pooling differ in size and may overlap: add them up along each axis."""
    sizes = zip(x.shape[-axes:], out.shape[-axes:], strict=True)
    covered = prod(sum(-(-(i + 1) * n // m) - i * n // m for i in range(m)) for n, m in sizes)
    return out.shape[:-axes].numel() * covered - out.numel()
