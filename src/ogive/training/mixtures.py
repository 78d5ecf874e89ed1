"""Parts of training a supernet as a mixture: virtual steps, partial channels, and what to keep an eye on."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from ogive.spaces.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ogive.nn.supernet import SuperNetwork
    from ogive.spaces.base import Space

    Weights = dict[str, Tensor]

_SKIPS = ("skip_connect", "skip", "identity", "none")


def unrolled(
    train: Callable[[Weights], Tensor], val: Callable[[Weights], Tensor], weights: Weights, rate: float
) -> Tensor:
    """Return the validation loss after one step of gradient descent on the training loss.

    The step is part of the graph, so the gradient with respect to anything both losses depend on is exact: equation 6
    of Liu, Simonyan and Yang, DARTS, ICLR 2019, including its product of Hessian and vector.

    Parameters
    ----------
    train, val : callable
        Map weights to a loss.
    weights : dict of str to Tensor
        Where the step starts; they stay as they are.
    rate : float
        Length of the step, xi in the paper.

    Returns
    -------
    Tensor, ()
    """
    gradients = torch.autograd.grad(
        train(weights), list(weights.values()), create_graph=True, allow_unused=True, materialize_grads=True
    )
    return val({name: w - rate * g for (name, w), g in zip(weights.items(), gradients, strict=True)})


@contextmanager
def kept_buffers(network: nn.Module) -> Iterator[None]:
    """Put the buffers of a network back after the block, bit for bit: the running statistics of its normalisation."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


@contextmanager
def partial_channels(options: Iterable[Sequence[nn.Module]], divisor: int) -> Iterator[None]:
    """Let the options of a choice write only one of so many channels inside the block; the others hand on their input.

    All options of a choice write the same channels, drawn from PyTorch's generator when one of them first runs. An
    option that changes the shape has nothing to hand on and writes all channels.

    Parameters
    ----------
    options : iterable of sequence of Module
        The modules of the options of each choice.
    divisor : int
        One of so many channels, K in Xu et al., PC-DARTS, ICLR 2020, section 3.2.
    """

    def hook(written: dict[int, Tensor], _: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
        x, c = inputs[0], y.shape[1]
        if y.shape != x.shape:
            return y
        if c not in written:
            written[c] = torch.randperm(c) < max(1, c // divisor)
        return torch.where(written[c].to(y.device).reshape(-1, *[1] * (y.ndim - 2)), y, x)

    handles = []
    for modules in options:
        shared = partial(hook, {})
        handles += [module.register_forward_hook(shared) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def losses_without(
    network: SuperNetwork,
    weights: Sequence[Tensor],
    allowed: NDArray[np.bool_],
    batches: Sequence[tuple[Tensor, Tensor]],
) -> NDArray[np.float64]:
    """Return the loss of a mixture after each option in turn is left out and its siblings share its weight.

    Parameters
    ----------
    network : SuperNetwork
        Its buffers are put back.
    weights : sequence of Tensor, (n_options,)
        For each choice.
    allowed : ndarray of bool, (n_choices, max options)
        Options that take part.
    batches : sequence of (Tensor, Tensor)
        Examples and their classes.

    Returns
    -------
    ndarray of float64, (n_choices, max options)
        Mean cross-entropy in nats; NaN where the option takes no part or has no sibling that does.
    """
    out = np.full(allowed.shape, np.nan)
    run = [tuple(np.flatnonzero(row).tolist()) for row in allowed]
    with kept_buffers(network):
        for choice, option in np.argwhere(allowed & (allowed.sum(axis=1) > 1)[:, None]).tolist():
            row = weights[choice].clone()
            row[option] = 0.0
            mixed = [*weights[:choice], row / row.sum(), *weights[choice + 1 :]]
            runs = [*run[:choice], tuple(code for code in run[choice] if code != option), *run[choice + 1 :]]
            network.mix(mixed, run=runs)
            out[choice, option] = np.mean([float(F.cross_entropy(network(x), y)) for x, y in batches])
    return out


def incoming_edges(space: Space) -> list[list[int]]:
    """Return the choices of the edges into each node that has several, for spaces whose choices are edges of a cell.

    They are named ``source->target`` by number; a space without such choices gives an empty list.
    """
    nodes: dict[str, list[int]] = {}
    for i, choice in enumerate(space.choices):
        if edge := re.fullmatch(r"\d+->(\d+)", choice.name):
            nodes.setdefault(edge[1], []).append(i)
    return [edges for edges in nodes.values() if len(edges) > 1]


def skip_like(space: Space) -> NDArray[np.bool_]:
    """Return which options hand on their input or nothing, ``(n_choices, max options)``.

    They are known by name, and in templates as blocks called identity.
    """
    out = np.zeros((space.n_choices, int(space.cardinalities.max())), dtype=np.bool_)
    for line, choice in zip(out, space.choices, strict=True):
        line[: len(choice.options)] = [option in _SKIPS for option in choice.options]
    if isinstance(space, Template):
        idle = {node.id for node in space.nodes if node.op == "identity"}
        for line, group in zip(out, space.groups, strict=False):
            sets = group.subsets()
            line[: len(sets)] = [all(group.options[i] in idle for i in chosen) for chosen in sets]
    return out
