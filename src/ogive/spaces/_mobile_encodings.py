"""Features of mobile networks for linear latency models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ogive.spaces._types import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ogive.spaces._mobile_base import Mobile
    from ogive.spaces._types import Genotypes

    Features = NDArray[np.float32]


def blocks(space: Mobile, genotypes: Genotypes, *, scaled: bool = False) -> Features:
    """Return for every slot one column a block, and one column a resolution where it is chosen; see `Mobile.encode`."""
    codes = space.slots(genotypes)
    held = (codes[:, :, None] == np.arange(len(space.skeleton.blocks))).reshape(len(codes), -1)
    if not space.resolutions:
        return np.asarray(held, dtype=np.float32)
    sizes = space.resolution(genotypes)[:, None] == np.array(space.resolutions)
    area = _area(space, genotypes)[:, None] if scaled else 1.0
    return np.asarray(np.hstack([held * area, sizes]), dtype=np.float32)


def stages(space: Mobile, genotypes: Genotypes) -> Features:
    """Return for every stage how many blocks it has, and how many of each kernel and expansion; see `Mobile.encode`."""
    skeleton, n = space.skeleton, len(genotypes)
    kernels = sorted({b.kernel for b in skeleton.blocks} - {0})
    expansions = sorted({(b.expansion, b.groups) for b in skeleton.blocks if b.kernel})
    traits = np.array(
        [
            [b.kernel > 0, *(b.kernel == k for k in kernels), *((b.expansion, b.groups) == e for e in expansions)]
            for b in skeleton.blocks
        ],
        dtype=np.float64,
    )
    traits[-1] = 0  # an empty slot has neither kernel nor expansion
    starts = [i for i, slot in enumerate(skeleton.slots) if i == 0 or not slot.keeps_shape]
    counts = np.add.reduceat(traits[space.slots(genotypes)], starts, axis=1)
    parts = [(counts * _area(space, genotypes)[:, None, None]).reshape(n, -1)]
    if space.resolutions:
        parts.append(counts[:, :, 0])
    macs = space.count(genotypes, Shape((3, space.side, space.side), 1000))["macs"]
    return np.asarray(np.hstack([*parts, macs[:, None] / 1e9]), dtype=np.float32)


def _area(space: Mobile, genotypes: Genotypes) -> NDArray[np.float64]:
    """Return the area of the images over that of the usual ones, ``(n,)``."""
    if not space.resolutions:
        return np.ones(len(genotypes))
    return np.asarray((space.resolution(genotypes) / space.side) ** 2)


ENCODINGS: dict[str, Callable[[Mobile, Genotypes], Features]] = {
    "blocks": blocks,
    "scaled_blocks": partial(blocks, scaled=True),
    "stages": stages,
}
