"""Whether options of different choices matter together: a ridge model of parts and pairs of parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.strategies.evidence import rewards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space

    Floats = NDArray[np.float64]

_LEAST_ROWS, _MOST_ROWS = 24, 400
_TOGETHER, _MOST_PAIRS = 3, 4000
_FOLDS, _SHUFFLES, _SURE = 5, 100, 0.95
_PENALTIES = np.logspace(-1, 3, 9)


@dataclass(frozen=True)
class Interactions:
    """What a model of parts and pairs says of some evaluations.

    Attributes
    ----------
    r2 : float or None
        Share of the variance of the reward that the model of parts and pairs predicts for evaluations it was not
        fitted to, by 5-fold cross-validation; at most 1, negative where it predicts worse than the mean. None with
        fewer than 24 evaluations, or where all are alike.
    r2_parts : float or None
        The same of the model of single parts.
    pairs : tuple of (int, int, float)
        Two parts and their effect together, in units of reward, beyond what each does by itself; the strongest first.
        Only those above the noise: in 95 % of the refits with the residuals of the model of parts shuffled, no pair at
        all is as strong.
    """

    r2: float | None
    r2_parts: float | None
    pairs: tuple[tuple[int, int, float], ...]


def interactions(space: Space, genotypes: Genotypes, values: Floats, *, seed: int = 0) -> Interactions:
    """Fit parts and pairs of parts to the rewards of evaluations; of more than 400 the last ones.

    Parameters
    ----------
    space : Space
    genotypes : ndarray of int, (n, n_choices)
    values : ndarray of float64, (n,)
        Higher is better; failures are -inf.
    seed : int
        Of folds and shuffles.
    """
    parts = space.parts(genotypes[-_MOST_ROWS:]).astype(np.float64)
    reward = rewards(values[-_MOST_ROWS:])
    if len(parts) < _LEAST_ROWS or not np.ptp(reward):
        return Interactions(None, None, ())
    first, second = _candidates(parts, space.part_choices)
    single = parts - parts.mean(axis=0)
    products = parts[:, first] * parts[:, second]
    both = np.hstack([single, products - products.mean(axis=0)])
    rng = np.random.Generator(np.random.PCG64(seed))
    fold = rng.permutation(len(parts)) % _FOLDS
    effects = _effects(single, both, reward, rng)[single.shape[1] :]
    order = np.argsort(-np.abs(effects), kind="stable")
    told = [(int(first[i]), int(second[i]), float(effects[i])) for i in order.tolist() if effects[i]]
    return Interactions(_predicted(both, reward, fold), _predicted(single, reward, fold), tuple(told))


def _candidates(parts: Floats, choice: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of parts of different choices that can be told from single parts, the most frequent ones."""
    first, second = np.triu_indices(parts.shape[1], 1)
    together = (parts.T @ parts)[first, second]
    apart = parts.sum(axis=0)
    # Seen together and also one without the other, a few times each.
    told = (choice[first] != choice[second]) & (together >= _TOGETHER)
    told &= np.minimum(apart[first], apart[second]) - together >= _TOGETHER
    at = np.flatnonzero(told)
    at = np.sort(at[np.argsort(-together[at], kind="stable")[:_MOST_PAIRS]])
    return first[at], second[at]


def _effects(single: Floats, both: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Return the coefficients of a ridge fit, 0 where shuffled residuals give as much."""
    parts_only = y.mean() + _ridge(single, y, single)
    residual = y - parts_only
    shuffled = np.stack([parts_only + rng.permutation(residual) for _ in range(_SHUFFLES)])
    vectors, spectrum = _spectrum(both)
    penalty = _penalty(vectors, spectrum, y)

    def fit(targets: Floats) -> Floats:
        centred = targets - targets.mean(axis=1, keepdims=True)
        return np.asarray(((centred @ vectors) / (spectrum + penalty)) @ vectors.T @ both)

    found, null = fit(y[None])[0], fit(shuffled)
    pairs = slice(single.shape[1], None)
    noise = np.quantile(np.abs(null[:, pairs]).max(axis=1, initial=0.0), _SURE)
    return np.where(np.abs(found) > noise, found, 0.0)


def _predicted(features: Floats, y: Floats, fold: NDArray[np.intp]) -> float:
    """Return R² of predictions of evaluations that were left out."""
    found = np.empty(len(y))
    for k in range(_FOLDS):
        out = fold == k
        found[out] = y[~out].mean() + _ridge(features[~out], y[~out], features[out])
    return float(1.0 - ((y - found) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def _ridge(features: Floats, y: Floats, asked: Floats) -> Floats:
    """Return the predicted difference from the mean, the penalty chosen by leaving each evaluation out."""
    centre = features.mean(axis=0)
    x = features - centre
    vectors, spectrum = _spectrum(x)
    dual = vectors @ ((vectors.T @ (y - y.mean())) / (spectrum + _penalty(vectors, spectrum, y)))
    return np.asarray((asked - centre) @ (x.T @ dual))


def _spectrum(x: Floats) -> tuple[Floats, Floats]:
    values, vectors = np.linalg.eigh(x @ x.T)
    return vectors, np.maximum(values, 0.0)


def _penalty(vectors: Floats, spectrum: Floats, y: Floats) -> float:
    """Return the penalty with the least error of leaving one out, in closed form."""
    centred = y - y.mean()
    shrink: NDArray[Any] = spectrum / (spectrum + _PENALTIES[:, None])
    fitted = (shrink * (vectors.T @ centred)) @ vectors.T
    leverage = shrink @ (vectors**2).T + 1.0 / len(y)
    error = (((centred - fitted) / np.maximum(1.0 - leverage, 1e-9)) ** 2).sum(axis=1)
    return float(_PENALTIES[np.argmin(error)])
