"""A study: a search that remembers, can be interrupted at any instant and goes on where it was."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ogive._errors import InputError
from ogive._registry import load_plugin
from ogive.metrics.base import Cost, resolve
from ogive.spaces.base import Space, get_space
from ogive.strategies.base import batch_of, get_strategy
from ogive.study.config import Repeats, StudyConfig, versions
from ogive.study.crew import Crew
from ogive.study.directory import RunDirectory
from ogive.study.executors import Interrupts
from ogive.study.final import FIRST_SEED, Run, Verdict, entry, missing_runs, verdict
from ogive.study.jobs import problem_of
from ogive.study.journal import RETRAIN
from ogive.study.one_shot import OneShot, supernet_settings
from ogive.study.progress import counting_bar
from ogive.study.rounds import Rounds
from ogive.study.workers import Pool
from ogive.tasks.base import Task, get_task

if TYPE_CHECKING:
    import pandas as pd

    from ogive.study.events import EventLog
    from ogive.study.results import Best
    from ogive.training.config import TrainConfig
    from ogive.training.supernet_config import SupernetConfig

_WINDOW = 4
_MOST_WORKERS = 8


class Study(Rounds):
    """A constrained search for one or several objectives in a space.

    Parameters
    ----------
    space : Space or str
    task : Task or str, optional
        What the architectures are for; most metrics need one. By default that of the first objective with a task of
        its own, such as ``accuracy@train/digits``.
    maximize, minimize : sequence of str
        Metrics to optimise; the first one of `maximize`, then of `minimize`, decides which architecture is `best`.
    where : sequence of str
        Constraints such as ``relus<=50000``. A candidate that breaks one on a cheap metric is never measured further
        and does not count as a trial.
    strategy : str, optional
        Name and options; by default "evolution" for one objective and "nsga2" for more.
    out : str or Path, optional
        Directory of the run, new or empty; without it the study lives in memory.
    trials : int
        What `run` does when it is not told a number.
    seed : int
        Fixes candidates, initial weights and data order.
    workers : int, optional
        Processes that measure; 0 measures in this one. By default one for each core (at most 8) where a metric is
        dear, else 0. It never changes the candidates, unless it exceeds `window`'s default of 4.
    batch : int, optional
        Candidates drawn together; by default what the strategy likes where all metrics are cheap, else 1.
    window : int, optional
        Batches that may be drawn before the first of them is told to the strategy.
    train : TrainConfig or mapping, optional
        Recipe of ``@train`` metrics.
    supernet : SupernetConfig, mapping, str or Path, optional
        For ``@supernet`` metrics: the folder of a trained supernet, or how the study trains its own (the fields of
        `SupernetConfig` and of `ogive.study.one_shot.Slices`, as a mapping or as ``sampler=fair,epochs=20``). Such a
        study measures in its own process, and its default strategy is "guided".
    repeats : {"free", "count"}
        Whether an architecture that is known is looked up without counting as a trial, or measured and counted again,
        as table benchmarks do.
    max_draws : int
        Consecutive draws without a trial after which the search ends.
    screen : bool
        False measures all of a candidate that breaks a constraint too, and counts it as a trial: the strategy is told
        its objectives and its violation, and it is kept off the front.
    timeout : float, optional
        Seconds after which a trial has failed; needs workers.
    confirm : int
        How many trainings `ogive resume` gives to the test of the best architecture; see `Study.confirm`.
    device : str
        PyTorch device.
    plugins : sequence of str
        Modules or files that register what the study names; workers load them too.
    command : str, optional
        The command that makes this run, for the report; by default that of this process.
    log : EventLog, optional
        Where a study without `out` keeps its events, instead of in memory. What it holds of the same study is taken up.

    Raises
    ------
    InputError
        If something does not exist or does not fit together, or `out` is occupied.
    StorageError
        If `out` cannot be written.

    Examples
    --------
    >>> study = Study("nasbench201", "digits", maximize=["params"], minimize=["macs"], seed=1)
    >>> study.run(trials=20)
    >>> len(study.trials)
    20
    """

    def __init__(
        self,
        space: Space | str,
        task: Task | str | None = None,
        *,
        maximize: Sequence[str] | str = (),
        minimize: Sequence[str] | str = (),
        where: Sequence[str] | str = (),
        strategy: str | None = None,
        out: str | Path | None = None,
        trials: int = 100,
        seed: int = 0,
        workers: int | None = None,
        batch: int | None = None,
        window: int | None = None,
        train: TrainConfig | Mapping[str, Any] | None = None,
        supernet: SupernetConfig | Mapping[str, Any] | str | Path | None = None,
        repeats: Repeats = "free",
        max_draws: int = 10_000,
        screen: bool = True,
        timeout: float | None = None,
        confirm: int = 0,
        device: str = "cpu",
        plugins: Sequence[str] = (),
        command: str | None = None,
        log: EventLog | None = None,
    ) -> None:
        for source in plugins:
            load_plugin(source)
        space = get_space(space)
        up, down = _names(maximize), _names(minimize)
        named = [resolve(name) for name in (*up, *down)]
        if task is None:
            task = next((m.task for m in named if m.task), None)
        task = None if task is None else get_task(task)
        dear = any(m.cost > Cost.COUNT for m in named)
        workers = (min(os.cpu_count() or 1, _MOST_WORKERS) if dear else 0) if workers is None else workers
        weights = supernet_settings(space, strategy, [*up, *down, *_names(where)], supernet)
        own = weights is not None and "folder" not in weights
        dear, workers = dear and not own, 0 if own else workers
        strategy = strategy or ("guided" if own else "evolution" if len(up) + len(down) == 1 else "nsga2")
        config = StudyConfig(
            space=space.spec,
            task=None if task is None else task.spec,
            maximize=up,
            minimize=down,
            where=_names(where),
            strategy=strategy,
            trials=trials,
            seed=seed,
            batch=(1 if dear else batch_of(strategy)) if batch is None else batch,
            window=(max(_WINDOW, workers) if dear else 1) if window is None else window,
            repeats=repeats,
            max_draws=max_draws,
            screen=screen,
            train=train if train is None or isinstance(train, Mapping) else train.to_dict(),
            supernet=weights,
            weights=_weights(space),
            workers=workers,
            timeout=timeout,
            confirm=confirm,
            device=device,
            plugins=tuple(plugins),
            command=command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            versions=versions(),
        )
        self._set_up(config, None if out is None else RunDirectory(out), space, task, log)
        if self.directory is not None:
            if log is not None:
                raise InputError("a run directory has its own log; give either out or log")
            self.directory.create(config)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the study of a run directory, to look at it or to go on with it; another process may be writing it.

        Raises
        ------
        InputError
            If there is no run, or it names something that does not exist here.
        """
        directory = RunDirectory(path)
        config = directory.config()
        study = cls.__new__(cls)
        study._set_up(config, directory)
        return study

    def _set_up(
        self,
        config: StudyConfig,
        directory: RunDirectory | None,
        space: Space | None = None,
        task: Task | None = None,
        log: EventLog | None = None,
    ) -> None:
        self.config, self.directory = config, directory
        self.one_shot = OneShot.of(config, None if directory is None else directory.path / "checkpoints")
        problem = problem_of(config, space, task, self.one_shot)
        self._begin_steering(problem, log)
        # Say at once what the strategy has to say against the space or the number of objectives.
        get_strategy(config.strategy, problem.space, n_objectives=len(config.objectives), seed=config.seed)
        self.note = None

    # ---------------------------------------------------------------- the last word

    def confirm(self, seeds: int = 3, baseline: int | None = None, *, progress: bool | None = None) -> Verdict | None:
        """Train the best architecture anew and test it, beside random architectures that meet the same constraints.

        Where a supernet ranked, several finalists are trained, and the best is the one that then validates best on
        average. What an earlier, interrupted call finished is not done again. The weights of the first seed go to
        ``best/weights.safetensors``.

        Parameters
        ----------
        seeds : int
            Trainings of the best architecture, or of each finalist.
        baseline : int
            Random architectures, trained once each; by default four for each seed.
        progress : bool, optional
            Show a bar on standard error; by default where that is a terminal.

        Returns
        -------
        Verdict or None
            None if no architecture meets the constraints, or its trainings failed.

        Raises
        ------
        InputError
            If the study has no task, or its space cannot build networks.
        RunLockedError, StorageError, KeyboardInterrupt
            As in `run`.
        """
        self._need_data(always=True)
        with self._writing() as log, Interrupts() as interrupts:
            todo = missing_runs(self, seeds, 4 * seeds if baseline is None else baseline)
            crew = Crew(self.config, self._problems, interrupts, log, self.directory)
            pool = Pool(max(self.config.workers, 1), crew.config_of(self.steering).to_dict())
            try:
                for i, run in enumerate(todo):
                    pool.submit(i, "retrain", run.genotype.tolist(), run.seed, self._weights_of(run))
                with counting_bar("testing", len(todo), progress) as advance:
                    left = len(todo)
                    while left:
                        with interrupts.waiting():
                            answers = pool.wait()
                        log.extend([(RETRAIN, entry(todo[a.key], a.result, a.reason)) for a in answers])
                        left -= len(answers)
                        advance(len(answers))
            finally:
                pool.close()
                crew.close()
        # The report clears away what belongs to an architecture that is no longer the best.
        self.write_report()
        self._take_weights()
        self._export_onnx()
        self.write_report()
        return self.verdict

    def _weights_of(self, run: Run) -> str | None:
        """Return where the weights of a training of the final stage go: nowhere but for the first of each finalist."""
        if self.directory is None or run.role == "baseline" or run.seed != FIRST_SEED:
            return None
        return str(self.directory.path / "finalists" / f"{run.genotype.tobytes().hex()}.safetensors")

    def _take_weights(self) -> None:
        """Copy the weights of the best architecture to where people look for them."""
        best = self.best
        if self.directory is None or best is None:
            return
        weights = self._weights_of(Run("chosen", best.genotype, FIRST_SEED))
        if weights is not None and Path(weights).exists():
            self.directory.write("best/weights.safetensors", Path(weights).read_bytes())

    def _export_onnx(self) -> None:
        """Write ``best/model.onnx`` from the trained weights, where the onnx extra is installed."""
        best = self.best
        if self.directory is None or best is None or best.task is None or find_spec("onnxscript") is None:
            return
        folder = self.directory.path / "best"
        if (folder / "weights.safetensors").exists() and not (folder / "model.onnx").exists():
            from ogive.training.export import export_onnx, load_weights

            model = load_weights(best.build(), folder / "weights.safetensors")
            export_onnx(model, best.task.input_shape, folder / "model.onnx")

    @property
    def verdict(self) -> Verdict | None:
        """What `confirm` found for the present best architecture; None before."""
        return verdict(self)

    # ---------------------------------------------------------------- looking

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial, in the order of the draws: arch, metrics, violation, status, seconds, reason."""
        return self.results().trials()

    @property
    def front(self) -> pd.DataFrame:
        """The non-dominated architectures that meet all constraints, best in the first objective first."""
        return self.results().front()

    @property
    def best(self) -> Best | None:
        """The architecture that is best in the first objective and meets all constraints; None if there is none."""
        return self.results().best()

    def write_report(self) -> Path | None:
        """Write `report.html`, `front.csv` and `best/arch.json` into the run directory and return the report's path.

        Raises
        ------
        StorageError
            If they cannot be written.
        """
        if self.directory is None:
            return None
        from ogive.study.report import write_report

        return write_report(self, self.directory)


def _names(given: Sequence[str] | str) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _weights(space: Space) -> tuple[tuple[float, ...], ...] | None:
    whole = space.free().restriction.weights
    if np.array_equal(space.restriction.weights, whole):
        return None
    return tuple(tuple(row) for row in space.restriction.weights.tolist())
