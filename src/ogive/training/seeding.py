"""Random streams that depend on a seed alone, and leave the caller's own streams as they were."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def derive(seed: int, *path: int) -> int:
    """Return a 63-bit seed for one purpose, such as ``derive(seed, epoch)``; different paths give unrelated streams."""
    (word,) = np.random.SeedSequence([seed, *path]).generate_state(1, np.uint64)
    return int(word >> 1)


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Seed PyTorch's global generators inside the block, and put them back after it."""
    where = torch.device(device)
    devices = [where.index or 0] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.default_generators[devices[0]].manual_seed(seed)
        yield
