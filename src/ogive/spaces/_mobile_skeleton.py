"""What the mobile spaces are made of: slots of fixed shape, each with one of a few blocks, and what those cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

QUANTITIES = ("params", "macs", "relus", "depth")

COMPARISONS = {"relu": 1, "relu6": 2, "hardswish": 2}
"""Comparisons of one output of each activation, as `ogive.metrics.counts` has them."""


def divisible(width: float) -> int:
    """Round a width to the nearest multiple of eight, but never to less than nine tenths of it."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


@dataclass(frozen=True)
class Block:
    """What may stand in a slot.

    Attributes
    ----------
    kernel : int
        Of the depthwise convolution; 0 stands for no block at all.
    expansion : int
        Channels inside over channels before.
    groups : int
        Of both 1x1 convolutions.
    """

    kernel: int
    expansion: int = 1
    groups: int = 1

    @property
    def name(self) -> str:
        """The name as an option: ``k5_e6``, ``k3_e1_g2``, ``skip``."""
        if not self.kernel:
            return "skip"
        return f"k{self.kernel}_e{self.expansion}" + (f"_g{self.groups}" if self.groups > 1 else "")

    @property
    def word(self) -> str:
        """The name as an operation of a graph, with the kernel as all spaces write it."""
        return self.name.replace(f"k{self.kernel}", f"mbconv_{self.kernel}x{self.kernel}")


SKIP = Block(0)
"""No block at all."""


@dataclass(frozen=True)
class Slot:
    """A place for a block between two shapes.

    Attributes
    ----------
    c_in, c_out, stride : int
    activation : str
    squeeze : bool
        Whether a block has squeeze-and-excitation, a quarter of its inner width wide.
    """

    c_in: int
    c_out: int
    stride: int
    activation: str
    squeeze: bool = False

    @property
    def keeps_shape(self) -> bool:
        """Whether the slot may be empty, and a block there has a shortcut."""
        return self.stride == 1 and self.c_in == self.c_out

    def hidden(self, block: Block) -> int:
        """Return the channels inside a block."""
        return self.c_in * block.expansion

    def squeezed(self, block: Block) -> int:
        """Return the width inside a block's squeeze-and-excitation, 0 where it has none."""
        return divisible(self.hidden(block) // 4) if self.squeeze else 0


@dataclass(frozen=True)
class Skeleton:
    """Everything of a mobile network that is not searched.

    Attributes
    ----------
    stem, stem_stride : int
        Channels and stride of the first 3x3 convolution.
    fixed : Slot or None
        A first slot that always holds a 3x3 block without expansion.
    slots : tuple of Slot
        The searched slots.
    blocks : tuple of Block
        What a slot may hold, in the order of its codes.
    last : int
        Width of the 1x1 convolution before the pooling.
    mix : int
        Width of a 1x1 convolution without batch norm behind the pooling, 0 for none.
    activation : str
        Of stem, last and mix.
    always_expands : bool
        Whether a block with expansion 1 has the first 1x1 convolution too.
    """

    stem: int
    stem_stride: int
    fixed: Slot | None
    slots: tuple[Slot, ...]
    blocks: tuple[Block, ...]
    last: int
    mix: int
    activation: str
    always_expands: bool = False

    FIRST: ClassVar[Block] = Block(3)
    """What stands in the fixed slot."""

    @property
    def width(self) -> int:
        """Inputs of the classifier."""
        return self.mix or self.last

    def expands(self, block: Block) -> bool:
        """Return whether a block starts with a 1x1 convolution."""
        return block.expansion > 1 or self.always_expands

    def costs(self, channels: int, h: Ints, w: Ints, n_outputs: int) -> tuple[Ints, list[Ints]]:
        """Return what the fixed part and every block in every slot cost at each of r resolutions.

        Parameters
        ----------
        channels : int
            Channels of the image.
        h, w : ndarray of int64, (r,)
            Heights and widths of the image.
        n_outputs : int

        Returns
        -------
        fixed : ndarray of int64, (4, r)
            In the order of `QUANTITIES`.
        slots : list of ndarray of int64, (4, blocks, r)
        """
        h, w = _shrunk(h, self.stem_stride), _shrunk(w, self.stem_stride)
        fixed = _convolution(channels * self.stem * 9, self.stem, h * w, self.activation)
        if self.fixed:
            fixed = fixed + self._cost(self.fixed, self.FIRST, h, w)
        tables = []
        for slot in self.slots:
            tables.append(np.stack([self._cost(slot, block, h, w) for block in self.blocks], axis=1))
            h, w = _shrunk(h, slot.stride), _shrunk(w, slot.stride)
        fixed = fixed + _convolution(self.slots[-1].c_out * self.last, self.last, h * w, self.activation)
        if self.mix:
            fixed = fixed + _convolution(self.last * self.mix, self.mix, h**0, self.activation, norm=False)
        head = np.array([(self.width + 1) * n_outputs, self.width * n_outputs, 0, 1], dtype=np.int64)
        return fixed + head[:, None], tables

    def _cost(self, slot: Slot, block: Block, h: Ints, w: Ints) -> Ints:
        """Return what one block costs, ``(4, r)``."""
        before, after = h * w, _shrunk(h, slot.stride) * _shrunk(w, slot.stride)
        if not block.kernel:
            weights = slot.c_in * slot.c_out
            zero = np.zeros((4, len(h)), dtype=np.int64)
            return zero if slot.keeps_shape else _convolution(weights, slot.c_out, after, slot.activation)
        inner, squeezed = slot.hidden(block), slot.squeezed(block)
        total = _convolution(inner * block.kernel**2, inner, after, slot.activation)
        total = total + _convolution(inner * slot.c_out // block.groups, slot.c_out, after)
        if self.expands(block):
            total = total + _convolution(slot.c_in * inner // block.groups, inner, before, slot.activation)
        if squeezed:
            weights = 2 * inner * squeezed
            gate = np.array([weights + inner + squeezed, weights, squeezed + 2 * inner, 2], dtype=np.int64)
            total = total + gate[:, None]
        return total


def _shrunk(size: Ints, stride: int) -> Ints:
    """Return the resolution behind a stride; an odd one is rounded up."""
    return -(-size // stride)


def _convolution(weights: int, c_out: int, area: Ints, activation: str | None = None, *, norm: bool = True) -> Ints:
    """Return what a convolution with these weights costs on `area` outputs a channel, ``(4, r)``."""
    one = np.ones_like(area)
    relus = COMPARISONS[activation] * c_out * area if activation else 0 * one
    return np.stack([(weights + 2 * c_out * norm) * one, weights * area, relus, one])


def stages(
    c_in: int, widths: Sequence[int], strides: Sequence[int], lengths: Sequence[int], kinds: Sequence[tuple[str, bool]]
) -> tuple[Slot, ...]:
    """Return the slots of a row of stages; the first slot of each has the stride and changes the width.

    Parameters
    ----------
    c_in : int
        Channels before the first stage.
    widths, strides, lengths : sequence of int
        One for each stage.
    kinds : sequence of tuple of str and bool
        Activation and squeeze-and-excitation of each stage.
    """
    slots = []
    for c_out, stride, length, (activation, squeeze) in zip(widths, strides, lengths, kinds, strict=True):
        for i in range(length):
            slots.append(Slot(c_in, c_out, 1 if i else stride, activation, squeeze))
            c_in = c_out
    return tuple(slots)
