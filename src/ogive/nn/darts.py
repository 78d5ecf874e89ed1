"""The CIFAR network of DARTS: normal and reduction cells that read the two cells before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ogive._errors import InputError
from ogive.nn.blocks import FactorizedReduction, ReLUConvBN
from ogive.nn.separable import dilated_conv, separable_conv
from ogive.nn.supernet import Alternatives

if TYPE_CHECKING:
    from collections.abc import Sequence

    Operation = str | tuple[str, ...]
    Edges = Sequence[tuple[Operation, int]]

AUXILIARY_SIDE = 8
"""Smallest resolution the auxiliary head reads."""


def cell_operation(name: Operation, channels: int, stride: int) -> nn.Module | None:
    """Return the operation called `name`, or None where the edge carries nothing; several names compete."""
    if isinstance(name, tuple):
        return Alternatives({n: cell_operation(n, channels, stride) for n in name})
    kind, _, size = name.rpartition("_")
    if kind == "sep_conv":
        return separable_conv(channels, int(size[0]), stride)
    if kind == "dil_conv":
        return dilated_conv(channels, int(size[0]), stride)
    if kind == "max_pool":
        return nn.MaxPool2d(3, stride, padding=1)
    if kind == "avg_pool":
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduction(channels, channels, stride)
    return None


class TwoInputCell(nn.Module):
    """Four nodes, each the sum of two operations on earlier nodes or inputs; the output concatenates them.

    Parameters
    ----------
    edges : sequence of (str or tuple of str, int)
        Operation and source of the two edges of each node; sources 0 and 1 are the inputs, 2 is the first node. A
        tuple holds all its operations, as `Alternatives`.
    c_before, c_in : int
        Channels of the cell before the last and of the last one.
    c : int
        Channels of a node.
    stride : int
        Of the operations that read an input.
    halve_before : bool
        Whether the first input has twice the resolution of the second.

    References
    ----------
    Liu, Simonyan and Yang, DARTS, ICLR 2019, section 2.1.
    """

    def __init__(self, edges: Edges, c_before: int, c_in: int, c: int, stride: int, *, halve_before: bool) -> None:
        super().__init__()
        self.before = FactorizedReduction(c_before, c, 2) if halve_before else ReLUConvBN(c_before, c, 1)
        self.last = ReLUConvBN(c_in, c, 1)
        self.sources = [source for _, source in edges]
        self.stride = stride
        self.incoming: list[tuple[int, ...]] = [(i, i + 1) for i in range(0, len(edges), 2)]
        self.ops = nn.ModuleDict()
        for i, (op, source) in enumerate(edges):
            module = cell_operation(op, c, stride if source < 2 else 1)
            if module is not None:
                self.ops[str(i)] = module

    def forward(self, before: Tensor, last: Tensor, drop_path: float = 0.0) -> Tensor:
        """Return the four nodes side by side, ``(n, 4c, h, w)``."""
        states = [self.before(before), self.last(last)]
        for edges in self.incoming:
            first, *others = (self._term(i, states, drop_path) for i in edges)
            states.append(sum(others, start=first))
        return torch.cat(states[2:], dim=1)

    def _term(self, i: int, states: list[Tensor], drop_path: float) -> Tensor:
        source, key = self.sources[i], str(i)
        x = states[source]
        op = self.ops[key] if key in self.ops else None  # noqa: SIM401 - a ModuleDict has no get
        if isinstance(op, Alternatives) and op.weights is None:
            op = op.table[op.active]
        y: Tensor | None = None if op is None else op(x)
        if y is None or not y.dim():  # nothing, or a mixture in which no operation runs
            zeros = torch.zeros_like(x[:, :, :: self.stride, :: self.stride] if source < 2 else x)
            return zeros if y is None else zeros + y
        if self.training and drop_path > 0 and not isinstance(op, nn.Identity):
            kept = torch.empty((len(y), 1, 1, 1), device=y.device, dtype=y.dtype).bernoulli_(1 - drop_path)
            y = y * kept / (1 - drop_path)
        return y


class AuxiliaryHead(nn.Sequential):
    """The classifier that helps training from two thirds of the depth; it reads 8 x 8 positions or more."""

    def __init__(self, channels: int, n_outputs: int) -> None:
        super().__init__(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(768, n_outputs),
        )


class DartsNetwork(nn.Module):
    """A stem, `layers` cells with a reduction after one and after two thirds, and a linear head.

    Attributes
    ----------
    drop_path : float
        Chance of dropping each operation that is not an identity, while training; the published schedule raises it
        from 0 to 0.2 epoch by epoch.

    Parameters
    ----------
    normal, reduction
        Edges of the two kinds of cell; see `TwoInputCell`.
    C : int
        Channels of a node in the first cell; the stem has three times as many.
    layers : int
        Number of cells, at least 3.
    input_shape : tuple of int
        ``(channels, height, width)`` of one example.
    n_outputs : int
    auxiliary : bool
        Whether there is an auxiliary head for `with_auxiliary`; `forward` does not use it.
    drop_path : float

    Raises
    ------
    InputError
        If the examples are too small for the auxiliary head.
    """

    cell: ClassVar[type[TwoInputCell]] = TwoInputCell

    def __init__(
        self,
        normal: Edges,
        reduction: Edges,
        C: int,
        layers: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
        *,
        auxiliary: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.stem = nn.Sequential(nn.Conv2d(input_shape[0], 3 * C, 3, padding=1, bias=False), nn.BatchNorm2d(3 * C))
        self.cells = nn.ModuleList()
        self.branch = 2 * layers // 3
        c_before, c_in, c, reduced = 3 * C, 3 * C, C, False
        for i in range(layers):
            reduce = i in (layers // 3, self.branch)
            c *= 2 if reduce else 1
            edges, stride = (reduction, 2) if reduce else (normal, 1)
            self.cells.append(self.cell(edges, c_before, c_in, c, stride, halve_before=reduced))
            c_before, c_in, reduced = c_in, 4 * c, reduce
        self.head = nn.Linear(c_in, n_outputs)
        self.auxiliary: nn.Module | None = None
        if auxiliary:
            if min(-(-side // 4) for side in input_shape[1:]) < AUXILIARY_SIDE:
                raise InputError(
                    f"the auxiliary head of DARTS needs examples of at least {4 * AUXILIARY_SIDE - 3} x "
                    f"{4 * AUXILIARY_SIDE - 3}, not {input_shape[1]} x {input_shape[2]}; build without it"
                )
            self.auxiliary = AuxiliaryHead(16 * C, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        return self._run(x)[0]

    def with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and those of the auxiliary head; the published loss adds 0.4 times the head's.

        Raises
        ------
        InputError
            If the network was built without the head.
        """
        if self.auxiliary is None:
            raise InputError("this network has no auxiliary head; build it with auxiliary=True")
        logits, middle = self._run(x)
        auxiliary: Tensor = self.auxiliary(middle)
        return logits, auxiliary

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the output of the last reduction cell."""
        before = last = middle = self.stem(x)
        for i, cell in enumerate(self.cells):
            before, last = last, cell(before, last, self.drop_path)
            if i == self.branch:
                middle = last
        logits: Tensor = self.head(last.mean(dim=(2, 3)))
        return logits, middle
