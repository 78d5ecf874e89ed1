"""How to time many networks so that the figures can be compared: in turns, several visits each, anchors between.

Clocks rise and fall, neighbours come and go. So no network is timed at one go: everybody is visited in a random order,
then again in another one, and the smallest time counts, because whatever disturbs a run only makes it longer. Anchors,
visited again and again, show whether the machine has changed meanwhile.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError, OgiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Loader = Callable[[], Callable[[], object]]
    """Gets one network ready and returns what runs it once."""


@dataclass(frozen=True)
class Protocol:
    """How networks are timed.

    Attributes
    ----------
    warmup : int
        Runs of each visit that do not count.
    runs : int
        Runs of each visit that count.
    visits : int
        Rounds over all networks, each in an order of its own.
    anchors : int
        Networks that are visited again within each round; 0 for none.
    every : int
        Visits between two looks at the anchors.
    """

    warmup: int = 2
    runs: int = 15
    visits: int = 6
    anchors: int = 3
    every: int = 25

    def __post_init__(self) -> None:
        for name, least in (("warmup", 0), ("runs", 1), ("visits", 1), ("anchors", 0), ("every", 1)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise InputError(f"timing needs a whole number {name} >= {least}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Timings:
    """What was measured of n networks, in milliseconds.

    Attributes
    ----------
    latency : ndarray of float64, (n,)
        Smallest run of all visits; NaN where the network failed.
    median : ndarray of float64, (n,)
        Of all runs.
    visits : ndarray of float64, (visits, n)
        Smallest run of each visit.
    drift : float
        Largest relative change of the anchors' mean against their first look; NaN without anchors.
    seconds : float
        Wall time of everything.
    reasons : dict of int to str
        Why a network failed.
    """

    latency: Floats
    median: Floats
    visits: Floats
    drift: float
    seconds: float
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def spread(self) -> Floats:
        """Standard deviation of the visits' smallest runs, ``(n,)``; NaN with a single visit."""
        if len(self.visits) < 2:
            return np.full(len(self.latency), np.nan)
        return np.asarray(self.visits.std(axis=0, ddof=1))

    @property
    def repeatability(self) -> float:
        """SRCC between the smallest runs of every other visit and those of the rest: no proxy can look better.

        NaN with fewer than two visits or three networks.
        """
        from scipy.stats import spearmanr

        ran = np.isfinite(self.latency)
        if len(self.visits) < 2 or ran.sum() < 3:
            return math.nan
        even, odd = self.visits[::2, ran].min(axis=0), self.visits[1::2, ran].min(axis=0)
        return float(spearmanr(even, odd).statistic)


def take_turns(
    loaders: Sequence[Loader],
    protocol: Protocol,
    seed: int = 0,
    *,
    clock: Callable[[], float] = time.perf_counter,
    advance: Callable[[], None] = lambda: None,
) -> Timings:
    """Time networks in turns.

    Parameters
    ----------
    loaders : sequence of callable
        Each gets a network ready and returns what runs it once; called anew at each visit, because where a network's
        memory happens to lie is part of the noise. An `OgiveError` or `RuntimeError` is a failure of this network.
    protocol : Protocol
    seed : int
        Fixes the orders and the anchors.
    clock : callable
        Seconds.
    advance : callable
        Called after each visit.
    """
    began, n = clock(), len(loaders)
    rng = np.random.default_rng(seed)
    visits = np.full((protocol.visits, n), np.nan)
    runs: list[list[float]] = [[] for _ in range(n)]
    reasons: dict[int, str] = {}

    def visit(i: int) -> float:
        try:
            times = _visit(loaders[i], protocol, clock)
        except (OgiveError, RuntimeError) as error:
            reasons[i] = str(error).strip().partition("\n")[0]
            return math.nan
        runs[i] += times
        return min(times)

    looks: list[list[float]] = []
    anchors: list[int] = []
    done = 0
    for row in visits:
        for i in rng.permutation(n).tolist():
            if i not in reasons:
                row[i] = visit(i)
                advance()
            if protocol.anchors and len(anchors) < protocol.anchors and i not in reasons and i not in anchors:
                anchors.append(i)
            done += 1
            if done % protocol.every == 0 and anchors:
                looks.append([visit(a) for a in anchors])
    failed = np.isin(np.arange(n), list(reasons))
    visits[:, failed] = np.nan
    latency = np.where(failed, np.nan, np.min(visits, axis=0, initial=np.inf))
    median = np.array([math.nan if i in reasons else 1e3 * float(np.median(runs[i])) for i in range(n)])
    return Timings(1e3 * latency, median, 1e3 * visits, _drift(looks), clock() - began, reasons)


def _visit(load: Loader, protocol: Protocol, clock: Callable[[], float]) -> list[float]:
    run = load()
    for _ in range(protocol.warmup):
        run()
    times = []
    for _ in range(protocol.runs):
        start = clock()
        run()
        times.append(clock() - start)
    return times


def _drift(looks: list[list[float]]) -> float:
    """Return the largest relative change of the anchors' mean; looks before all anchors were known are left out."""
    complete = [look for look in looks if len(look) == max(map(len, looks), default=0) and np.isfinite(look).all()]
    if len(complete) < 2:
        return math.nan
    ratio = np.array(complete) / np.array(complete[0])
    return float(np.abs(ratio.mean(axis=1) - 1.0).max())
