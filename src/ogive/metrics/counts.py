"""Exact costs of an architecture: ``params``, ``macs``, ``relus``, ``depth``.

A space that has a closed form counts whole batches at once; any other network is laid out without weights and counted
operation by operation. Both give the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.metrics.base import Context, Cost, Floats, Metric, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ogive.metrics._module_counts import Counts, count_module
    from ogive.spaces.base import Genotypes, Space
    from ogive.tasks.base import Task

__all__ = ["Counts", "count_module"]


def __getattr__(name: str) -> Any:
    # The closed forms need no PyTorch; only who counts a module pays for importing it.
    if name in __all__:
        from ogive.metrics import _module_counts

        return getattr(_module_counts, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _provider(names: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context) -> Mapping[str, Floats]:
    """Count a batch in closed form where the space has one, else network by network."""
    task = context.need_task(names[0])
    closed = space.count(genotypes, task)
    found = _by_building(space, genotypes, task) if closed is None else closed
    return {name: np.asarray(found[name], dtype=np.float64) for name in names}


def _by_building(space: Space, genotypes: Genotypes, task: Task) -> Mapping[str, Floats]:
    import torch

    from ogive.metrics._module_counts import count_module

    # Each architecture is a network of its own: there is nothing to vectorise over, but duplicates are counted once.
    rows, inverse = np.unique(np.asarray(genotypes), axis=0, return_inverse=True)
    table = np.full((len(rows), len(QUANTITIES)), np.nan)
    for i, row in enumerate(rows):
        with torch.device("meta"):
            model = space.build(row, task)
        counts = count_module(model, task.input_shape)
        table[i] = [getattr(counts, q) for q in QUANTITIES]
    return dict(zip(QUANTITIES, table[inverse.reshape(-1)].T, strict=True))


QUANTITIES = {
    "params": "trainable parameters",
    "macs": "multiply-accumulates of convolutions and matrix products for one example",
    "relus": "comparisons of ReLUs and max-poolings for one example",
    "depth": "weighted layers on the longest path from input to output",
}

register(
    *(
        Metric(
            name=name,
            provider=_provider,
            unit={"params": "parameters", "macs": "MAC"}.get(name, "1"),
            direction="min",
            cost=Cost.TABLE,
            scale="linear" if name == "depth" else "log",
            needs=frozenset({"task"}),
            description=description,
        )
        for name, description in QUANTITIES.items()
    )
)
