"""Supernets of the mobile spaces: blocks that compete for a slot, or one elastic block a slot.

Sources: Cai, Gan, Wang, Zhang and Han, "Once-for-All: Train One Network and Specialize It for Efficient Deployment",
ICLR 2020; Cai, Zhu and Han, "ProxylessNAS", ICLR 2019; Wu et al., "FBNet", CVPR 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ogive.nn.elastic import elastic, resize
from ogive.nn.mobile import InvertedResidual, MobileNetwork
from ogive.nn.supernet import Alternatives, SuperNetwork, active_state

if TYPE_CHECKING:
    from collections.abc import Sequence


class Chain(nn.Sequential):
    """Blocks in a row; an empty place counts for nothing, so that the others are numbered as in a plain network."""

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the active blocks, numbered without the places that hold an identity."""
        active = [place.table[place.active] if isinstance(place, Alternatives) else place for place in self]
        filled = [block for block in active if block is not None and not isinstance(block, nn.Identity)]
        return {f"{i}.{name}": tensor for i, block in enumerate(filled) for name, tensor in active_state(block).items()}


class SuperMobileNetwork(SuperNetwork):
    """A mobile network whose slots hold alternatives; each is bound to the choice that decides on it.

    Parameters
    ----------
    network : MobileNetwork
        Those of its blocks that are `Alternatives` are the slots; an empty one is an identity.
    """

    def __init__(self, network: MobileNetwork) -> None:
        super().__init__()
        self.network = network
        network.blocks = Chain(*network.blocks)

    @property
    def slots(self) -> list[Alternatives]:
        """The places for searched blocks, in their order."""
        return [block for block in self.network.blocks if isinstance(block, Alternatives)]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, ``(n, n_outputs)``."""
        logits: Tensor = self.network(x)
        return logits

    def active_state(self) -> dict[str, Tensor]:
        """Return the tensors of the active path, under the names the plain network has for them."""
        return active_state(self.network)


class ElasticInvertedResidual(InvertedResidual):
    """An inverted residual block with several kernels and inner widths in one weight, as in Once-for-All.

    Smaller kernels are learned linear maps of the centres of larger ones.

    Parameters
    ----------
    c_in, c_out, stride, activation
        As in `InvertedResidual`.
    kernels : sequence of int
        Of the depthwise convolution.
    widths : sequence of (int, int)
        Pairs of inner width and width inside the squeeze-and-excitation, 0 for none; the last pair is the widest.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernels: Sequence[int],
        widths: Sequence[tuple[int, int]],
        stride: int,
        activation: str,
    ) -> None:
        hidden, squeezed = widths[-1]
        super().__init__(c_in, c_out, hidden, max(kernels), stride, activation, squeezed=squeezed)
        self.c_in, self.c_out, self.kernels, self.widths = c_in, c_out, tuple(kernels), tuple(widths)
        elastic(self.body, kernels=kernels, transform=True)

    def select(self, kernel: int, width: int) -> None:
        """Choose what runs by the positions in `kernels` and `widths`."""
        hidden, squeezed = self.widths[width]
        excite = (squeezed, hidden) if squeezed else ()
        resize(self.body, self.c_in, hidden, hidden, *excite, self.c_out, kernel=self.kernels[kernel])


class ElasticMobileNetwork(SuperMobileNetwork):
    """A mobile network whose stages have a depth and whose blocks have a kernel and an expansion each, all elastic.

    A genotype holds the depth of every stage, the kernel of every slot, the expansion of every slot, and where there
    are several resolutions, that of the images.

    Parameters
    ----------
    network : MobileNetwork
        Its slots are `slot_of` an elastic block; three choices decide on each, so they are not bound.
    depths : sequence of int
        Blocks of a stage, in the order of codes. A shallow stage has the first blocks of a deep one.
    places : sequence of (int, int)
        Stage of every slot and its place there, from 0.
    stages : int
        Stages with a depth to choose; later ones have all their blocks.
    resolutions : sequence of int
        Sides of the square that images are resized to; empty where they stay as they are.
    """

    mixable: ClassVar[bool] = False

    def __init__(
        self,
        network: MobileNetwork,
        depths: Sequence[int],
        places: Sequence[tuple[int, int]],
        stages: int,
        resolutions: Sequence[int],
    ) -> None:
        super().__init__(network)
        self.depths, self.places, self.stages = tuple(depths), tuple(places), stages
        self.resolutions = tuple(resolutions)

    def select(self, codes: Sequence[int]) -> None:
        """Make the path of one genotype the active one; see `SuperNetwork.select`."""
        first, length = self.stages, len(self.places)
        kernels, expansions = codes[first : first + length], codes[first + length : first + 2 * length]
        for slot, (stage, place), kernel, expansion in zip(self.slots, self.places, kernels, expansions, strict=True):
            ends = stage < first and place >= self.depths[codes[stage]]
            slot.active = int(ends)
            if not ends:
                block = slot.table[0]
                assert isinstance(block, ElasticInvertedResidual)
                block.select(kernel, expansion)
        if self.resolutions:
            side = self.resolutions[codes[-1]]
            self.network.resize.size = (side, side)


def slot_of(block: nn.Module) -> Alternatives:
    """Return a slot that holds a block or nothing."""
    return Alternatives({"block": block, "skip": nn.Identity()})
