"""Networks of drawn templates: the blocks of the catalogue, and the graph that runs them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ogive._errors import InputError
from ogive.nn.blocks import FactorizedReduction, ReLUConvBN, ResidualBlock
from ogive.nn.conv import ConvBNReLU
from ogive.nn.separable import dilated_conv, separable_conv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Shape3 = tuple[int, ...]


MAX_CHANNELS = 16_384
"""Most channels a node may have."""


class Step(NamedTuple):
    """One node of a network: its id, its block with all arguments, and the ids of the nodes it reads."""

    id: str
    op: str
    args: Mapping[str, Any]
    sources: tuple[str, ...]

    @property
    def merge(self) -> str:
        """How several inputs become one; an input node has none to merge."""
        return str(self.args.get("merge", "sum"))

    @property
    def gated(self) -> bool:
        """Whether it learns a weight for each of its inputs."""
        return self.merge == "gated" and len(self.sources) > 1


def block(op: str, args: Mapping[str, Any], c_in: int, n_outputs: int) -> nn.Module:
    """Return the block called `op` for an input of `c_in` channels, its weights freshly initialised."""
    if op == "output":
        grid = args["grid"]
        return nn.Sequential(nn.AdaptiveAvgPool2d(grid), nn.Flatten(), nn.Linear(c_in * grid * grid, n_outputs))
    if op in ("input", "identity"):
        return nn.Identity()
    stride = args["stride"]
    if op.endswith("_pool"):
        kernel = args["kernel"]
        padding, ceil = (kernel - 1) // 2, kernel % 2 == 0
        if op == "max_pool":
            return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
        return nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=False)
    if op == "separable_conv":
        return separable_conv(c_in, args["kernel"], stride)
    if op == "dilated_conv":
        return dilated_conv(c_in, args["kernel"], stride, args["dilation"])
    asked = args["channels"]
    c_out = asked if isinstance(asked, int) else int(asked[1:]) * c_in
    if op == "residual_block":
        return ResidualBlock(c_in, c_out, stride)
    if op == "factorized_reduction":
        return FactorizedReduction(c_in, c_out, stride)
    if op == "relu_conv_bn":
        return ReLUConvBN(c_in, c_out, args["kernel"], stride)
    return ConvBNReLU(c_in, c_out, args["kernel"], stride, args["dilation"])


@lru_cache(maxsize=4096)
def _traced(op: str, args: tuple[tuple[str, Any], ...], shape: Shape3, n_outputs: int) -> Shape3:
    with torch.device("meta"), torch.no_grad():
        module = block(op, dict(args), shape[0], n_outputs).eval()
        return tuple(module(torch.empty(1, *shape)).shape[1:])


def output_shape(node: str, op: str, args: Mapping[str, Any], shape: Shape3, n_outputs: int) -> Shape3:
    """Return the shape a block makes of an input of `shape`, found without numbers.

    Raises
    ------
    InputError
        If the block cannot take it or makes it too wide, naming the node.
    """
    try:
        out = _traced(op, tuple(args.items()), shape, n_outputs)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"template node '{node}': {op} cannot take an input of shape {shape}: {reason}") from error
    if out[0] > MAX_CHANNELS:
        raise InputError(f"template node '{node}': {out[0]} channels are more than {MAX_CHANNELS}; draw it narrower")
    return out


def merged_shape(node: str, merge: str, shapes: Sequence[tuple[str, Shape3]]) -> Shape3:
    """Return the shape of the sum or concatenation of what a node reads, given as (source, shape).

    Raises
    ------
    InputError
        If the shapes disagree, naming the node and two of its sources.
    """
    (first, shape), *others = shapes
    free = 1 if merge == "concat" else 0
    for source, other in others:
        if other[free:] != shape[free:]:
            raise InputError(
                f"template node '{node}': shapes disagree, {shape} from '{first}' and {other} from '{source}'; "
                "mend channels or strides, or put a group or a block between them"
            )
    return (sum(s[0] for _, s in shapes), *shape[1:]) if free else shape


def merge(rule: str, read: Sequence[Tensor], gates: Tensor | None = None) -> Tensor:
    """Return what a node makes of its inputs before its block sees them.

    Parameters
    ----------
    rule : {"sum", "mean", "concat", "gated"}
    read : sequence of Tensor
    gates : Tensor, (n_inputs,), optional
        For "gated": the softmax over the inputs weighs them, so that equal gates give the mean.
    """
    if len(read) == 1:
        return read[0]
    if rule == "concat":
        return torch.cat(list(read), dim=1)
    if rule == "gated":
        assert gates is not None
        read = [w * y for w, y in zip(torch.softmax(gates, dim=0), read, strict=True)]
    total = sum(read[1:], start=read[0])
    return total / len(read) if rule == "mean" else total


class TemplateNetwork(nn.Module):
    """Runs the nodes one after the other; several outputs are averaged.

    A node that weighs several inputs by gates learns one number for each, all equal at first.

    Parameters
    ----------
    steps : sequence of Step
        In topological order.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int

    Raises
    ------
    InputError
        If shapes disagree, naming the node.
    """

    def __init__(self, steps: Sequence[Step], input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self.blocks = nn.ModuleList()
        self.gates = nn.ParameterDict()
        shapes: dict[str, Shape3] = {}
        for i, step in enumerate(steps):
            shape = tuple(input_shape)
            if step.op != "input":
                shape = merged_shape(step.id, step.args["merge"], [(s, shapes[s]) for s in step.sources])
            shapes[step.id] = output_shape(step.id, step.op, step.args, shape, n_outputs)
            self.blocks.append(block(step.op, step.args, shape[0], n_outputs))
            if step.gated:
                self.gates[str(i)] = nn.Parameter(torch.zeros(len(step.sources)))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        values: dict[str, Tensor] = {}
        logits: list[Tensor] = []
        for i, (step, module) in enumerate(zip(self.steps, self.blocks, strict=True)):
            read = [values[source] for source in step.sources] or [x]
            y: Tensor = module(merge(step.merge, read, self.gates[str(i)] if step.gated else None))
            values[step.id] = y
            if step.op == "output":
                logits.append(y)
        return torch.stack(logits).mean(dim=0) if len(logits) > 1 else logits[0]
