"""Fixed stratified splits: the same examples on every machine and under every version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stratified(y: NDArray[Any], sizes: tuple[int, ...], seed: int) -> list[NDArray[np.intp]]:
    """Cut the examples into disjoint parts with (nearly) the class shares of the whole.

    Parameters
    ----------
    y : ndarray of int, (n,)
        Class of every example.
    sizes : tuple of int
        Examples of every part but the first, which takes the rest.
    seed : int
        Only PCG64's raw doubles are drawn, a stream that numpy guarantees never to change.

    Returns
    -------
    list of ndarray of int, each sorted
        Indices of every part; a class's share of a part is exact up to the rounding of all classes.
    """
    n = len(y)
    order = np.argsort(np.random.Generator(np.random.PCG64(seed)).random(n), kind="stable")
    order = order[np.argsort(y[order], kind="stable")]
    count = np.bincount(y)
    count = count[count > 0]
    rank = np.arange(n) - np.repeat(np.cumsum(count) - count, count)
    # Every example gets its quantile within its class; a cut at any quantile keeps the class shares.
    order = order[np.argsort((rank + 0.5) / np.repeat(count, count), kind="stable")]
    cuts = np.cumsum([n - sum(sizes), *sizes])[:-1]
    return [np.sort(part) for part in np.split(order, cuts)]
