"""How likely an architecture is to compile and run on a device, from those that did and did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.predictors.base import Floats


def compile_probability(encoding: Floats, index: NDArray[np.intp], ran: NDArray[np.bool_]) -> Floats:
    """Return the probability that each architecture compiles and runs, ``(N,)``.

    Penalised logistic regression on the encoding; while nothing failed, or everything did, Laplace's rule of
    succession ``(successes + 1) / (tries + 2)`` for all.

    Parameters
    ----------
    encoding : ndarray of float64, (N, d)
    index : ndarray of int, (n,)
        Rows that were tried.
    ran : ndarray of bool, (n,)
        Which of them ran.
    """
    N, n = len(encoding), len(index)
    if n == 0 or ran.all() or not ran.any():
        return np.full(N, (ran.sum() + 1.0) / (n + 2.0))
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(C=1.0, max_iter=200).fit(encoding[index], ran)
    return np.asarray(model.predict_proba(encoding)[:, 1], dtype=np.float64)
