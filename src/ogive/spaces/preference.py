"""What a person prefers, as an addition to logits: weights, locks and exclusions of a restriction, and nudges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Space

NUDGE = math.log(4.0)
"""Logit of a full nudge: it multiplies the odds of an option by four, one of -1 divides them by four."""


def preference(space: Space, nudges: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return what restriction and nudges add to the logits of the options.

    A softmax over logits plus this gives an excluded option no probability and a locked one all of it.

    Parameters
    ----------
    space : Space
    nudges : ndarray of float, (n_choices, max options)
        In [-1, 1]; 0 is indifferent.

    Returns
    -------
    ndarray of float64, (n_choices, max options)
        -inf where an option is not allowed or the choice has no such option.
    """
    restriction = space.restriction
    weights = np.where(restriction.allowed, restriction.weights, 1.0)
    return np.where(restriction.allowed, np.log(weights) + NUDGE * nudges, -np.inf)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of logits, row by row; every row has one that is finite."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))
