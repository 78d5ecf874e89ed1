"""The law of drawing several options without replacement, as Gumbel-top-k does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)


def set_shares(logits: NDArray[np.float64], sets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the probability of each set of options, all of one size, when Gumbel-top-k draws as many.

    Options are k races with exponential times of rate ``exp(logit)``; a set wins when its members are the first. Given
    the time t of the first other option, they all are with probability ``prod(1 - exp(-rate t))``, which is averaged
    over t by Gauss-Legendre quadrature. Source: Kool et al., "Stochastic Beams and Where to Find Them", ICML 2019.

    Parameters
    ----------
    logits : ndarray of float64, (n_options,)
    sets : ndarray of bool, (n_sets, n_options)
        Each of the same size.

    Returns
    -------
    ndarray of float64, (n_sets,)
        Relative to each other: they add up to 1. Exact for single options.
    """
    rate = np.exp(logits - logits.max())
    size = int(sets[0].sum())
    if size in (0, sets.shape[1]):
        return np.full(len(sets), 1 / len(sets))
    if size == 1:
        share = sets @ rate
        return np.asarray(share / share.sum())
    members = rate[np.nonzero(sets)[1]].reshape(len(sets), size)
    others = np.maximum(~sets @ rate, np.finfo(np.float64).tiny)
    # t = -log(u) / others, u uniform; u = s^3 spreads the nodes over the times at which slow members arrive.
    s, weight = (_NODES + 1) / 2, _WEIGHTS / 2
    exponent = members / others[:, None]
    arrived = -np.expm1(3 * np.log(s) * exponent[:, :, None])
    share = arrived.prod(axis=1) @ (3 * s**2 * weight)
    return np.asarray(share / share.sum())
