"""What a predictor is: fit on measured architectures, then predict mean and standard deviation of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError
from ogive._registry import Registry, parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]


@runtime_checkable
class Predictor(Protocol):
    """A regression model with uncertainty.

    The features `X` are those of `Space.encode`, one row an architecture; what a strategy or a user predicts with is
    the same model either way. Standard deviations are those of a new measurement, noise included.
    """

    name: ClassVar[str]

    def fit(self, X: Floats, y: Floats) -> Self:
        """Learn from n measured rows.

        Parameters
        ----------
        X : ndarray of float64, (n, d)
        y : ndarray of float64, (n,)
            Finite.

        Raises
        ------
        InputError
            If the shapes do not fit, a value is not finite, or there are too few rows.
        """

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a measurement of each row, two arrays ``(n,)`` in the unit of y."""


@runtime_checkable
class LeaveOneOut(Predictor, Protocol):
    """A predictor that says in closed form what it would have predicted of each row without having seen it."""

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of each row of `fit` given the others, two arrays ``(n,)``.

        The hyper-parameters stay those found from all rows.
        """


def rank_gaussian(values: Floats) -> Floats:
    """Return the normal scores of a sample: its ranks, ties sharing their mean rank, as quantiles of a Gaussian.

    Accuracies of architectures have a long tail of bad ones that dominates a Gaussian likelihood; ranks have none.

    Parameters
    ----------
    values : ndarray of float64, (n,)
        Only their order matters; infinities are allowed, NaN is not.

    Returns
    -------
    ndarray of float64, (n,)
        ``ndtri((rank - 1/2) / n)`` with ranks from 1.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(values) - 0.5) / max(1, len(values))), dtype=np.float64)


def checked(X: Floats, y: Floats, least: int = 2) -> tuple[Floats, Floats]:
    """Return features and targets as float64 arrays that fit together.

    Raises
    ------
    InputError
        If they do not, a value is not finite, or there are fewer than `least` rows.
    """
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if X.ndim != 2 or y.shape != (len(X),):
        raise InputError(f"a predictor needs features (n, d) and targets (n,), not {X.shape} and {y.shape}")
    if len(X) < least:
        raise InputError(f"a predictor needs at least {least} measured rows, not {len(X)}")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise InputError("a feature or target is not finite; leave out what could not be measured")
    return X, y


PREDICTORS: Registry[Callable[..., Predictor]] = Registry(
    "predictor",
    {
        "gaussian_process": "ogive.predictors.gaussian_process",
        "ridge": "ogive.predictors.ridge",
        "boosting": "ogive.predictors.boosting",
        "graph_network": "ogive.predictors.graph_network",
        "comparator": "ogive.predictors.comparator",
    },
)


def get_predictor(spec: str) -> Predictor:
    """Return the predictor written as ``name`` or ``name:option=value,...``.

    Raises
    ------
    UnknownNameError
        If no predictor has this name.
    InputError
        If an option does not exist or has a wrong value.
    """
    name, options = parse_spec(spec)
    factory = PREDICTORS.get(name)
    try:
        return factory(**options)
    except TypeError as error:
        raise InputError(f"predictor '{spec}': {error}") from error
