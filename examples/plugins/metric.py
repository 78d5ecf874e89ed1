"""A metric of one's own: ogive measure ARCH --metrics skips,widest --plugin examples/plugins/metric.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive.metrics.base import Cost, metric

if TYPE_CHECKING:
    from ogive.metrics.base import Context, Floats
    from ogive.spaces.base import Genotypes, Space


@metric("skips", unit="edges", direction="max", description="choices that take the option skip_connect")
def skips(space: Space, genotypes: Genotypes, _: Context) -> Floats:
    """Read it off the whole batch at once: no network is built."""
    codes = [c.options.index("skip_connect") if "skip_connect" in c.options else -1 for c in space.choices]
    return (np.asarray(genotypes) == codes).sum(axis=1).astype(np.float64)


@metric("widest", unit="channels", direction="min", cost=Cost.COUNT, needs=frozenset({"task"}))
def widest(space: Space, genotypes: Genotypes, context: Context) -> Floats:
    """Ask the built network, laid out without weights."""
    import torch

    task = context.need_task("widest")
    with torch.device("meta"):
        models = [space.build(g, task) for g in genotypes]
    return np.array([max(p.shape[0] for p in m.parameters()) for m in models], dtype=np.float64)
