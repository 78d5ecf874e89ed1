"""How to time many networks so that the figures can be compared: in turns, several visits each, anchors between.

Clocks rise and fall, neighbours come and go. So no network is timed at one go: everybody is visited in a random order,
then again in another one, and the smallest time counts, because whatever disturbs a run only makes it longer. Anchors,
visited again and again, show whether the machine has changed meanwhile.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.metrics.onnx_runner import take_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ogive.metrics.onnx_runner import Visit

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Protocol:
    """How networks are timed.

    Attributes
    ----------
    rounds : int
        Visits of each network, in every round in another order.
    warmup : int
        Runs of each visit that do not count.
    runs : int
        Runs of each visit that count.
    anchors : int
        Networks that are visited again and again within each round; 0 for none.
    every : int
        Visits between two looks at the anchors.
    seed : int
        Fixes the orders.
    """

    rounds: int = 6
    warmup: int = 2
    runs: int = 15
    anchors: int = 3
    every: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("warmup", 0), ("runs", 1), ("anchors", 0), ("every", 1), ("seed", 0)):
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
    rounds : ndarray of float64, (rounds, n)
        Smallest run of each visit.
    drift : float
        Largest relative change of the anchors' mean against their first look; NaN without anchors.
    reasons : dict of int to str
        Why a network failed.
    """

    latency: Floats
    median: Floats
    rounds: Floats
    drift: float
    reasons: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Timings:
        """Sum up what `take_turns` found here or on another machine."""
        reasons = {int(i): str(reason) for i, reason in raw["failures"].items()}
        runs = [[[] if i in reasons or v is None else v for i, v in enumerate(row)] for row in raw["rounds"]]
        rounds = 1e3 * np.array([[min(v, default=math.nan) for v in row] for row in runs], dtype=np.float64)
        joined = [[t for row in runs for t in row[i]] for i in range(rounds.shape[1])]
        median = 1e3 * np.array([np.median(times) if times else math.nan for times in joined], dtype=np.float64)
        return cls(rounds.min(axis=0), median, rounds, _drift(raw["looks"]), reasons)

    @property
    def spread(self) -> Floats:
        """Standard deviation of the visits' smallest runs, ``(n,)``; NaN with a single visit."""
        if len(self.rounds) < 2:
            return np.full(len(self.latency), np.nan)
        return np.asarray(self.rounds.std(axis=0, ddof=1))

    @property
    def repeatability(self) -> float:
        """SRCC between the smallest runs of every other visit and those of the rest.

        A proxy's SRCC with such measurements cannot be expected above its square root. NaN with fewer than two visits
        or three networks.
        """
        from scipy.stats import spearmanr

        ran = np.isfinite(self.latency)
        if len(self.rounds) < 2 or ran.sum() < 3:
            return math.nan
        even, odd = self.rounds[::2, ran].min(axis=0), self.rounds[1::2, ran].min(axis=0)
        return float(spearmanr(even, odd).statistic)


def measure(visits: Sequence[Visit], protocol: Protocol, advance: Callable[[], None] = lambda: None) -> Timings:
    """Time networks in turns; see `ogive.metrics.onnx_runner.take_turns`."""
    raw = take_turns(
        visits,
        rounds=protocol.rounds,
        warmup=protocol.warmup,
        runs=protocol.runs,
        anchors=protocol.anchors,
        every=protocol.every,
        seed=protocol.seed,
        advance=advance,
    )
    return Timings.of(raw)


def timed(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Visit:
    """Return the visit of something that is ready to run."""

    def visit(warmup: int, runs: int) -> list[float]:
        for _ in range(warmup):
            run()
        times = []
        for _ in range(runs):
            start = clock()
            run()
            times.append(clock() - start)
        return times

    return visit


def _drift(looks: Sequence[Sequence[float]]) -> float:
    """Return the largest relative change of the anchors' mean; looks before all anchors were known are left out."""
    complete = [look for look in looks if len(look) == max(map(len, looks), default=0)]
    if len(complete) < 2:
        return math.nan
    ratio = np.array(complete) / np.array(complete[0])
    return float(np.abs(ratio.mean(axis=1) - 1.0).max())
