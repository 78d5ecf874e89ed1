"""ArchLock: an architecture that is good at its own task and poor when someone transfers it.

Zhou, Ren and Xu, "ArchLock: Locking DNN Transferability at the Architecture Level with a Zero-Cost Binary Predictor",
ICLR 2024. The search is our own: a constrained Pareto search on true evaluations, each of them counted, which cannot
read a target that the setting calls unknown. The published loop is there under its name (`legacy`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ogive._errors import InfeasibleError, InputError, UnknownNameError
from ogive.methods import certification
from ogive.methods._lock_answer import TRAINED, Lock, evaluated, null_model, place
from ogive.methods._lock_explain import explain
from ogive.methods._lock_legacy import CoinFlip, TrueOrder, run_legacy
from ogive.methods._lock_oracle import Landscape, is_complete
from ogive.methods._lock_problem import Gate, LockProblem
from ogive.methods._lock_report import sentences, write_lock
from ogive.methods._lock_run import QUESTION, Question, Search
from ogive.methods._lock_yardstick import whole_space
from ogive.metrics.base import resolve
from ogive.metrics.percentile import Aggregate
from ogive.study.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.methods._lock_answer import Evaluated, Placed
    from ogive.methods._lock_explain import Explanation
    from ogive.methods._lock_yardstick import Yardstick
    from ogive.methods.certification import Certificate
    from ogive.spaces.base import Genotypes

__all__ = ["SIMULATED", "Aggregate", "Gate", "Lock", "LockProblem", "is_lock", "legacy", "lock", "resume", "sentences"]

Comparator = Literal["coin", "perfect"]

SIMULATED = "ogive.methods._lock_simulated"
"""The plug-in of ``worth@simulated``, an auxiliary metric for targets that nobody can name."""

_FINALISTS = 3
_SHARE, _LEAST = 3, 5
"""The reference sample is one part in so many of the budget, at least so many architectures."""


def lock(
    problem: LockProblem,
    *,
    out: str | Path | None = None,
    reference: int | None = None,
    certify: str | None = None,
    progress: bool | None = None,
    **study: Any,
) -> Lock:
    """Search for a lock and say what it is worth.

    Parameters
    ----------
    problem : LockProblem
    out : path, optional
        Run directory, new or empty; without it the run lives in memory.
    reference : int, optional
        Random architectures at the beginning, where no table knows the whole space: percentiles, and a gate by
        percentile, are of them. By default a third of the budget.
    certify : str, optional
        Attack the finalists after the search, as hard as this preset says ("small", "full"); the metrics are then
        accuracies trained on tasks. See `ogive.methods.certification`.
    progress : bool, optional
        Show a bar on standard error; by default where that is a terminal.
    **study
        Settings of the study: train, workers, timeout, device, plugins, command; see `ogive.Study`.

    Returns
    -------
    Lock

    Raises
    ------
    InputError
        If something does not exist or does not fit together, or `out` is occupied.
    InfeasibleError
        If no evaluated architecture passes the gate; names the best source value found.
    DataMissingError
        If the data of a source, auxiliary or target task are not on this machine; before anything is trained.
    KeyboardInterrupt
        After Ctrl-C, at a safe point; `resume` goes on.

    Examples
    --------
    >>> problem = LockProblem.from_table("micro", space, "class_scene_val", ["jigsaw_val"])  # doctest: +SKIP
    >>> lock(problem).chosen.arch  # doctest: +SKIP
    """
    if is_complete(problem):
        if reference is not None:
            raise InputError("the table knows the whole space, so there is no reference sample; leave it out")
    elif reference is None:
        reference = max(_LEAST, problem.budget // _SHARE)
    if certify is not None:
        certification.preset(certify)
        _tasks(problem)
    return _finish(Search(Question(problem, reference, certify, study), out), progress)


def resume(run: str | Path, *, progress: bool | None = None) -> Lock:
    """Go on with an interrupted lock, or read a finished one; errors as `lock`."""
    return _finish(Search.open(run), progress)


def is_lock(run: str | Path) -> bool:
    """Return whether a run directory holds a lock."""
    return (Path(run) / QUESTION).is_file()


def legacy(
    problem: LockProblem,
    *,
    comparator: Comparator = "coin",
    leak: bool = False,
    out: str | Path | None = None,
    command: str = "",
) -> Lock:
    """Run the published evolutionary loop on a complete table and say what its lock is worth.

    Parameters
    ----------
    problem : LockProblem
    comparator : {"coin", "perfect"}
        What ranks architectures in place of the paper's predictor, which was not released: a coin, the null model; or
        the true order of the metrics that the search may read.
    leak : bool
        Choose, as the released code does, by the true targets although the setting may call them unknown.
    out : path, optional
        Directory for the report, new or empty. The loop takes seconds, so it cannot be resumed.
    command : str
        The command that makes this lock, for the report.

    Raises
    ------
    InputError
        If a metric is no column of a complete table, there is no such comparator, or `out` is occupied.
    InfeasibleError
        If nothing passes the gate; names the best source value found.
    """
    yardstick = whole_space(problem)
    if yardstick is None:
        raise InputError("the published loop runs on complete tables only; leave out --solver legacy, or give --table")
    if comparator not in get_args(Comparator):
        raise UnknownNameError.of("comparator", comparator, get_args(Comparator))
    directory = None if out is None else _empty(out)
    bound = problem.gate.bound(yardstick.reference(problem.source))
    judge = CoinFlip(problem.seed) if comparator == "coin" else TrueOrder(problem.space)
    found = run_legacy(problem, judge, bound, peek=leak)
    counts = {m: int(n[0]) for m, n in found.evaluations.items()}
    leaks = leak and problem.setting == "tu"
    lock = replace(
        _judged(problem, yardstick, bound, found.genotypes, found.genotypes[0], counts),
        solver=f"legacy, comparator {comparator}",
        leak=leaks,
        rejected=None,
        notes=("a leak: the true targets, which the setting calls unknown, made the final choice",) if leaks else (),
    )
    return lock if directory is None else write_lock(lock, directory, command)


def _empty(out: str | Path) -> RunDirectory:
    directory = RunDirectory(out)
    if directory.path.exists() and any(directory.path.iterdir()):
        raise InputError(f"'{out}' is not empty; choose a new directory for the lock")
    return directory


def _finish(search: Search, progress: bool | None) -> Lock:
    """Search, choose among what was evaluated, and read the targets."""
    search.run(progress)
    problem, bound, rows = search.problem, search.bound, search.rows()
    assert bound is not None, "the search is over, so the reference sample is there"
    counts = {m: _spent(m, len(rows)) for m in (problem.source, *problem.searched)}
    lock = _judged(problem, search.yardstick, bound, rows.genotypes, search.choose(), counts)
    lock = replace(lock, checks=search.checks.counts(), notes=tuple(_notes(search, lock)))
    directory = search.study.directory
    if search.question.certify is not None:
        lock = replace(lock, certificate=_certified(search, lock, progress))
    return lock if directory is None else write_lock(lock, directory, search.study.config.command)


def _spent(metric: str, n: int) -> int:
    """Return how many true evaluations it took to know a metric of `n` architectures."""
    if not metric.startswith("worth@simulated/"):
        return n
    # A prediction of any number of architectures: what counts are the trainings that it was learned from.
    from ogive.methods._lock_simulated import Simulation

    how = Simulation()
    return (1 + how.tasks) * how.architectures


def _tasks(problem: LockProblem) -> tuple[str, list[str]]:
    """Return the tasks of source and targets.

    Raises
    ------
    InputError
        If a metric is not an accuracy trained on a task of its own, so that there is nothing to attack.
    """
    metrics = (problem.source, *problem.targets)
    other = [m for m in metrics if not m.startswith(TRAINED)]
    if other:
        raise InputError(
            f"a certificate needs tasks to attack, and '{other[0]}' is none; name tasks without --table, or certify "
            "architectures with: ogive certify"
        )
    source, *targets = (m.removeprefix(TRAINED) for m in metrics)
    return source, targets


def _certified(search: Search, lock: Lock, progress: bool | None) -> Certificate:
    """Attack the finalists, beside the source-only winner."""
    source, targets = _tasks(search.problem)
    config, directory = search.study.config, search.study.directory
    assert search.question.certify is not None
    return certification.certify(
        lock.finalists(_FINALISTS),
        config.space,
        source,
        targets,
        unlocked=lock.winner.arch,
        protocol=search.question.certify,
        workers=config.workers,
        out=None if directory is None else directory.path / "certificate",
        seed=config.seed,
        device=config.device,
        plugins=config.plugins,
        show=progress,
    )


def _judged(
    problem: LockProblem,
    yardstick: Yardstick,
    bound: float,
    genotypes: Genotypes,
    chosen: Genotypes | None,
    counts: dict[str, int],
) -> Lock:
    """Say what the chosen one of the evaluated architectures is worth; this reads the targets."""
    seen = evaluated(problem, yardstick, genotypes, bound)
    if chosen is None:
        raise InfeasibleError(_unmet(problem, yardstick, seen, bound, counts[problem.source]))
    placed = place(problem, yardstick, chosen)
    landscape = Landscape(problem) if yardstick.exact else None
    winner = seen.genotypes[seen.top] if landscape is None else landscape.genotypes[landscape.winner]
    return Lock(
        problem=problem,
        chosen=placed,
        winner=place(problem, yardstick, winner),
        null=null_model(problem, yardstick, bound),
        oracle=None if landscape is None else place(problem, yardstick, landscape.genotypes[landscape.best]),
        bound=bound,
        evaluations=dict.fromkeys((problem.source, *problem.targets, *problem.auxiliary), 0) | counts,
        rejected=int((~seen.passes).sum()),
        evaluated=seen,
        explanation=_explanation(problem, placed, seen, landscape),
        exact=yardstick.exact,
        reference=len(yardstick.genotypes),
    )


def _unmet(problem: LockProblem, yardstick: Yardstick, seen: Evaluated, bound: float, n: int) -> str:
    best = seen.genotypes[seen.top]
    value = yardstick.read(problem.source, best[None])[0]
    op = ">=" if resolve(problem.source).direction == "max" else "<="
    return (
        f"no architecture passed gate {problem.gate} ({problem.source} {op} {bound:.10g}) in {n} evaluations; the best "
        f"value found is {value:.10g} ({problem.space.format(best)}); loosen the gate or raise the budget"
    )


def _explanation(problem: LockProblem, chosen: Placed, seen: Evaluated, landscape: Landscape | None) -> Explanation:
    if landscape is None:
        return explain(problem.space, chosen.genotype, seen.genotypes, seen.source - seen.score, exact=False)
    gap = landscape.source_percentile - landscape.aggregate
    return explain(problem.space, chosen.genotype, landscape.genotypes, gap, exact=True)


def _notes(search: Search, lock: Lock) -> Iterator[str]:
    """Yield what a reader should know before using the numbers."""
    gate = lock.problem.gate
    if not lock.exact:
        yield (
            f"percentiles are of {lock.reference} random architectures, trained once each: their intervals are wide, "
            "and another training would give other values"
        )
        if gate.kind == "pct" and lock.reference * (100 - gate.level) < 100:
            yield f"{lock.reference} architectures cannot resolve {gate}: the gate is the best source value among them"
    same = lock.problem.space.encode(np.stack([lock.chosen.genotype, lock.winner.genotype]), "functional")
    if lock.chosen.arch != lock.winner.arch and np.array_equal(*same):
        yield (
            "the lock computes the same as the best source architecture, they differ in layers that carry nothing: "
            "what separates them is the luck of single trainings, so this is no lock"
        )
    for metric, standing in lock.chosen.targets.items():
        if np.isnan(standing.value):
            yield f"the lock could not be measured at {lock.name(metric)}; its training failed"
    for metric in lock.problem.auxiliary:
        if metric.startswith("worth@simulated/"):
            yield (
                f"targets were simulated: {lock.name(metric)} is a prediction, learned from "
                f"{lock.evaluations[metric]} trainings on tasks made of the source's own examples, besides the budget"
            )
    if search.study.note:
        yield search.study.note
