"""The search spaces of mobile networks: MobileNetV2 and MobileNetV3 as in Once-for-All, ProxylessNAS, FBNet.

All are chains of inverted residual blocks (`ogive.nn.mobile`). Sources: Cai, Gan, Wang, Zhang and Han, "Once-for-All:
Train One Network and Specialize It for Efficient Deployment", ICLR 2020; Cai, Zhu and Han, "ProxylessNAS: Direct Neural
Architecture Search on Target Task and Hardware", ICLR 2019; Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design
via Differentiable Neural Architecture Search", CVPR 2019.
"""

from __future__ import annotations

from itertools import groupby, product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive._errors import InputError
from ogive.spaces._mobile_base import Mobile, checked_width
from ogive.spaces._mobile_elastic import BLOCKS, Elastic
from ogive.spaces._mobile_lookup import LookupTable
from ogive.spaces._mobile_skeleton import SKIP, Block, Skeleton, Slot, divisible, stages
from ogive.spaces.base import SPACES, Choice, Genotypes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.nn.supernet import SuperNetwork
    from ogive.spaces.base import TaskShape

__all__ = ["FBNet", "LookupTable", "Mobile", "MobileNetV2", "MobileNetV3", "OnceForAll", "ProxylessNAS"]

RESOLUTIONS = tuple(range(128, 225, 4))
"""Input resolutions of Once-for-All."""

_HEADS = {False: 1984, True: 1504}
"""Width of FBNet's last convolution, and that of its variant for small images."""


class MobileNetV2(Elastic):
    """Networks as wide as MobileNetV2, 9 x 7,371^5 (2e20) different ones.

    MobileNetV2 itself is the network of depths 2, 3, 4, 3, 3 with kernel 3 and expansion 6 everywhere. The sixth stage
    has one block.
    """

    name = "mobilenetv2"
    widths: ClassVar[tuple[int, ...]] = (24, 32, 64, 96, 160, 320)

    def _skeleton(self) -> Skeleton:
        return _relu6_skeleton(self.width, self.widths, BLOCKS)


class MobileNetV3(Elastic):
    """The space of Once-for-All: networks as wide as MobileNetV3-Large, 7,371^5 (2e19) different ones.

    Stages 2, 4 and 5 have squeeze-and-excitation; the first two stages have ReLU, the others hard swish.
    """

    name = "mobilenetv3"

    def _skeleton(self) -> Skeleton:
        stem, *widths, last, mix = (divisible(c * self.width) for c in (16, 24, 40, 80, 112, 160, 960, 1280))
        kinds = [("relu", False), ("relu", True), ("hardswish", False), ("hardswish", True), ("hardswish", True)]
        return Skeleton(
            stem=stem,
            stem_stride=2,
            fixed=Slot(stem, stem, 1, "relu"),
            slots=stages(stem, widths, (2, 2, 2, 1, 2), (4,) * 5, kinds),
            blocks=BLOCKS,
            last=last,
            mix=mix,
            activation="hardswish",
        )


class OnceForAll(MobileNetV3):
    """The space `mobilenetv3` with one of 25 input resolutions for every network, 128 to 224 in steps of 4."""

    name = "ofa"
    resolutions = RESOLUTIONS


class _BlockBySlot(Mobile):
    """One choice a slot: its block, or "skip" for an empty slot."""

    def __init__(self, skeleton: Skeleton, skippable: Sequence[bool]) -> None:
        self.skeleton = skeleton
        options = tuple(block.name for block in skeleton.blocks)
        self.choices = tuple(
            Choice(f"block{i + 1}", options if skip else options[:-1]) for i, skip in enumerate(skippable)
        )

    def slots(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """Return the genotypes: they name the blocks, ``(n, slots)``."""
        return np.asarray(genotypes).astype(np.intp)

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return the genotypes with the empty slots of every stage behind its blocks.

        The slots of a stage that keep its shape are alike, so it does not matter which of them are empty.
        """
        out = np.array(genotypes, dtype=self.dtype)
        start, empty = 0, len(self.skeleton.blocks) - 1
        for slot, run in groupby(self.skeleton.slots):
            end = start + len(list(run))
            if slot.keeps_shape:
                part = out[:, start:end]
                out[:, start:end] = np.take_along_axis(part, np.argsort(part == empty, axis=1, kind="stable"), axis=1)
            start = end
        return out

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the network with all blocks in every slot."""
        from ogive.nn.super_mobile import SuperMobileNetwork
        from ogive.nn.supernet import Alternatives

        slots = []
        for slot, choice in zip(self.skeleton.slots, self.choices, strict=True):
            # A slot that must not be empty lacks the last option.
            named = zip(choice.options, self.skeleton.blocks, strict=False)
            slots.append(Alternatives({name: self._module(slot, block) for name, block in named}))
        network = SuperMobileNetwork(self._network(slots, task))
        for number, place in enumerate(slots):
            network.bind(number, place)
        return network


class ProxylessNAS(_BlockBySlot):
    """The space of ProxylessNAS: 21 slots, kernels 3, 5 and 7, expansions 3 and 6, or none where the shape stays.

    Widths are those of the published ProxylessNAS-Mobile.

    Parameters
    ----------
    width : float
        Factor on all widths.
    """

    name = "proxylessnas"
    reference = "Cai et al., ProxylessNAS, ICLR 2019, arXiv 1812.00332"
    widths: ClassVar[tuple[int, ...]] = (32, 40, 80, 96, 192, 320)

    def __init__(self, width: float = 1.0) -> None:
        self.width = checked_width(self.name, width)
        blocks = (*(Block(k, e) for k, e in product((3, 5, 7), (3, 6))), SKIP)
        skeleton = _relu6_skeleton(self.width, self.widths, blocks)
        super().__init__(skeleton, [slot.keeps_shape for slot in skeleton.slots])


class FBNet(_BlockBySlot):
    """The space of FBNet: 22 slots with one of nine blocks each, 9^22 (1e21) genotypes.

    Blocks are numbered as in HW-NAS-Bench and in latency tables made with it. An empty slot that changes the shape is a
    1x1 convolution.

    Parameters
    ----------
    cifar : bool
        The variant of HW-NAS-Bench for images of 32 x 32: no stride in the stem and the second stage.
    head : int, optional
        Width of the last 1x1 convolution. Default 1984, and 1504 for `cifar`; FBNet-A has 1504 too.
    """

    name = "fbnet"
    reference = "Wu et al., FBNet, CVPR 2019, arXiv 1812.03443"

    def __init__(self, cifar: bool = False, head: int | None = None) -> None:
        self.cifar, self.head = cifar, _HEADS[bool(cifar)] if head is None else head
        if type(cifar) is not bool or type(self.head) is not int or self.head < 1:
            raise InputError(f"space 'fbnet' needs cifar=true or false and head >= 1, not cifar={cifar}, head={head}")
        self.side = 32 if cifar else 224
        blocks = (Block(k, e, g) for k in (3, 5) for e, g in ((1, 1), (1, 2), (3, 1), (6, 1)))
        skeleton = Skeleton(
            stem=16,
            stem_stride=1 if cifar else 2,
            fixed=None,
            slots=stages(
                16,
                (16, 24, 32, 64, 112, 184, 352),
                (1, 1 if cifar else 2, 2, 2, 1, 2, 1),
                (1, 4, 4, 4, 4, 4, 1),
                [("relu", False)] * 7,
            ),
            blocks=(*blocks, SKIP),
            last=self.head,
            mix=0,
            activation="relu",
            always_expands=True,
        )
        super().__init__(skeleton, [True] * 22)

    @property
    def spec(self) -> str:
        """The text that gives this space again."""
        options = ["cifar=true"] if self.cifar else []
        if self.head != _HEADS[self.cifar]:
            options.append(f"head={self.head}")
        return f"{self.name}:{','.join(options)}" if options else self.name


def _relu6_skeleton(width: float, widths: Sequence[int], blocks: tuple[Block, ...]) -> Skeleton:
    """Return the frame that MobileNetV2 and ProxylessNAS share: five stages of four slots and one of one."""
    stem, first = divisible(32 * width), divisible(16 * width)
    scaled = [divisible(c * width) for c in widths]
    return Skeleton(
        stem=stem,
        stem_stride=2,
        fixed=Slot(stem, first, 1, "relu6"),
        slots=stages(first, scaled, (2, 2, 2, 1, 2, 1), (4, 4, 4, 4, 4, 1), [("relu6", False)] * 6),
        blocks=blocks,
        last=divisible(1280 * max(width, 1.0)),
        mix=0,
        activation="relu6",
    )


SPACES.add("mobilenetv2", MobileNetV2)
SPACES.add("mobilenetv3", MobileNetV3)
SPACES.add("ofa", OnceForAll)
SPACES.add("proxylessnas", ProxylessNAS)
SPACES.add("fbnet", FBNet)
