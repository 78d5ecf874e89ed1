"""What the trainings of a certification allow one to say: accuracies, the attacker's advantage, the verdict.

Two things are left to chance: the seeds of the trainings and the examples of the test split. Every interval counts
both, and every difference is taken between trainings of the same seed on the same test examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.study.final import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Right = NDArray[np.bool_] | NDArray[np.int8] | None

_LEVEL = 0.95


def estimate(right: Right) -> Estimate:
    """Return the mean of a table in percent with its 95 % interval.

    With k seeds and n examples, it is Student's interval over the k means over examples, and Student's interval over
    the n means over seeds, their half widths added as the legs of a right triangle (variance recovery: Zou and Donner,
    Statistics in Medicine 27, 2008). What seeds and examples do only together counts twice, which errs on the wide
    side. The examples' standard error is never taken for less than that of one example in n.

    Parameters
    ----------
    right : ndarray, (k, n), or None
        A row a seed, a column a test example: whether the network is right, or the difference of that of two networks.
        None where nothing was reached; its estimate is NaN.

    Returns
    -------
    Estimate
        In percent; its values are the k means over examples. The interval is NaN for fewer than two seeds.
    """
    if right is None:
        return Estimate.of(())
    k, n = right.shape
    values = 100.0 * right.mean(axis=1)
    mean = float(values.mean())
    if k < 2:
        return Estimate(mean, math.nan, math.nan, tuple(values.tolist()))
    from scipy import stats

    seeds = float(values.std(ddof=1)) / math.sqrt(k)
    examples = max(float((100.0 * right.mean(axis=0)).std(ddof=1)) / math.sqrt(n), 100.0 / n)
    at = 0.5 + _LEVEL / 2
    half = math.hypot(float(stats.t.ppf(at, k - 1)) * seeds, float(stats.t.ppf(at, n - 1)) * examples)
    return Estimate(mean, mean - half, mean + half, tuple(values.tolist()))


def difference(a: Right, b: Right) -> Estimate:
    """Return by how many points `a` is right more often than `b`; see `estimate`."""
    return estimate(None if a is None or b is None else a.astype(np.int8) - b.astype(np.int8))


@dataclass(frozen=True)
class SourceGate:
    """What the source accuracy must hold, at the lower end of its interval.

    Attributes
    ----------
    kind : {"value", "within"}
        A test accuracy in percent, or a distance in points below the unlocked network's.
    bound : float
    """

    kind: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> SourceGate:
        """Read ``value:95`` or ``within:2``.

        Raises
        ------
        InputError
            If it has another form.
        """
        kind, _, number = text.partition(":")
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if kind not in ("value", "within") or not 0 <= bound <= 100:
            raise InputError(
                f"gate '{text}' cannot be read; write value:95 (source accuracy of at least 95 %) or within:2 (at most "
                "2 points below the unlocked network)"
            )
        return cls(kind, bound)

    def __str__(self) -> str:
        return f"{self.kind}:{self.bound:g}"


@dataclass(frozen=True)
class Contest:
    """What attackers reach on one target with one share of its data, test accuracy in percent.

    Attributes
    ----------
    target : str
    share : float
        Of the target's training examples.
    attacks : dict of str to Estimate
        Best learning rate of each attack on the network; ``scratch`` is its structure with fresh weights.
    best : Estimate
        Best of the attacks, scratch not among them.
    public : Estimate
        Best public architecture, trained from scratch on the same data.
    advantage : Estimate
        `best` minus `public`, in points: what the shipped network is worth to the attacker.
    unlocked : Estimate
        Best attack on the unlocked network.
    denied : Estimate
        `unlocked` minus `best`, in points: what the lock takes away.
    """

    target: str
    share: float
    attacks: dict[str, Estimate]
    best: Estimate
    public: Estimate
    advantage: Estimate
    unlocked: Estimate
    denied: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the contest as JSON values."""
        names = ("best", "public", "advantage", "unlocked", "denied")
        return {
            "target": self.target,
            "share": self.share,
            "attacks": {kind: plain(e) for kind, e in self.attacks.items()},
            **{name: plain(getattr(self, name)) for name in names},
        }


@dataclass(frozen=True)
class Finding:
    """What was found of one architecture.

    Attributes
    ----------
    arch : str
    source : Estimate
        Test accuracy on the source, percent.
    source_difference : Estimate
        That minus the unlocked network's, points.
    contests : tuple of Contest
        One a target and share.
    doubts : tuple of str
        Why it is not shown to be locked; empty where it is.
    """

    arch: str
    source: Estimate
    source_difference: Estimate
    contests: tuple[Contest, ...]
    doubts: tuple[str, ...]

    @property
    def locked(self) -> bool:
        """Whether every bound holds."""
        return not self.doubts

    @property
    def verdict(self) -> str:
        """``locked`` or ``not shown``: trainings can fail to show a lock, they cannot prove that there is none."""
        return "locked" if self.locked else "not shown"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {
            "arch": self.arch,
            "verdict": self.verdict,
            "doubts": list(self.doubts),
            "source": plain(self.source),
            "source_difference": plain(self.source_difference),
            "contests": [c.to_dict() for c in self.contests],
        }


def plain(e: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON values; what is not known is None."""
    mean, *interval = (x if math.isfinite(x) else None for x in (e.mean, e.low, e.high))
    return {"mean": mean, "interval": interval, "values": list(e.values)}


def doubts(
    source: Estimate, source_difference: Estimate, contests: tuple[Contest, ...], gate: SourceGate, limit: float
) -> tuple[str, ...]:
    """Return why an architecture is not shown to be locked: each bound that does not hold, in a line."""
    held, floor = (source, gate.bound) if gate.kind == "value" else (source_difference, -gate.bound)
    found = []
    if not held.low >= floor:
        what = "source accuracy" if gate.kind == "value" else "source accuracy against the unlocked network"
        found.append(f"{what} may be as low as {held.low:+.2f}, the gate is {floor:+g}")
    found += [
        f"on {c.target} with {c.share:.0%} of its data the attacker's advantage may be as high as "
        f"{c.advantage.high:+.2f} points, the limit is {limit:+g}"
        for c in contests
        if not c.advantage.high < limit
    ]
    return tuple(found)
