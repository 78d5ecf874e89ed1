"""The combinations of independent choices in order of their joint probability."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.strategies.base import Floats


def most_likely(logits: Floats) -> Iterator[list[int]]:
    """Yield every combination of options, one a choice, with the largest sum of logits first.

    Lawler's k-best enumeration: combinations wait in a heap, each is put there once, by the only predecessor it has,
    and a predecessor is never less likely. k combinations take at most 3 k entries, however many there are. The loop
    is one over architectures because which comes next is known only when the one before it is.

    Parameters
    ----------
    logits : ndarray of float64, (n_choices, max options)
        -inf where an option is not to be used; each choice has one that is finite.

    Yields
    ------
    list of int
        Option of every choice.
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    ordered = np.take_along_axis(logits, order, axis=1)
    # What the option of each rank loses against the best of its choice; those not to be used are left out.
    losses = [[value for value in row if value < np.inf] for row in (ordered[:, :1] - ordered).tolist()]
    free = sorted((i for i, row in enumerate(losses) if len(row) > 1), key=lambda i: losses[i][1])
    gaps = [losses[i] for i in free]
    best = order[:, 0].tolist()
    yield list(best)
    # Entries: loss, ranks of the free choices up to the last one that is not at its best.
    heap: list[tuple[float, tuple[int, ...]]] = [(gaps[0][1], (1,))] if gaps else []
    while heap:
        total, ranks = heapq.heappop(heap)
        row = list(best)
        for at, rank in enumerate(ranks):
            row[free[at]] = int(order[free[at], rank])
        yield row
        last, rank = len(ranks) - 1, ranks[-1]
        if rank + 1 < len(gaps[last]):
            heapq.heappush(heap, (total + gaps[last][rank + 1] - gaps[last][rank], (*ranks[:-1], rank + 1)))
        if last + 1 < len(gaps):
            heapq.heappush(heap, (total + gaps[last + 1][1], (*ranks, 1)))
            if rank == 1:
                heapq.heappush(heap, (total + gaps[last + 1][1] - gaps[last][1], (*ranks[:-1], 0, 1)))
