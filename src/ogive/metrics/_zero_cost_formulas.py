"""What zero-cost proxies make of gradients, Jacobians and activation codes: the closing formula of each paper.

Arrays in, one number out. A quantity that is undefined because the network tells nothing apart is ``-inf``, below
every other, and never NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.floating[Any]]

_JITTER = 1e-5
"""The constant k that keeps the logarithms of jacov and epe_nas finite, as both papers' authors set it."""

_PAIRWISE_ABOVE = 100
"""Number of classes above which EPE-NAS compares classes in pairs instead of adding them up."""


def _correlation(rows: Floats) -> NDArray[np.float64] | None:
    """Return the correlation matrix of the rows, or None where a constant row leaves it undefined."""
    centred = rows - rows.mean(axis=1, keepdims=True, dtype=np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    if not norms.all():
        return None
    centred /= norms[:, None]
    return np.asarray(centred @ centred.T)


def jacov(jacobian: Floats) -> float:
    """Return minus the sum over eigenvalues v of the rows' correlation matrix of ``log(v + k) + 1 / (v + k)``.

    Parameters
    ----------
    jacobian : ndarray, (n, d)
        Gradient of the summed outputs with respect to each input.
    """
    correlation = _correlation(jacobian)
    if correlation is None:
        return -math.inf
    # Rounding can leave an eigenvalue of this positive semi-definite matrix slightly below zero.
    shifted = np.maximum(np.linalg.eigvalsh(correlation), 0.0) + _JITTER
    return float(-np.sum(np.log(shifted) + 1.0 / shifted))


def epe_nas(jacobian: Floats, labels: NDArray[np.integer[Any]], n_classes: int) -> float:
    """Return how differently the rows of each class respond, summed over classes.

    Each class present gives ``e = sum(log(abs(correlation) + k))`` over its own rows. The score is the sum of
    ``abs(e)``; with more than 100 classes, e is divided by the number of rows of its class and the score is the sum of
    the absolute differences of all ordered pairs, divided by the number of classes present.

    Parameters
    ----------
    jacobian : ndarray, (n, d)
        Gradient of the summed outputs with respect to each input.
    labels : ndarray of int, (n,)
    n_classes : int
        Classes of the task, present in the batch or not.
    """
    correlation = _correlation(jacobian)
    if correlation is None:
        return -math.inf
    logs = np.log(np.abs(correlation) + _JITTER)
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    e = np.array([logs[np.ix_(m, m)].sum() for m in members])
    if n_classes <= _PAIRWISE_ABOVE:
        return float(np.abs(e).sum())
    e /= [len(m) for m in members]
    return float(np.abs(e[:, None] - e).sum() / len(e))


def nwot(codes: NDArray[np.uint8], units: int) -> float:
    """Return the log-determinant of the kernel that counts, for each two examples, the ReLUs in the same state.

    Parameters
    ----------
    codes : ndarray of uint8, (n, bytes)
        For each example one bit a ReLU unit, on or off, packed; bits beyond the last unit are zero.
    units : int
        Number of ReLU units.
    """
    kernel = units - _hamming(codes)
    # A kernel with two equal rows is singular; rounding would make its determinant tiny instead of zero.
    if len(np.unique(kernel, axis=0)) < len(kernel):
        return -math.inf
    sign, logarithm = np.linalg.slogdet(kernel.astype(np.float64))
    return float(logarithm) if sign > 0 else -math.inf


def _hamming(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of bits in which each two rows differ, ``(n, n)``."""
    words = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 8))).view(np.uint64)
    distance = np.zeros((len(words), len(words)), dtype=np.int64)
    # Row by row: all pairs at once would take n times the memory of the codes.
    for i, row in enumerate(words):
        distance[i, i:] = np.bitwise_count(words[i:] ^ row).sum(axis=1, dtype=np.int64)
    return distance + distance.T


def zico(gradients: Sequence[Sequence[Floats]]) -> float:
    """Return the sum over layers of the log of the summed ratio of mean to standard deviation of absolute gradients.

    Weights whose absolute gradient does not vary have no ratio and are left out; so is a layer without any other.

    Parameters
    ----------
    gradients : sequence of (sequence of ndarray)
        For each layer its weight gradient on each mini-batch.
    """
    total, layers = 0.0, 0
    for layer in gradients:
        size = np.abs(np.stack([g.ravel() for g in layer]).astype(np.float64))
        mean, deviation = size.mean(axis=0), size.std(axis=0)
        ratio = np.divide(mean, deviation, out=np.zeros_like(mean), where=deviation > 0).sum()
        if ratio > 0:
            total, layers = total + math.log(ratio), layers + 1
    return total if layers else -math.inf
