"""Any sampler of Optuna, through its ask-and-tell interface: ``optuna:TPESampler,multivariate=true``.

Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.
"""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive._imports import require
from ogive.strategies._replay import Replay
from ogive.strategies.base import STRATEGIES, Floats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.spaces.base import Genotypes, Space

_ATTEMPTS = 20


class Optuna(Replay):
    """A sampler of Optuna over one categorical parameter for each choice.

    A proposal that is no architecture of the space is told to the sampler as failed and asked for again a bounded
    number of times, then drawn at random. Constraints are handed over as Optuna's own; a failed evaluation is told as
    the worst values so far and a broken constraint. A new restriction starts a new Optuna study that knows
    all earlier answers inside it.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    algorithm : str
        Name of a class in ``optuna.samplers``; ``optuna:TPESampler`` says it without ``algorithm=``.
    **options
        Arguments of that class.

    Raises
    ------
    MissingDependencyError
        If Optuna is not installed.
    UnknownNameError
        If it has no such sampler.
    InputError
        If the sampler does not take an option, or cannot be made from numbers and words alone.
    """

    name = "optuna"
    multi_objective = True

    def __init__(
        self, space: Space, *, n_objectives: int = 1, seed: int = 0, algorithm: str = "TPESampler", **options: Any
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        self._optuna = require("optuna", "optuna", "the strategy 'optuna'")
        samplers = self._optuna.samplers
        known = [n for n in samplers.__all__ if n.endswith("Sampler") and not inspect.isabstract(getattr(samplers, n))]
        if algorithm not in known:
            raise UnknownNameError.of("sampler of Optuna", str(algorithm), known)
        self._sampler, self._options = getattr(samplers, algorithm), options
        self._accepted = inspect.signature(self._sampler.__init__).parameters
        for option in options:
            if option not in self._accepted:
                raise UnknownNameError.of(f"option of strategy 'optuna:{algorithm}'", option, self._accepted)
        self._open()

    # ---------------------------------------------------------------- the study

    def _open(self) -> None:
        self._answers: list[tuple[Genotypes, Floats, float]] = []
        self._begin()

    def _begin(self) -> None:
        """Start a study over what the restriction allows; a categorical parameter of Optuna cannot change later."""
        options = dict(self._options)
        if "seed" in self._accepted:
            options.setdefault("seed", self.seed)
        if "constraints_func" in self._accepted:
            options["constraints_func"] = lambda trial: (trial.user_attrs.get("violation", 0.0),)
        self._open_trials: dict[bytes, list[Any]] = defaultdict(list)
        allowed = self.space.restriction.allowed
        categorical = self._optuna.distributions.CategoricalDistribution
        self._distributions = {
            c.name: categorical(np.flatnonzero(row).tolist())
            for c, row in zip(self.space.choices, allowed, strict=True)
            if row.sum() > 1
        }
        self._fixed = allowed.argmax(axis=1)
        with _quiet():
            try:
                sampler = self._sampler(**options)
            except (TypeError, ValueError) as error:
                raise InputError(f"strategy 'optuna:{self._sampler.__name__}': {error}") from error
            self._study = self._optuna.create_study(directions=["maximize"] * self.n_objectives, sampler=sampler)

    def _follow(self) -> None:
        self._begin()
        for genotype, values, violation in self._answers:
            self._add(genotype, values, violation)

    # ---------------------------------------------------------------- proposals

    def _ask(self, n: int) -> Genotypes:
        # One after another: Optuna proposes one trial at a time.
        return np.stack([self._one() for _ in range(n)]) if n else self.space.sample(0, self.rng)

    def _one(self) -> Genotypes:
        for _ in range(_ATTEMPTS if self._distributions else 0):
            with _quiet():
                trial = self._study.ask(self._distributions)
            row = [trial.params.get(c.name, f) for c, f in zip(self.space.choices, self._fixed.tolist(), strict=True)]
            genotype = np.array(row, dtype=self.space.dtype)
            if self.space.valid(genotype[None])[0]:
                self._open_trials[genotype.tobytes()].append(trial)
                return genotype
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return np.asarray(self.space.sample(1, self.rng)[0])

    # ---------------------------------------------------------------- answers

    def _tell(self, genotypes: Genotypes, values: Floats, violation: Floats) -> None:
        for genotype, row, broken in zip(genotypes, values, violation.tolist(), strict=True):
            self._answers.append((genotype, row, broken))
            self._add(genotype, row, broken)

    def _add(self, genotype: Genotypes, values: Floats, violation: float) -> None:
        """Tell the trial that is open for this architecture, or add one that nobody asked for."""
        finite, broken = self._finite(values), min(violation, 1e6) + (0.0 if np.isfinite(values).all() else 1e6)
        waiting = self._open_trials.get(genotype.tobytes())
        if waiting:
            trial = waiting.pop(0)
            trial.set_user_attr("violation", broken)
            with _quiet():
                self._study.tell(trial, finite)
            return
        allowed = self.space.restriction.allowed[np.arange(len(genotype)), genotype]
        if not allowed.all() or not self._distributions:
            return
        codes = dict(zip((c.name for c in self.space.choices), genotype.tolist(), strict=True))
        trial = self._optuna.trial.create_trial(
            values=finite,
            params={name: codes[name] for name in self._distributions},
            distributions=self._distributions,
            user_attrs={"violation": broken},
            system_attrs={"constraints": (broken,)},
        )
        self._study.add_trial(trial)

    def _finite(self, values: Floats) -> list[float]:
        """Return the values, failed ones replaced by the worst told so far."""
        told = np.stack([v for _, v, _ in self._answers])
        worst = np.where(np.isfinite(told), told, np.inf).min(axis=0)
        return list(np.where(np.isfinite(values), values, np.where(np.isfinite(worst), worst, 0.0)).tolist())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log and its notes that an option is experimental: the user chose the one and reads another."""
    logging = require("optuna.logging", "optuna", "the strategy 'optuna'")
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)


STRATEGIES.add("optuna", Optuna)
