"""The search behind a lock: an ordinary study whose objectives are the source and what the search may know of targets.

Where percentiles come from a table, the gate is known before the search begins. Where architectures are trained, the
first of them are the strategy's own random ones: they are the reference sample, they count in the budget, and the gate
is set from them. The study then goes on in the same directory, so nothing that was measured is lost.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, OgiveError
from ogive.methods._lock_problem import Gate, LockProblem
from ogive.methods._lock_yardstick import Yardstick, whole_space
from ogive.metrics.base import resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.guard import forbidden
from ogive.metrics.percentile import Aggregate
from ogive.strategies.base import get_strategy
from ogive.strategies.lock import LockSearch
from ogive.study import MemoryLog, Study
from ogive.study.directory import RunDirectory
from ogive.study.problem import COUNTED, KNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ogive.spaces.base import Genotypes, Space
    from ogive.study.problem import Rows

Floats = NDArray[np.float64]

QUESTION = "lock.yaml"
"""The file that makes a run directory a lock."""

_CHECKS = "targets.json"


@dataclass(frozen=True)
class Question:
    """A lock problem and how to go about it: all that a run needs to go on.

    Attributes
    ----------
    problem : LockProblem
    reference : int or None
        Random architectures at the beginning, of which percentiles are; None where tables know the whole space.
    certify : str or None
        Preset of the certification that follows the search, if one does.
    study : mapping
        Settings of the study: train, workers, timeout, device, plugins, command.
    """

    problem: LockProblem
    reference: int | None
    certify: str | None = None
    study: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reference is not None and not 2 <= self.reference < self.problem.budget:
            raise InputError(
                f"the reference sample has {self.reference} architectures; it needs at least 2 and must leave some of "
                f"the budget of {self.problem.budget} for the search"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what the study's own configuration does not say, as plain values."""
        p = self.problem
        return {
            "source": p.source,
            "targets": list(p.targets),
            "setting": p.setting,
            "auxiliary": list(p.auxiliary),
            "gate": str(p.gate),
            "aggregate": str(p.aggregate),
            "budget": p.budget,
            "seed": p.seed,
            "reference": self.reference,
            "certify": self.certify,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], space: Space) -> Self:
        """Read what `to_dict` gave."""
        known = dict(data)
        reference, certify = known.pop("reference"), known.pop("certify")
        known["gate"], known["aggregate"] = Gate.parse(known["gate"]), Aggregate.parse(known["aggregate"])
        for name in ("targets", "auxiliary"):
            known[name] = tuple(known[name])
        return cls(LockProblem(space, **known), reference, certify)


class Search:
    """A lock search that can be interrupted and goes on.

    Parameters
    ----------
    question : Question
    out : path, optional
        Run directory, new or empty; without it the search lives in memory.
    """

    def __init__(self, question: Question, out: str | Path | None = None) -> None:
        self.question, self.problem = question, question.problem
        self._whole = whole_space(self.problem)
        self._log = None if out is not None else MemoryLog()
        bound = self._bound_at_once()
        self.study = self._new_study(bound, out, self.problem.budget if bound is not None else self._sample)
        if self.study.directory is not None:
            import yaml

            self.study.directory.write(QUESTION, yaml.safe_dump(question.to_dict(), sort_keys=False))

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the search of a run directory.

        Raises
        ------
        InputError
            If it holds no lock, or one that names something that does not exist here.
        """
        import yaml

        search = cls.__new__(cls)
        search.study = Study.open(path)
        file = RunDirectory(path).path / QUESTION
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
            search.question = Question.from_dict(data, search.study.problem.space)
        except OgiveError:
            raise
        except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"'{file}' cannot be read as the question of a lock ({type(error).__name__})") from error
        search.problem, search._log = search.question.problem, None
        search._whole = whole_space(search.problem)
        return search

    @property
    def _sample(self) -> int:
        """Number of random architectures that percentiles are of."""
        return 0 if self.question.reference is None else self.question.reference

    def _bound_at_once(self) -> float | None:
        """Return the gate as a source value where it needs no measurement."""
        if self.problem.gate.kind == "value":
            return self.problem.gate.level
        return None if self._whole is None else self.problem.gate.bound(self._whole.reference(self.problem.source))

    def _new_study(self, bound: float | None, out: str | Path | None, trials: int) -> Study:
        p = self.problem
        up, down = self._directions()
        op = ">=" if p.source in up else "<="
        return Study(
            p.space,
            maximize=up,
            minimize=down,
            # A gate that the sample sets later is known to the strategy only: what is logged by then has no violation.
            where=[] if self._bound_at_once() is None else [f"{p.source}{op}{bound!r}"],
            strategy=self._strategy(bound),
            out=out,
            log=self._log,
            trials=trials,
            seed=p.seed,
            screen=False,
            **self.question.study,
        )

    def _directions(self) -> tuple[list[str], list[str]]:
        """Return what the study maximises and minimises: the source is made better, what stands for targets worse."""
        seen = (self.problem.source, *self.problem.searched)
        up = [m for m in seen if (resolve(m).direction == "max") == (m == self.problem.source)]
        return up, [m for m in seen if m not in up]

    def _strategy(self, bound: float | None) -> str:
        """Return the strategy, which learns the gate when it is known; until then it proposes random architectures."""
        p = self.problem
        up, down = self._directions()
        options = [f"aggregate={p.aggregate}", f"source={[*up, *down].index(p.source)}"]
        if p.setting == "tu" or self._whole is None:
            # The luck of one measurement is of no use at another task, nor in another training.
            options.append("denoise=true")
        if self._sample:
            options.append(f"initial={self._sample}")
        if bound is not None:
            # Strategies maximise every column.
            options.append(f"gate={bound if p.source in up else -bound!r}")
        return f"lock:{','.join(options)}"

    # ---------------------------------------------------------------- running

    @property
    def bound(self) -> float | None:
        """The gate as a source value; None until the reference sample is there."""
        at_once = self._bound_at_once()
        if at_once is not None or self.study.results().n_trials < self._sample:
            return at_once
        return self.problem.gate.bound(self.yardstick.reference(self.problem.source))

    def run(self, progress: bool | None = None) -> None:
        """Search until the budget is spent; what an interrupted call finished is not done again.

        Raises
        ------
        InputError, DataMissingError, RunLockedError, StorageError, KeyboardInterrupt
            As `Study.run`.
        LeakError
            If something reads a target that must not be known.
        """
        self._need_targets()
        with forbidden(*self.problem.targets) if self.problem.setting == "tu" else nullcontext():
            if self._bound_at_once() is None:
                self._spend(self._sample, progress)
                self._set_gate()
            self._spend(self.problem.budget, progress)

    def _need_targets(self) -> None:
        """Complain about missing files of unknown targets before the search, not after it."""
        for target in self.problem.targets:
            m = resolve(target)
            if "data" in m.needs:
                self.study.problem.context.on(m.task).need_task(target).split("train")

    def _spend(self, until: int, progress: bool | None) -> None:
        left = until - self.study.results().n_trials
        if left > 0:
            self.study.run(left, progress=progress)

    def _set_gate(self) -> None:
        """Let the strategy know the gate that the reference sample gives; the log stays as it is."""
        wanted = replace(self.study.config, strategy=self._strategy(self.bound), trials=self.problem.budget)
        if self.study.config == wanted:
            return
        directory = self.study.directory
        if directory is None:
            self.study = self._new_study(self.bound, None, self.problem.budget)
            return
        import yaml

        with directory.lock():
            directory.write("config.yaml", yaml.safe_dump(wanted.to_dict(), sort_keys=False, allow_unicode=True))
        self.study = Study.open(directory.path)

    # ---------------------------------------------------------------- what was measured

    def rows(self) -> Rows:
        """Return the evaluated architectures in the order in which they were drawn, those that failed included."""
        rows = self.study.results().rows
        return rows.take(COUNTED[rows.status])

    def choose(self) -> Genotypes | None:
        """Return the strategy's choice among what was evaluated, ``(n_choices,)``; None if nothing passes the gate.

        It sees what the search saw, not the percentiles of the whole space.
        """
        study, rows = self.study, self.rows()
        objectives = len(study.config.objectives)
        strategy = get_strategy(
            study.config.strategy, study.problem.space, n_objectives=objectives, seed=self.problem.seed
        )
        assert isinstance(strategy, LockSearch)
        strategy.tell(rows.genotypes, study.problem.worth(rows))
        return strategy.choose()

    @property
    def yardstick(self) -> Yardstick:
        """What percentiles are of: the whole space, or the reference sample."""
        if self._whole is not None:
            return self._whole
        sample = self.rows().genotypes[: self._sample]
        return Yardstick(sample, self._read, exact=False)

    def _read(self, metric: str, genotypes: Genotypes) -> Floats:
        """Return measured values; a target that the search did not know is measured now, once."""
        problem = self.study.problem
        if metric not in problem.metrics:
            return self.checks.read(metric, genotypes)
        rows = self.study.results().rows
        rows = rows.take(KNOWN[rows.status])
        at = dict(zip(problem.keys(rows.genotypes), rows.values[:, problem.column(metric)].tolist(), strict=True))
        return np.array([at.get(key, np.nan) for key in problem.keys(genotypes)])

    @cached_property
    def checks(self) -> Checks:
        """Targets measured after the search."""
        return Checks(self.study)


class Checks:
    """Measurements of targets that the search did not know, kept in the run directory so that each is made once.

    Parameters
    ----------
    study : Study
        Whose space, recipe and directory they have.

    Attributes
    ----------
    values : dict of str to dict of str to float or None
        Metric to architecture to value; None where the measurement failed.
    """

    def __init__(self, study: Study) -> None:
        self._problem, self._directory = study.problem, study.directory
        file = None if self._directory is None else self._directory.path / _CHECKS
        self.values: dict[str, dict[str, float | None]] = {}
        if file is not None and file.is_file():
            self.values = json.loads(file.read_text(encoding="utf-8"))

    def counts(self) -> dict[str, int]:
        """Return how many architectures were measured, by metric."""
        return {metric: len(known) for metric, known in self.values.items()}

    def read(self, metric: str, genotypes: Genotypes) -> Floats:
        """Return values ``(m,)``, NaN where the measurement fails."""
        space, context = self._problem.space, self._problem.context
        known = self.values.setdefault(metric, {})
        archs = space.format_many(genotypes)
        # One training at a time, each kept as soon as it is there.
        for arch, genotype in zip(archs, genotypes, strict=True):
            if arch not in known:
                value = float(evaluate([metric], space, genotype[None], context).values[metric][0])
                known[arch] = value if np.isfinite(value) else None
                if self._directory is not None:
                    self._directory.write(_CHECKS, json.dumps(self.values))
        return np.array([known[a] for a in archs], dtype=np.float64)
