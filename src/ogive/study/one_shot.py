"""A supernet that a study trains for itself, in slices between the architectures it measures.

Before the first architecture the supernet is warmed up; then it is trained for another slice after every few batches of
architectures, until its budget is used up. Which slice is due depends on how many batches have been told, and what it
does on the seed, so a run that is interrupted anywhere and resumed has the same losses and the same candidates.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ogive._errors import InputError
from ogive._registry import parse_spec
from ogive.metrics.supernet import identity
from ogive.strategies.base import Floats, get_strategy
from ogive.strategies.gradient import Gradient
from ogive.strategies.guided import Guided
from ogive.study._changes import tell_again
from ogive.training.samplers import Guided as GuidedSampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ogive.spaces.base import Space
    from ogive.strategies.base import Strategy
    from ogive.study.config import StudyConfig
    from ogive.study.engine import Engine
    from ogive.study.events import Event
    from ogive.study.problem import Problem
    from ogive.study.steering import Steering
    from ogive.training.supernet_trainer import SupernetTrainer

TICK = "train.tick"
"""Kind of the events that hold what a supernet's training lost; `loss_trace` reads them."""

SLICE = "train.slice"
"""Kind of the events that end a slice."""

_TICK_SECONDS = 0.1
_SAVE_SECONDS = 60.0
_KEPT = 3


@dataclass(frozen=True)
class Slices:
    """When a study trains its supernet.

    Attributes
    ----------
    warm : float
        Share of the training that comes before the first architecture is measured, in (0, 1].
    refresh : int
        Batches of architectures between two slices, R in the search loop.
    """

    warm: float = 0.2
    refresh: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.warm, bool) or not isinstance(self.warm, (int, float)) or not 0 < self.warm <= 1:
            raise InputError(f"supernet option warm={self.warm!r} must be a number in (0, 1]")
        if isinstance(self.refresh, bool) or not isinstance(self.refresh, int) or self.refresh < 1:
            raise InputError(f"supernet option refresh={self.refresh!r} must be a whole number >= 1")

    def due(self, told: int, batches: int, total: int) -> tuple[int, int]:
        """Return the number of the slice that must be done once so many batches are told, and the steps it ends at.

        Parameters
        ----------
        told : int
            Batches told so far.
        batches : int
            Batches that are planned.
        total : int
            Steps of the whole training.
        """
        first = max(1, math.ceil(self.warm * total))
        slices = max(1, math.ceil(batches / self.refresh) - 1)
        number = min(told // self.refresh, slices)
        return number, first + round((total - first) * number / slices)


def supernet_settings(space: Space, strategy: str | None, metrics: Sequence[str], given: Any) -> dict[str, Any] | None:
    """Return what a study's `supernet` says with every default filled in: a folder, or how to train one of its own.

    The sampler is the strategy's own where it has one, ``guided`` beside the guided strategy, else ``fair``; a strategy
    that learns from the training has all of it before its first proposal.

    Parameters
    ----------
    space : Space
    strategy : str or None
        None is the default of a study that trains its own supernet.
    metrics : sequence of str
        Objectives and constraints; without one of a supernet there is nothing to fill in.
    given : SupernetConfig, mapping, str, Path or None

    Returns
    -------
    dict or None
        ``{"folder": ...}``, or the fields of `SupernetConfig` and `Slices`; None without a supernet.

    Raises
    ------
    UnknownNameError
        If an option does not exist.
    InputError
        If a value is out of range, or the strategy needs another sampler.
    """
    from ogive.training.supernet_config import SupernetConfig

    if given is None and not any("@supernet" in name for name in metrics):
        return None
    if isinstance(given, (str, Path)) and "=" not in str(given):
        return {"folder": str(given)}
    if isinstance(given, str):
        given = parse_spec(f"supernet:{given}")[1]
    given = given.to_dict() if isinstance(given, SupernetConfig) else given or {}
    options: dict[str, Any] = dict(given)
    if "folder" in options:
        return options
    kind = get_strategy(strategy, space) if strategy else None
    own = getattr(kind, "sampler_spec", None)
    when = {f.name: options.pop(f.name) for f in fields(Slices) if f.name in options}
    recipe = {"sampler": own or ("guided" if kind is None or isinstance(kind, Guided) else "fair")} | options
    if own and str(recipe["sampler"]).partition(":")[0] != own.partition(":")[0]:
        raise InputError(f"strategy '{strategy}' learns from sampler '{own}', not '{recipe['sampler']}'; leave it out")
    slices = Slices(**({"warm": 1.0} if own else {}) | when)
    return SupernetConfig.from_dict(recipe).to_dict() | asdict(slices)


class OneShot:
    """The supernet of one study: trains it when it is due, keeps it in the run directory.

    `trainer` is what the metrics ``@supernet`` read.

    Parameters
    ----------
    given : mapping
        What `supernet_settings` returned.
    batches : int
        Batches of architectures that are planned; slices are spread over them.
    folder : Path, optional
        Where the supernet is kept; without it the supernet lives in memory.
    """

    def __init__(self, given: Mapping[str, Any], batches: int, folder: Path | None = None) -> None:
        self.slices = Slices(**{f.name: given[f.name] for f in fields(Slices)})
        self._recipe = {k: v for k, v in given.items() if k not in asdict(self.slices)}
        self._batches, self._folder = batches, folder
        self._problem: Problem | None = None
        self._space: Space | None = None
        self._trainer: SupernetTrainer | None = None
        self._slice = -1
        self._learnt: dict[int, list[list[float]] | None] = {}
        self._ends = {0}
        self._firsts: dict[int, int] = {}
        self._strategy: Strategy | None = None

    @classmethod
    def of(cls, config: StudyConfig, folder: Path | None) -> Self | None:
        """Return the supernet that a configuration asks a study to train; None where there is none."""
        if config.supernet is None or "folder" in config.supernet:
            return None
        return cls(config.supernet, math.ceil(config.trials / config.batch), folder)

    def take_up(self, engine: Engine) -> None:
        """Serve an engine, from where the run directory and its log have it."""
        self._problem, self._space = engine.problem, engine.problem.space
        self._strategy = engine.strategy
        if self._folder is not None:
            self._trainer = None
        done = [event.data for event in engine.journal.log.read(kinds=(SLICE,))]
        self._learnt = {data["slice"]: data.get("logits") for data in done}
        self._ends = {0} | {data["steps"] for data in done}
        self._firsts = {data["slice"]: data["candidate"] for data in done}
        # An engine that begins with a snapshot has a strategy that was told of the slices before it.
        self._slice = max((n for n, first in self._firsts.items() if first < engine.asked), default=-1)

    def serve(self, problem: Problem) -> None:
        """Let the supernet be read for a study that does not run now."""
        if self._problem is None:
            self._problem = problem
        self._space = problem.space

    @property
    def trainer(self) -> SupernetTrainer:
        """The training; a space that was steered since it was last used is followed first.

        Raises
        ------
        InputError
            If no study has been taken up, or it has no task.
        """
        trainer, space = self._as_it_is, self._space
        held = trainer.supernet
        if space is not None and held.space is not space:
            if identity(held.space) != identity(space):
                trainer.apply(space.free())
            # What a restriction rules out is not trained and so keeps its weights, where a person can still have it
            # measured.
            held.space = trainer.sampler.space = space
        return trainer

    @property
    def _as_it_is(self) -> SupernetTrainer:
        """The training as it was left: a resumed run goes through old revisions, which it must not follow again."""
        if self._problem is None:
            raise InputError("the supernet of a study is trained while the study runs")
        if self._trainer is None:
            self._trainer = self._open(self._problem)
        return self._trainer

    def _open(self, problem: Problem) -> SupernetTrainer:
        from ogive.training.supernet import Supernet
        from ogive.training.supernet_config import SupernetConfig
        from ogive.training.supernet_trainer import SupernetTrainer

        context = problem.context
        task = context.need_task("accuracy@supernet")
        if saved := self._saved():
            return SupernetTrainer.load(saved[-1], task, device=context.device)
        supernet = Supernet(problem.space, task, seed=context.seed, device=context.device)
        return SupernetTrainer(supernet, task, SupernetConfig.from_dict(self._recipe), seed=context.seed)

    # ---------------------------------------------------------------- training

    def prepare(self, engine: Engine) -> bool:
        """Train what is due before the engine asks for its next batch; return False if the run is to stop first.

        Raises
        ------
        DivergedError
            If the training diverges.
        """
        self._strategy, self._space = engine.strategy, engine.strategy.space
        batches = engine.turn // 2  # an ask and a tell each
        number, end = self.slices.due(batches, self._batches, self._as_it_is.total_steps)
        if number <= self._slice:
            return True
        began = self._as_it_is.steps_done < end
        if began:
            engine.journal.append([("run.state", {"state": "training" if number else "warming"})])
        if not self._train(engine, end):
            return False
        if began:
            engine.journal.append([("run.state", {"state": "searching"})])
        self._finish(engine.strategy, number, engine)
        return True

    def _train(self, engine: Engine, end: int) -> bool:
        """Train up to a step, steered between any two; return False if the run is to stop before."""
        ticked = saved = time.monotonic()
        losses: list[float] = []
        begun = self._as_it_is.steps_done
        while goes_on := engine.helm.hold(engine, self._as_it_is.steps_done):
            if self._as_it_is.steps_done >= end:
                break
            # Somebody may have led the search elsewhere since the step before.
            self._space = engine.strategy.space
            self._aim(engine.strategy)
            losses.append(self.trainer.step())
            now = time.monotonic()
            if now - ticked >= _TICK_SECONDS:
                self._tick(losses, engine)
                ticked, losses = now, []
            if now - saved >= _SAVE_SECONDS:
                self._save()
                saved = now
        if losses:
            self._tick(losses, engine)
        if self._as_it_is.steps_done > begun:
            self._save()
        return goes_on

    def _aim(self, strategy: Strategy) -> None:
        """Give the sampler the distribution of a guided search at the start of a slice, and for another drawing.

        A slice that is taken up in the middle goes on with the weights it was saved with.
        """
        sampler = self.trainer.sampler
        if not (isinstance(strategy, Guided) and isinstance(sampler, GuidedSampler)):
            return
        held = self.trainer.supernet
        fits = sampler.weights is not None and sampler.weights.shape == held.exposure.shape
        if self.trainer.steps_done in self._ends or not fits:
            allowed = held.space.restriction.allowed
            sampler.weights = with_newcomers(strategy.distribution(), held.exposure, allowed)

    def retell(self, engine: Engine, before: Steering, after: Steering) -> None:  # noqa: ARG002 - a hook of the engine
        """Give a strategy that was begun anew, and told everything at once, the evidence epochs of what it was told."""
        strategy = engine.strategy
        if strategy is self._strategy or not isinstance(strategy, Guided):
            return
        self._strategy = strategy
        for number in range(1, self._slice + 1):
            strategy.refreshed()
            strategy.new_epoch()
            first = self._firsts[number]
            later = [(problem, rows.take(rows.candidate >= first)) for problem, rows in engine.told]
            tell_again(strategy, later, engine.problem)

    def _tick(self, losses: list[float], engine: Engine) -> None:
        first = self.trainer.steps_done - len(losses)
        engine.journal.append([(TICK, {"step": first, "loss": losses, "total": self.trainer.total_steps})])

    def _finish(self, strategy: Strategy, number: int, engine: Engine) -> None:
        """Tell the strategy of a slice, as the undisturbed run told it."""
        if number not in self._learnt:
            trainer = self._as_it_is
            logits = trainer.sampler.logits().tolist() if isinstance(strategy, Gradient) else None  # type: ignore[attr-defined]
            facts = {"slice": number, "steps": trainer.steps_done, "candidate": engine.asked}
            facts["exposure"] = trainer.supernet.exposure.tolist()
            engine.journal.append([(SLICE, facts if logits is None else facts | {"logits": logits})])
            self._learnt[number] = logits
            self._ends.add(trainer.steps_done)
            self._firsts[number] = engine.asked
        learnt = self._learnt[number]
        if isinstance(strategy, Gradient) and learnt is not None:
            strategy.learn(np.array(learnt))
        if isinstance(strategy, Guided) and self._slice >= 0:
            strategy.refreshed()
            strategy.new_epoch()
        self._slice = number

    # ---------------------------------------------------------------- files

    def _saved(self) -> list[Path]:
        """Return the folders of saved trainings, oldest first."""
        return [] if self._folder is None else sorted(self._folder.glob("supernet-*"))

    def _save(self) -> None:
        if self._folder is None:
            return
        self._as_it_is.save(self._folder / f"supernet-{self._as_it_is.steps_done:09d}")
        for old in self._saved()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def with_newcomers(weights: Floats, exposure: NDArray[np.int64], allowed: NDArray[np.bool_]) -> Floats:
    """Return sampling weights under which options that lag behind in training are drawn in half of the paths.

    An option lags behind as long as it has had fewer gradients than half the median of its siblings, as one does that
    was drawn into the template while the search ran.

    Parameters
    ----------
    weights : ndarray of float64, (n_choices, max options)
    exposure : ndarray of int64, (n_choices, max options)
    allowed : ndarray of bool, (n_choices, max options)
    """
    out = np.where(allowed, weights, 0.0)
    # One step a choice: they differ in how many options they have.
    for row, seen, mine in zip(out, exposure, allowed, strict=True):
        options = np.flatnonzero(mine)
        siblings = [np.median(seen[options[options != i]]) if len(options) > 1 else 0.0 for i in options]
        lags = seen[options] < 0.5 * np.array(siblings)
        if lags.any() and not lags.all():
            rest = row[options[~lags]].sum() or 1.0
            row[options[lags]] = rest / lags.sum()
    return out


def loss_trace(events: Iterable[Event]) -> list[float]:
    """Return the loss of every training step of a run, in order; steps that were repeated after a kill count once."""
    losses: dict[int, float] = {}
    for event in events:
        if event.kind == TICK:
            losses |= {event.data["step"] + i: loss for i, loss in enumerate(event.data["loss"])}
    return [losses[step] for step in sorted(losses)]
