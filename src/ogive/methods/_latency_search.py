"""Search with a predicted latency: a front of predictions, a short list, and the measurements that decide.

Of unverified picks under a latency cap nearly half break it (the winner's curse), so the list is always measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InfeasibleError, InputError
from ogive.strategies.pareto import non_dominated_ranks, pareto_mask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ogive.methods.one_proxy import Adaptation, Measure
    from ogive.predictors.base import Floats
    from ogive.spaces.base import Genotypes
    from ogive.study.study import Study

    Index = NDArray[np.intp]

_FEASIBLE = 0.5
_SHORT = 10


@dataclass(frozen=True)
class Front:
    """What is left after measuring.

    Attributes
    ----------
    rows : ndarray of int, (m,)
        Candidates on the measured front, fastest first.
    worth : ndarray of float64, (m,)
        Their objective, higher is better.
    latency : ndarray of float64, (m,)
        Measured, in ms.
    predicted, spread : ndarray of float64, (m,)
        What the model had said, in ms.
    verified : ndarray of int, (v,)
        Candidates measured for the verification, besides those that were measured to adapt the model.
    broken : bool
        Whether the pick that the predictions alone would have given exceeds the cap; False without a cap.
    chosen : int or None
        The candidate that is best under the cap; without a cap None.
    """

    rows: Index
    worth: Floats
    latency: Floats
    predicted: Floats
    spread: Floats
    verified: Index
    broken: bool = False
    chosen: int | None = None


def search(
    adaptation: Adaptation,
    worth: Floats,
    measure: Measure,
    *,
    cap: float | None = None,
    risk: float = 0.0,
    layers: int = 2,
) -> Front:
    """Find the architectures worth most for their latency, by prediction, and measure the short list.

    Parameters
    ----------
    adaptation : Adaptation
    worth : ndarray of float64, (N,)
        Objective of every candidate, higher is better; NaN where it has none.
    measure : callable
        Measures rows on the target, in ms.
    cap : float, optional
        Latency not to be exceeded, in ms.
    risk : float
        The search trusts ``mean + risk * spread``: above 0 it would rather miss a good architecture than break the cap.
    layers : int
        Layers of the predicted Pareto front that are measured; two, because predictions are off by a few percent.

    Raises
    ------
    InputError
        If there is not one worth a candidate, or the cap is not positive.
    InfeasibleError
        If nothing measured stays under the cap.
    """
    a = adaptation
    if worth.shape != a.mean.shape:
        raise InputError(f"{len(a.mean)} candidates need as many values of the objective, not {worth.shape}")
    if cap is not None and not cap > 0:
        raise InputError(f"a latency cap is a positive number of ms, not {cap:g}")
    upper = a.mean + risk * a.spread
    able = np.isfinite(worth) & (a.model.feasibility() >= _FEASIBLE)
    able[a.failed] = False
    listed = _short_list(worth, upper, able, cap, layers)
    measured = np.full(len(worth), np.nan)
    measured[a.index] = a.latency
    fresh = np.setdiff1d(listed, a.index)
    measured[fresh] = measure(fresh)
    return _front(a, worth, upper, able, measured, fresh, cap)


def _short_list(worth: Floats, upper: Floats, able: NDArray[np.bool_], cap: float | None, layers: int) -> Index:
    """Return the rows to measure: the first layers of the predicted front, and the best few under the cap."""
    rows = np.flatnonzero(able)
    ranks = non_dominated_ranks(np.column_stack([worth[rows], -upper[rows]]))
    if cap is None:
        return rows[ranks < layers]
    under = rows[upper[rows] <= cap]
    # With a cap only its neighbourhood matters: what promises most under it.
    return under[np.argsort(-worth[under], kind="stable")[:_SHORT]]


def _front(
    a: Adaptation,
    worth: Floats,
    upper: Floats,
    able: NDArray[np.bool_],
    measured: Floats,
    fresh: Index,
    cap: float | None,
) -> Front:
    known = np.flatnonzero(np.isfinite(measured) & np.isfinite(worth))
    front = known[pareto_mask(np.column_stack([worth[known], -measured[known]]))]
    front = front[np.argsort(measured[front], kind="stable")]
    chosen, broken = None, False
    if cap is not None:
        legal = known[measured[known] <= cap]
        if not legal.size:
            fastest = f"{measured[known].min():.4g} ms" if known.size else "none"
            raise InfeasibleError(
                f"no architecture measured stays under {cap:g} ms on '{a.device}'; fastest: {fastest}"
            )
        chosen = int(legal[np.lexsort((measured[legal], -worth[legal]))[0]])
        naive = np.where(able & (upper <= cap), worth, -np.inf)
        broken = bool(measured[naive.argmax()] > cap)
    return Front(front, worth[front], measured[front], a.mean[front], a.spread[front], fresh, broken, chosen)


def evolve(
    space: str,
    maximize: str,
    device: str,
    *,
    where: Sequence[str] = (),
    task: str | None = None,
    trials: int = 1000,
    seed: int = 0,
    out: str | Path | None = None,
) -> tuple[Study, Genotypes]:
    """Search a space too large to list with NSGA-II, for one metric and a device's predicted latency.

    Parameters
    ----------
    space : str
    maximize : str
        Metric.
    device : str
        A kept device with predictions in this space; the search minimises its upper bound.
    where : sequence of str
        Further constraints.
    task : str, optional
    trials, seed, out
        See `ogive.study.Study`.

    Returns
    -------
    study : Study
        Done.
    front : ndarray of int, (m, n_choices)
    """
    from ogive.study import Study

    study = Study(
        space,
        task,
        maximize=[maximize],
        minimize=[f"latency_upper@{device}"],
        where=list(where),
        strategy="nsga2",
        trials=trials,
        seed=seed,
        out=out,
    )
    study.run()
    results = study.results()
    return study, results.rows.take(results.front_positions()).genotypes
