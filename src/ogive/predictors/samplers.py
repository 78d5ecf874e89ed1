"""Which architectures to measure on a new device, and when to stop.

A design that spreads over what is known of the candidates spares the worst device a bad draw as long as there are few
measurements (docs/latency.md has the comparison).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ogive._errors import InputError
from ogive._registry import Registry
from ogive.predictors.monotonicity import BAR, srcc, srcc_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.predictors.base import Floats
    from ogive.predictors.latency import Candidates, LatencyPredictor

    Index = NDArray[np.intp]

_PRIOR = 0.1


class Sampler(Protocol):
    """Chooses what to measure next."""

    def __call__(
        self, candidates: Candidates, n: int, measured: Index, rng: np.random.Generator, doubt: Floats | None
    ) -> Index:
        """Return `n` different rows of the candidates that are not in `measured`.

        Parameters
        ----------
        candidates : Candidates
        n : int
        measured : ndarray of int, (m,)
        rng : numpy.random.Generator
        doubt : ndarray of float64, (N,), optional
            How unsure a model is of each candidate; None before the first batch.
        """


def choose(
    name: str,
    candidates: Candidates,
    n: int,
    *,
    measured: Index | None = None,
    rng: np.random.Generator,
    doubt: Floats | None = None,
) -> Index:
    """Return the rows that a sampler measures next; see `Sampler`.

    Raises
    ------
    UnknownNameError
        If there is no such sampler.
    InputError
        If fewer than `n` candidates are left.
    """
    known = np.empty(0, dtype=np.intp) if measured is None else np.asarray(measured, dtype=np.intp)
    left = len(candidates) - len(known)
    if not 1 <= n <= left:
        raise InputError(f"{left} architectures are left to measure; ask for 1 to {left}, not {n}")
    return SAMPLERS.get(name)(candidates, n, known, rng, doubt)


def features(candidates: Candidates) -> Floats:
    """Return z-scores of the encoding and of the pool's log-latencies, each half of the same total weight, ``(N, d)``.

    What a pool device does not know counts as its mean.
    """
    parts = [candidates.encoding]
    if candidates.pool:
        logs = np.log(np.array(list(candidates.pool.values())).T)
        parts.append(np.where(np.isnan(logs), np.nanmean(logs, axis=0), logs))
    return np.hstack([_scaled(part) for part in parts])


def _scaled(part: Floats) -> Floats:
    spread = part.std(axis=0)
    varying = spread > 1e-9
    z = (part[:, varying] - part[:, varying].mean(axis=0)) / spread[varying]
    return np.asarray(z / np.sqrt(max(1, z.shape[1])))


def random(candidates: Candidates, n: int, measured: Index, rng: np.random.Generator, doubt: Floats | None) -> Index:
    """Draw without replacement."""
    del doubt
    return rng.choice(np.setdiff1d(np.arange(len(candidates)), measured), n, replace=False)


def d_optimal(candidates: Candidates, n: int, measured: Index, rng: np.random.Generator, doubt: Floats | None) -> Index:
    """Add the row that most increases the determinant of the information matrix, one after another.

    Of `features`, with a small ridge, so that the first rows are defined; greedy, after a random first row (Fedorov,
    "Theory of Optimal Experiments", Academic Press 1972).
    """
    del doubt
    Z = features(candidates)
    chosen = measured.tolist() or [int(rng.integers(len(Z)))]
    # V is Z A^-1 with A = prior + sum of z z' over the rows chosen; another row z gains z' A^-1 z.
    V = Z / _PRIOR
    for row in chosen:
        V = _added(V, Z, row)
    while len(chosen) < len(measured) + n:
        gain = np.einsum("ij,ij->i", V, Z)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        V = _added(V, Z, chosen[-1])
    return np.array(chosen[len(measured) :], dtype=np.intp)


def _added(V: Floats, Z: Floats, row: int) -> Floats:
    """Return Z A^-1 after one more row, by the Sherman-Morrison identity."""
    v = V[row]
    return V - np.outer(V @ Z[row] / (1.0 + v @ Z[row]), v)


def k_means(candidates: Candidates, n: int, measured: Index, rng: np.random.Generator, doubt: Floats | None) -> Index:
    """Take the row nearest to each of n centres of the pool's log-latencies, or of the encoding where there is no pool.

    Rows already measured are no candidates, but they hold their place as centres do.
    """
    del doubt
    from scipy.cluster.vq import kmeans2

    pool = np.array([np.log(v) for v in candidates.pool.values()]).T if candidates.pool else candidates.encoding
    Z = _scaled(np.where(np.isnan(pool), np.nanmean(pool, axis=0), pool))
    centres, _ = kmeans2(Z, n + len(measured), minit="++", seed=rng)
    for row in measured:
        centres = np.delete(centres, ((centres - Z[row]) ** 2).sum(axis=1).argmin(), axis=0)
    chosen: list[int] = []
    free = np.ones(len(Z), dtype=np.bool_)
    free[measured] = False
    # One centre after another, because two may have the same nearest row.
    for centre in centres:
        distance = np.where(free, ((Z - centre) ** 2).sum(axis=1), np.inf)
        chosen.append(int(distance.argmin()))
        free[chosen[-1]] = False
    return np.array(chosen, dtype=np.intp)


def active(candidates: Candidates, n: int, measured: Index, rng: np.random.Generator, doubt: Floats | None) -> Index:
    """Take the rows of which a model is least sure; at random before there is one."""
    if doubt is None:
        return random(candidates, n, measured, rng, doubt)
    left = doubt.copy()
    left[measured] = -np.inf
    return np.argsort(-left, kind="stable")[:n]


SAMPLERS: Registry[Sampler] = Registry("sampler", {})
SAMPLERS.add("random", random)
SAMPLERS.add("d_optimal", d_optimal)
SAMPLERS.add("k_means", k_means)
SAMPLERS.add("active", active)


@dataclass
class StoppingRule:
    """When further measurements are not worth their time.

    Attributes
    ----------
    bar : float
        SRCC asked for.
    gain : float
        Least gain of the leave-one-out SRCC by the last batch that makes another one worth it.
    """

    bar: float = BAR
    gain: float = 0.005

    def __post_init__(self) -> None:
        self._last: float | None = None

    def __call__(self, model: LatencyPredictor) -> str | None:
        """Return why to stop after a batch, or None to go on.

        Parameters
        ----------
        model : LatencyPredictor
            Fitted on everything measured so far.
        """
        found = srcc(model.leave_one_out()[0], model.latency)
        last, self._last = self._last, found
        lower = srcc_bounds(found, len(model.latency))[0]
        if lower >= self.bar:
            return f"the leave-one-out SRCC {found:.3f} is above {self.bar:g} with 95 % confidence (bound {lower:.3f})"
        if last is not None and found - last < self.gain:
            return f"the last batch moved the leave-one-out SRCC from {last:.3f} to {found:.3f} only"
        return None
