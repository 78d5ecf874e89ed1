"""What all mobile spaces share: counting, building, graphs and encodings of the blocks in their slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive.spaces._mobile_encodings import ENCODINGS
from ogive.spaces._mobile_skeleton import QUANTITIES, Block, Skeleton, Slot
from ogive.spaces.base import Genotypes, Graphs, Space, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.mobile import MobileNetwork


class Mobile(Space):
    """A chain of slots of fixed shape; a genotype says which block each one holds.

    A subclass gives `skeleton` and `slots`. Costs add up over the slots, so they are one table look-up a slot.

    Attributes
    ----------
    skeleton : Skeleton
    resolutions : tuple of int
        The input resolutions to choose from, in the order of their codes; empty where the task gives the resolution.
    width : float
        Factor on all widths.
    side : int
        The usual resolution.
    """

    buildable = True
    skeleton: Skeleton
    resolutions: tuple[int, ...] = ()
    width: float = 1.0
    side: int = 224

    @property
    def spec(self) -> str:
        """The text that gives this space again."""
        return self.name if self.width == 1 else f"{self.name}:width={self.width}"

    def slots(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """Return which of ``skeleton.blocks`` each slot holds, ``(n, slots)``; the last one is the empty slot."""
        raise NotImplementedError("a subclass of Mobile gives slots()")

    def resolution(self, genotypes: Genotypes) -> NDArray[np.int64]:
        """Return the input resolution of each genotype, ``(n,)``.

        Raises
        ------
        InputError
            If the space has no resolutions to choose from.
        """
        if not self.resolutions:
            raise InputError(f"space '{self.name}' leaves the resolution to the task; 'ofa' has one in its genotypes")
        return np.array(self.resolutions, dtype=np.int64)[np.asarray(genotypes)[:, -1]]

    # ---------------------------------------------------------------- networks

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]]:
        """Return exact ``params``, ``macs``, ``relus`` and ``depth`` in closed form."""
        channels, h, w = image_shape(self.name, task)
        if self.resolutions:
            sides, at = np.unique(self.resolution(genotypes), return_inverse=True)
            fixed, tables = self.skeleton.costs(channels, sides, sides, task.n_outputs)
        else:
            at = np.zeros(len(genotypes), dtype=np.intp)
            fixed, tables = self.skeleton.costs(channels, np.array([h]), np.array([w]), task.n_outputs)
        total = fixed[:, at]
        for table, codes in zip(tables, self.slots(genotypes).T, strict=True):
            total += table[:, codes, at]
        return dict(zip(QUANTITIES, total, strict=True))

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the network, with global average pooling and a linear head.

        Where the resolution is chosen, the network first resizes its images to it, unless they have it already.
        """
        from torch import nn

        rows = self.check(genotype)
        blocks = [self.skeleton.blocks[code] for code in self.slots(rows)[0]]
        modules = (self._module(slot, block) for slot, block in zip(self.skeleton.slots, blocks, strict=True))
        filled = (module for module in modules if not isinstance(module, nn.Identity))
        side = int(self.resolution(rows)[0]) if self.resolutions else None
        return self._network(filled, task, None if task.input_shape[1:] == (side, side) else side)

    def _network(self, blocks: Iterable[nn.Module], task: TaskShape, resolution: int | None = None) -> MobileNetwork:
        """Return a network with these blocks in its slots; an iterator makes them, and their weights, in their turn."""
        from ogive.nn.mobile import MobileNetwork, conv_bn

        skeleton, act = self.skeleton, self.skeleton.activation
        fixed = (self._module(slot, skeleton.FIRST) for slot in [skeleton.fixed] if slot)
        return MobileNetwork(
            conv_bn(image_shape(self.name, task)[0], skeleton.stem, 3, skeleton.stem_stride, activation=act),
            [*fixed, *blocks],
            conv_bn(skeleton.slots[-1].c_out, skeleton.last, 1, activation=act),
            (skeleton.last, skeleton.mix, act) if skeleton.mix else None,
            skeleton.width,
            task.n_outputs,
            resolution,
        )

    def _module(self, slot: Slot, block: Block) -> nn.Module:
        """Return a block as a module; an empty slot is an identity, or a 1x1 convolution where the shape changes."""
        from torch import nn

        from ogive.nn.mobile import InvertedResidual, conv_bn

        if not block.kernel and slot.keeps_shape:
            return nn.Identity()
        if not block.kernel:
            return conv_bn(slot.c_in, slot.c_out, 1, slot.stride, activation=slot.activation)
        return InvertedResidual(
            slot.c_in,
            slot.c_out,
            slot.hidden(block),
            block.kernel,
            slot.stride,
            slot.activation,
            expand=self.skeleton.expands(block),
            groups=block.groups,
            squeezed=slot.squeezed(block),
        )

    # ---------------------------------------------------------------- representations

    def encode(self, genotypes: Genotypes, kind: str = "onehot") -> NDArray[np.float32]:
        """Return features of each genotype.

        Parameters
        ----------
        genotypes : ndarray of int, (n, n_choices)
        kind : str
            As in `Space.encode`, or one of three made for linear latency models.

            "blocks": for every slot one column a block, the empty slot included, and one column a resolution where it
            is chosen.

            "scaled_blocks": the same with the columns of the slots multiplied by ``(resolution / 224)**2``, because the
            time of a block grows with the area of the image.

            "stages": for every stage the number of its blocks, of those with each kernel and of those with each
            expansion, scaled in the same way; where the resolution is chosen, the number of blocks of every stage as it
            is; and billions of multiply-accumulates. Few columns for few measurements: the slots of a stage are alike.

        Returns
        -------
        ndarray of float32, (n, d)
        """
        if kind in ENCODINGS:
            return ENCODINGS[kind](self, genotypes)
        try:
            return super().encode(genotypes, kind)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error}, {', '.join(ENCODINGS)}") from None

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return the chain of all slots, an empty one as "skip", behind a resizing where the resolution is chosen."""
        words = [b.word for b in self.skeleton.blocks]
        sizes = [f"resize_{side}" for side in self.resolutions]
        # An empty slot that changes the shape is a convolution, see `_module`.
        vocabulary = ("input", *words, "conv_1x1", *sizes, "output")
        codes = self.slots(genotypes)
        empty = ~np.array([s.keeps_shape for s in self.skeleton.slots]) & (codes == words.index("skip"))
        chain = np.where(empty, len(words), codes) + 1
        if sizes:
            chain = np.hstack([np.asarray(genotypes)[:, -1:].astype(np.intp) + len(words) + 2, chain])
        n, v = len(chain), chain.shape[1] + 2
        ops = np.zeros((n, v), dtype=np.int8)
        ops[:, 1:-1], ops[:, -1] = chain, len(vocabulary) - 1
        return Graphs(ops, np.broadcast_to(np.eye(v, k=1, dtype=np.bool_), (n, v, v)).copy(), vocabulary)


def checked_width(space: str, width: float) -> float:
    """Return a factor on widths as a float, or say that a space needs another one."""
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0.1 <= width <= 10:
        raise InputError(f"space '{space}' needs a width from 0.1 to 10, not width={width}")
    return float(width)
