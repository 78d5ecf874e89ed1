"""The passes through a network that zero-cost proxies share; each works on a copy and leaves the given model as is."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ogive.metrics import _zero_cost_formulas as formulas

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from numpy.typing import NDArray

    Loss = Callable[[Tensor, Tensor], Tensor]

OF_LOSS_PASS = frozenset({"grad_norm", "snip", "plain", "fisher", "grasp", "jacov", "epe_nas", "nwot"})
"""Proxies that `loss_pass` computes."""

_ZEN_ALPHA = 0.01
"""Size of Zen-NAS's perturbation of the input."""


def is_weighted(m: nn.Module) -> TypeGuard[nn.Linear | _ConvNd]:
    """Tell whether a module is a convolution or a linear layer, whose weights the proxies are defined on."""
    return isinstance(m, (nn.Linear, _ConvNd))


def _weights(model: nn.Module) -> list[Tensor]:
    """Return the weights of the convolutions and linear layers of a network, used or not."""
    return [m.weight for m in model.modules() if is_weighted(m)]


def _trainable_copy(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model)
    for p in twin.parameters():
        p.requires_grad_(True)
    return twin.train()


def _gradients(y: Tensor, x: list[Tensor], *, keep: bool = False, create: bool = False) -> list[Tensor]:
    """Return the gradient of a scalar, zero where it does not depend on a tensor."""
    if not y.requires_grad:
        return [torch.zeros_like(t) for t in x]
    found = torch.autograd.grad(y, x, retain_graph=keep or create, create_graph=create, materialize_grads=True)
    return list(found)


# -------------------------------------------------------------------- the network as it is, on the batch


@dataclass
class _Watch:
    """What hooks saw during a forward pass.

    Attributes
    ----------
    outputs : list of (int, Tensor)
        For each call of a convolution or linear layer its fan-in and its output.
    codes : list of ndarray of uint8, (n, bytes)
        For each call of a ReLU the packed states of its units.
    units : int
        Number of ReLU units.
    """

    outputs: list[tuple[int, Tensor]] = field(default_factory=list)
    codes: list[NDArray[np.uint8]] = field(default_factory=list)
    units: int = 0

    def layer(self, module: nn.Linear | _ConvNd, _: tuple[Tensor, ...], out: Tensor) -> None:
        self.outputs.append((module.weight[0].numel(), out))

    def relu(self, _: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> None:
        on = (out.detach() > 0).flatten(1).cpu().numpy()
        self.codes.append(np.packbits(on, axis=1))
        self.units += on.shape[1]


def loss_pass(
    model: nn.Module, inputs: Tensor, targets: Tensor, quantities: Collection[str], loss: Loss
) -> dict[str, float]:
    """One forward pass in training mode, one backward for inputs, one for weights, a second-order one for grasp."""
    wanted = set(quantities)
    to_inputs, to_weights = wanted & {"jacov", "epe_nas"}, wanted & {"grad_norm", "snip", "plain", "fisher", "grasp"}
    net = _trainable_copy(model)
    weights = _weights(net)
    watch = _Watch()
    if "fisher" in wanted:
        _hook(net, is_weighted, watch.layer)
    if "nwot" in wanted:
        _hook(net, lambda m: isinstance(m, nn.ReLU), watch.relu)
    x = inputs.detach().clone().requires_grad_(bool(to_inputs))
    with torch.set_grad_enabled(bool(to_inputs or to_weights)):
        logits: Tensor = net(x)
    scores: dict[str, float] = {}
    if "nwot" in wanted:
        codes = np.concatenate([np.zeros((len(x), 0), dtype=np.uint8), *watch.codes], axis=1)
        scores["nwot"] = formulas.nwot(codes, watch.units)
    if to_inputs:
        (jacobian,) = _gradients(logits.sum(), [x], keep=bool(to_weights))
        rows = jacobian.flatten(1).cpu().numpy()
        scores["jacov"] = formulas.jacov(rows)
        scores["epe_nas"] = formulas.epe_nas(rows, targets.cpu().numpy(), logits.shape[1])
    if to_weights:
        outputs = [out for _, out in watch.outputs]
        found = _gradients(loss(logits, targets), weights + outputs, create="grasp" in wanted)
        gradients, to_outputs = found[: len(weights)], found[len(weights) :]
        scores |= _first_order(weights, gradients)
        scores["fisher"] = _total(_fisher(*w, g) for w, g in zip(watch.outputs, to_outputs, strict=True))
        if "grasp" in wanted:
            scores["grasp"] = _grasp(weights, gradients)
    return {q: scores[q] for q in scores if q in wanted}


def _hook(net: nn.Module, where: Callable[[nn.Module], bool], hook: Callable[..., None]) -> None:
    for m in net.modules():
        if where(m):
            m.register_forward_hook(hook)


@torch.no_grad()
def _first_order(weights: list[Tensor], gradients: list[Tensor]) -> dict[str, float]:
    products = [w * g for w, g in zip(weights, gradients, strict=True)]
    return {
        "grad_norm": _total(g.norm() for g in gradients),
        "snip": _total(p.abs().sum() for p in products),
        "plain": _total(p.sum() for p in products),
    }


@torch.no_grad()
def _fisher(fan_in: int, activation: Tensor, gradient: Tensor) -> Tensor:
    """Return a layer's sum over weights, each with the Fisher information of the channel it feeds."""
    products = activation * gradient
    by_channel = products.flatten(2).sum(2) if products.dim() > 2 else products
    return fan_in * 0.5 * by_channel.square().mean(0).sum()


def _grasp(weights: list[Tensor], gradients: list[Tensor]) -> float:
    """Return minus the inner product of the weights with the Hessian times the gradient."""
    product = torch.stack([(g.detach() * g).sum() for g in gradients]).sum()
    curvature = _gradients(product, weights)
    return _total(-(w.detach() * h).sum() for w, h in zip(weights, curvature, strict=True))


def _total(parts: Iterable[Tensor]) -> float:
    # Adding zero turns -0.0 into 0.0.
    return float(sum(p.double() for p in parts)) + 0.0


# -------------------------------------------------------------------- mini-batches


def zico_pass(model: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss, batches: int) -> float:
    """One forward and backward on each of `batches` parts of the batch."""
    net = _fast_layout(_trainable_copy(model))
    weights = _weights(net)
    parts = [
        [g.cpu().numpy() for g in _gradients(loss(net(x), y), weights)]
        for x, y in zip(inputs.tensor_split(batches), targets.tensor_split(batches), strict=True)
    ]
    return formulas.zico(list(zip(*parts, strict=True)))


# -------------------------------------------------------------------- other weights, other inputs


def synflow_pass(model: nn.Module, inputs: Tensor) -> float:
    """One backward of the summed outputs in float64: absolute parameters, no batch normalisation, an input of ones."""
    net = copy.deepcopy(model).double().eval()
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for p in net.parameters():
            p.abs_()
    weights = [w.requires_grad_(True) for w in _weights(net)]
    ones = torch.ones_like(inputs[:1], dtype=torch.float64)
    gradients = _gradients(net(ones).sum(), weights)
    return _total((w.detach() * g).abs().sum() for w, g in zip(weights, gradients, strict=True))


@torch.no_grad()
def l2_norm(model: nn.Module) -> float:
    """No pass at all: the sum over layers of the Euclidean norm of the weights."""
    return _total(w.norm() for w in _weights(model))


@torch.no_grad()
def zen_pass(model: nn.Module, inputs: Tensor, seed: int) -> float:
    """Two forward passes of Gaussian inputs, a small perturbation apart, through Gaussian weights."""
    net = _fast_layout(copy.deepcopy(model)).train()
    generator = torch.Generator(inputs.device).manual_seed(seed)
    for m in net.modules():
        if is_weighted(m):
            m.weight.normal_(generator=generator)
            if m.bias is not None:
                m.bias.zero_()
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    for m in norms:
        # With momentum 1 the running variance is the variance of the last batch.
        m.momentum, m.track_running_stats = 1.0, True
        m.running_mean, m.running_var = inputs.new_zeros(m.num_features), inputs.new_ones(m.num_features)
        if m.affine:
            m.weight.fill_(1.0)
            m.bias.zero_()
    x, noise = (torch.empty_like(inputs).normal_(generator=generator) for _ in range(2))
    shifted = _feature_map(net, x + _ZEN_ALPHA * noise)
    distance = float((_feature_map(net, x) - shifted).flatten(1).norm(dim=1).mean())
    variances = [float(m.running_var.mean()) for m in norms if m.running_var is not None]
    if distance == 0:
        return -math.inf
    return math.log(distance) + sum(0.5 * math.log(v) for v in variances if v > 0)


def _feature_map(net: nn.Module, x: Tensor) -> Tensor:
    """Return what the network computes before pooling and head.

    That is the output of the last layer with spatial axes other than a pooling, or, in a network without spatial axes,
    the input of the last linear layer.
    """
    maps: list[Tensor] = []
    heads: list[Tensor] = [x]

    def watch(m: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        if isinstance(m, nn.Linear):
            heads.append(args[0])
        elif out.dim() > 2 and "Pool" not in type(m).__name__:
            maps.append(out)

    handles = [m.register_forward_hook(watch) for m in net.modules() if not any(m.children())]
    net(x)
    for handle in handles:
        handle.remove()
    return maps[-1] if maps else heads[-1]


def _fast_layout(net: nn.Module) -> nn.Module:
    """Lay two-dimensional weights out with channels last, which the convolutions of CPUs and of tensor cores prefer."""
    return net.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
