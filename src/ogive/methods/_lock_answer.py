"""What a lock search found, put into the numbers an owner decides by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ogive.metrics.base import resolve
from ogive.metrics.percentile import raw_drop, reduction
from ogive.strategies.pareto import pareto_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ogive.methods._lock_explain import Explanation
    from ogive.methods._lock_problem import LockProblem
    from ogive.methods._lock_yardstick import Standing, Yardstick
    from ogive.methods.certification import Certificate
    from ogive.spaces.base import Genotypes

Floats = NDArray[np.float64]
TRAINED = "accuracy@train/"


@dataclass(frozen=True)
class Placed:
    """An architecture and where it stands at the source and at every target.

    Attributes
    ----------
    arch : str
    genotype : ndarray of int, (n_choices,)
    source : Standing
    targets : dict of str to Standing
        By metric.
    """

    arch: str
    genotype: Genotypes
    source: Standing
    targets: dict[str, Standing]

    @property
    def apt(self) -> float:
        """Average percentile of the targets; lower is better locked."""
        return float(np.mean([t.percentile for t in self.targets.values()]))


@dataclass(frozen=True)
class Null:
    """The mean architecture that passes the gate: what a lock must beat to be more than a gate.

    Attributes
    ----------
    n : int
        Architectures that pass, among those percentiles are of.
    source : float
        Their mean source percentile.
    targets : dict of str to float
        Their mean percentile at each target.
    apt : float
    """

    n: int
    source: float
    targets: dict[str, float]
    apt: float


@dataclass(frozen=True)
class Evaluated:
    """What the search measured, as the drawings need it.

    Attributes
    ----------
    genotypes : ndarray of int, (n, n_choices)
    source : ndarray of float64, (n,)
        Source percentile.
    searched : ndarray of float64, (n, k)
        Percentiles of the metrics the search could see: the targets, or the auxiliary tasks.
    score : ndarray of float64, (n,)
        `searched` aggregated; lower is better locked.
    passes : ndarray of bool, (n,)
        Whether the gate is met.
    front : ndarray of int
        Rows on the Pareto front of `source` (up) and `score` (down), best source first; equal points once.
    top : int
        Row of the best source value; beyond a sample percentiles do not tell.
    """

    genotypes: Genotypes
    source: Floats
    searched: Floats
    score: Floats
    passes: NDArray[np.bool_]
    front: NDArray[np.intp]
    top: int


@dataclass(frozen=True)
class Lock:
    """An architecture that is good at its own task and poor at others, and how good and how poor.

    Attributes
    ----------
    problem : LockProblem
    chosen : Placed
        The lock.
    winner : Placed
        What a search for the source alone would have shipped: the best source architecture that is known.
    null : Null or None
        None where fewer than two random architectures pass the gate.
    bound : float
        The gate as a value of the source metric.
    evaluations : dict of str to int
        True evaluations of the search by metric; those that failed the gate, or failed altogether, are among them.
        0 for targets that the search must not know.
    rejected : int or None
        Evaluated architectures that do not pass the gate; None where the solver does not say.
    evaluated : Evaluated
    explanation : Explanation
    exact : bool
        Whether percentiles are of the whole space, so that they have no sampling error.
    reference : int
        Architectures percentiles are of.
    oracle : Placed or None
        The best lock of the whole space at this gate, by looking everything up; None where the space is not known.
    checks : dict of str to int
        Trainings on unknown targets after the search, for this report; look-ups in a table are not counted.
    solver : str
        How it was searched.
    leak : bool
        Whether the true targets made the final choice although the setting calls them unknown.
    certificate : Certificate or None
        What attacking trained networks showed, where that was asked for.
    notes : tuple of str
        What a reader should know before using the numbers.
    run, report : str or None
        Directory of the run, and the page in it.
    """

    problem: LockProblem
    chosen: Placed
    winner: Placed
    null: Null | None
    bound: float
    evaluations: dict[str, int]
    rejected: int | None
    evaluated: Evaluated
    explanation: Explanation
    exact: bool
    reference: int
    oracle: Placed | None = None
    checks: dict[str, int] = field(default_factory=dict)
    solver: str = "pareto"
    leak: bool = False
    certificate: Certificate | None = None
    notes: tuple[str, ...] = ()
    run: str | None = None
    report: str | None = None
    _names: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        p = self.problem
        object.__setattr__(self, "_names", short_names((p.source, *p.targets, *p.auxiliary)))

    def name(self, metric: str) -> str:
        """Return what the user calls a metric: its column or its task, where that is unambiguous."""
        return self._names[metric]

    @property
    def reduction(self) -> float | None:
        """By how many per cent the average target percentile is below that of the source-only winner.

        None where that is 0 already, the worst of a sample.
        """
        return _reduction(self.winner.apt, self.chosen.apt)

    @property
    def reduction_vs_feasible_mean(self) -> float | None:
        """The same against the mean architecture that passes the gate: the part that is not the gate's."""
        return None if self.null is None else _reduction(self.null.apt, self.chosen.apt)

    def finalists(self, n: int) -> list[str]:
        """Return the lock and the next best evaluated architectures that pass the gate, `n` in all."""
        e = self.evaluated
        at = np.flatnonzero(e.passes)
        best = e.genotypes[at[np.argsort(e.score[at], kind="stable")[: n + 1]]]
        others = [a for a in self.problem.space.format_many(best) if a != self.chosen.arch]
        return [self.chosen.arch, *others[: n - 1]]

    def raw_drop(self, metric: str) -> float | None:
        """Return by how many per cent of the winner's value the lock's is worse; None without values, or from 0."""
        before, after = (self.standing(p, metric).value for p in (self.winner, self.chosen))
        if before == 0 or not np.isfinite([before, after]).all():
            return None
        return raw_drop(before, after, resolve(metric).direction)

    def standing(self, placed: Placed, metric: str) -> Standing:
        """Return where an architecture stands at the source or a target."""
        return placed.source if metric == self.problem.source else placed.targets[metric]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, metrics under their short names."""
        p, name = self.problem, self.name
        return {
            "arch": self.chosen.arch,
            "space": p.space.spec,
            "source": name(p.source),
            "targets": [name(t) for t in p.targets],
            "setting": p.setting,
            "auxiliary": [name(a) for a in p.auxiliary],
            "gate": {"asked": str(p.gate), "value": self.bound},
            "aggregate": str(p.aggregate),
            "source_percentile": self.chosen.source.percentile,
            "target_percentiles": {name(t): s.percentile for t, s in self.chosen.targets.items()},
            "apt": self.chosen.apt,
            "reduction": self.reduction,
            "reduction_vs_feasible_mean": self.reduction_vs_feasible_mean,
            "values": {name(m): self.standing(self.chosen, m).value for m in (p.source, *p.targets)},
            "raw_drop": {name(m): self.raw_drop(m) for m in (p.source, *p.targets)},
            "intervals": None if self.exact else self._intervals(),
            "source_winner": self._placed(self.winner),
            "feasible_mean": None if self.null is None else self.null.apt,
            "null": None if self.null is None else self._null(self.null),
            "oracle": None if self.oracle is None else self._placed(self.oracle),
            "front": self._front(),
            "explanation": self.explanation.to_dict(),
            "evaluations": {name(m): n for m, n in self.evaluations.items()},
            "checks": {name(m): n for m, n in self.checks.items()},
            "rejected_by_gate": self.rejected,
            "percentiles_of": {"architectures": self.reference, "whole_space": self.exact},
            "solver": self.solver,
            "leak": self.leak,
            "seed": p.seed,
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
            "notes": list(self.notes),
            "run": self.run,
            "report": self.report,
        }

    def _placed(self, placed: Placed) -> dict[str, Any]:
        metrics = (self.problem.source, *self.problem.targets)
        return {
            "arch": placed.arch,
            "source_percentile": placed.source.percentile,
            "target_percentiles": {self.name(t): s.percentile for t, s in placed.targets.items()},
            "apt": placed.apt,
            "values": {self.name(m): self.standing(placed, m).value for m in metrics},
        }

    def _null(self, null: Null) -> dict[str, Any]:
        targets = {self.name(t): v for t, v in null.targets.items()}
        return {
            "architectures": null.n,
            "source_percentile": null.source,
            "target_percentiles": targets,
            "apt": null.apt,
        }

    def _intervals(self) -> dict[str, list[float]]:
        metrics = (self.problem.source, *self.problem.targets)
        return {self.name(m): [s.low, s.high] for m in metrics for s in [self.standing(self.chosen, m)]}

    def _front(self) -> list[dict[str, Any]]:
        e = self.evaluated
        archs = self.problem.space.format_many(e.genotypes[e.front]) if e.front.size else []
        seen = [self.name(m) for m in self.problem.searched]
        return [
            {
                "arch": arch,
                "source_percentile": float(e.source[i]),
                "percentiles": dict(zip(seen, e.searched[i].tolist(), strict=True)),
                "score": float(e.score[i]),
                "passes": bool(e.passes[i]),
            }
            for arch, i in zip(archs, e.front.tolist(), strict=True)
        ]


def _reduction(before: float, after: float) -> float | None:
    return reduction(before, after) if before > 0 else None


def short_names(metrics: Sequence[str]) -> dict[str, str]:
    """Return the task of each trained accuracy and the column of each table metric, where that is unambiguous."""
    tables = {m.partition("@")[2] for m in metrics if not m.startswith(TRAINED)}
    columns = {m: m.partition("@")[0] if len(tables) == 1 and "/" not in m else m for m in metrics}
    names = {m: m.removeprefix(TRAINED) if m.startswith(TRAINED) else columns[m] for m in metrics}
    return names if len(set(names.values())) == len(names) else {m: m for m in metrics}


def place(problem: LockProblem, yardstick: Yardstick, genotype: Genotypes) -> Placed:
    """Return where an architecture ``(n_choices,)`` stands; this reads the targets."""
    targets = {t: yardstick.standing(t, genotype) for t in problem.targets}
    return Placed(problem.space.format(genotype), genotype, yardstick.standing(problem.source, genotype), targets)


def null_model(problem: LockProblem, yardstick: Yardstick, bound: float) -> Null | None:
    """Return the mean of the architectures that pass the gate, None where fewer than two of a sample do."""
    genotypes = yardstick.genotypes[passes(problem, yardstick.read(problem.source, yardstick.genotypes), bound)]
    found = yardstick.percentiles((problem.source, *problem.targets), genotypes)
    found = found[~np.isnan(found).any(axis=1)]
    if len(found) < (1 if yardstick.exact else 2):
        return None
    source, *targets = found.mean(axis=0).tolist()
    return Null(len(found), source, dict(zip(problem.targets, targets, strict=True)), float(np.mean(targets)))


def passes(problem: LockProblem, values: Floats, bound: float) -> NDArray[np.bool_]:
    """Return which source values pass the gate; NaN does not."""
    return values >= bound if resolve(problem.source).direction == "max" else values <= bound


def evaluated(problem: LockProblem, yardstick: Yardstick, genotypes: Genotypes, bound: float) -> Evaluated:
    """Return percentiles and Pareto front of the architectures that the search measured."""
    found = yardstick.percentiles((problem.source, *problem.searched), genotypes)
    known = ~np.isnan(found).any(axis=1)
    genotypes, source, searched = genotypes[known], found[known, 0], found[known, 1:]
    score = problem.aggregate(searched)
    worth = np.stack([source, -score], axis=1)
    _, first = np.unique(worth, axis=0, return_index=True)
    first = np.sort(first)
    front = first[pareto_mask(worth[first])]
    values = yardstick.read(problem.source, genotypes)
    top = int(values.argmax() if resolve(problem.source).direction == "max" else values.argmin())
    met = passes(problem, values, bound)
    return Evaluated(genotypes, source, searched, score, met, front[np.argsort(-source[front], kind="stable")], top)
