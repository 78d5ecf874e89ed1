"""Which options a search may use, and the tables that make drawing among them fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces._types import Genotypes


@dataclass(frozen=True)
class Restriction:
    """Which options a search may use, and how it prefers them.

    Attributes
    ----------
    allowed : ndarray of bool, (n_choices, max options)
        False also where a choice has fewer options than the widest one.
    weights : ndarray of float64, (n_choices, max options)
        Relative sampling weight of every option; zero exactly where not allowed.
    """

    allowed: NDArray[np.bool_]
    weights: NDArray[np.float64]
    uniform: bool = field(default=True)


@dataclass(frozen=True)
class Tables:
    """A restriction laid out for vectorised drawing: the allowed options of each choice moved to the front.

    Attributes
    ----------
    columns : ndarray of int, (n_choices,)
    count : ndarray of int64, (n_choices,)
        Number of allowed options.
    radix : int or None
        The count, where it is the same for every choice.
    options, rank : ndarray, (n_choices, width)
        Option of each rank, and rank of each option.
    mutable : ndarray of int, (m,)
        Choices with two allowed options or more.
    restricted : bool
        Whether any option is not allowed.
    cumulative : ndarray of float64, (n_choices, width), or None
        Upper bound of each rank's share of [0, 1); None where all allowed options weigh the same.
    others : ndarray of float64, (n_choices, width, width), or None
        The same given that the rank of the second axis is not to be drawn.
    """

    columns: NDArray[np.intp]
    count: NDArray[np.int64]
    radix: int | None
    options: Genotypes
    rank: NDArray[np.int64]
    mutable: NDArray[np.intp]
    restricted: bool
    cumulative: NDArray[np.float64] | None
    others: NDArray[np.float64] | None

    @classmethod
    def of(cls, r: Restriction, cardinalities: NDArray[np.int64], dtype: np.dtype[Any]) -> Tables:
        options = np.argsort(~r.allowed, axis=1, kind="stable")
        count = r.allowed.sum(axis=1)
        cumulative = others = None
        if not r.uniform:
            # Scaled so that no sum overflows, floored so that no allowed option vanishes.
            scaled = np.maximum(r.weights / r.weights.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
            weights = np.take_along_axis(np.where(r.allowed, scaled, 0.0), options, axis=1)
            cumulative = _bounds(weights)
            width = weights.shape[1]
            others = _bounds(np.where(np.eye(width, dtype=np.bool_), 0.0, weights[:, None]))
        return cls(
            columns=np.arange(len(count)),
            count=count,
            radix=int(count[0]) if (count == count[0]).all() else None,
            options=options.astype(dtype),
            rank=np.argsort(options, axis=1),
            mutable=np.flatnonzero(count > 1),
            restricted=bool((count < cardinalities).any()),
            cumulative=cumulative,
            others=others,
        )


def _bounds(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cumulative shares along the last axis; infinite from the last positive one on, whatever rounding does."""
    total = np.cumsum(weights, axis=-1)
    last = weights.shape[-1] - 1 - np.argmax(weights[..., ::-1] > 0, axis=-1)
    shares = total / np.maximum(total[..., -1:], np.finfo(np.float64).tiny)
    return np.where(np.arange(weights.shape[-1]) >= last[..., None], np.inf, shares)
