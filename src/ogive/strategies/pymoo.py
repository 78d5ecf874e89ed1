"""Any evolutionary algorithm of pymoo, through its ask-and-tell interface: ``pymoo:NSGA2,pop_size=50``.

Blank and Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access 8, 2020.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive._imports import require
from ogive.strategies._replay import Replay
from ogive.strategies.base import STRATEGIES, Floats

if TYPE_CHECKING:
    from ogive.spaces.base import Genotypes, Space

_FAILED = 1e6
_LEFT_OUT = {"optuna", "age", "age2"}
"""A bridge to Optuna, which has a strategy of its own, and modules that cannot be imported without numba."""
_OURS = {"self", "args", "kwargs", "sampling", "crossover", "mutation", "ref_dirs", "seed", "termination"}
_PARTITIONS = {1: 1, 2: 30, 3: 8}


class Pymoo(Replay):
    """An algorithm of pymoo whose sampling, crossover and mutation are those of the space.

    Proposals come generation by generation. A call that needs more than the generation has left, while answers are
    missing, gets mutants of its members; an answer that nobody asked for takes the place of a proposal not made yet.
    A failed evaluation is told as the worst values so far and a broken constraint. An algorithm that has no new
    offspring left starts anew.

    Parameters
    ----------
    space, n_objectives, seed
        See `Strategy`.
    algorithm : str
        Name of a class in ``pymoo.algorithms``; ``pymoo:NSGA2`` says it without ``algorithm=``. Algorithms without
        operators of their own choice (differential evolution, swarms) search a box of reals, rounded.
    **options
        Arguments of that class. Reference directions, where it needs them, are those of Das and Dennis.

    Raises
    ------
    MissingDependencyError
        If pymoo is not installed.
    UnknownNameError
        If it has no such algorithm.
        Or the algorithm has no such option.
    InputError
        If an option has a value that the algorithm refuses.
    """

    name = "pymoo"
    batch = 10
    multi_objective = True

    def __init__(
        self, space: Space, *, n_objectives: int = 1, seed: int = 0, algorithm: str = "NSGA2", **options: Any
    ) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        require("pymoo", "pymoo", "the strategy 'pymoo'")
        known = _algorithms()
        if algorithm not in known:
            raise UnknownNameError.of("algorithm of pymoo", str(algorithm), known)
        self._class, self._options = known[algorithm], options
        # pymoo itself passes over what it does not know.
        accepted = {p for c in self._class.__mro__[:-1] for p in inspect.signature(c.__init__).parameters} - _OURS
        for option in options:
            if option not in accepted:
                raise UnknownNameError.of(f"option of strategy 'pymoo:{algorithm}'", option, accepted)
        self._open()

    # ---------------------------------------------------------------- the algorithm

    def _open(self) -> None:
        self._worst = np.full(self.n_objectives, np.inf)
        self._starts = 0
        self._begin()
        self._next_generation()

    def _begin(self) -> None:
        from pymoo.core.problem import Problem

        parameters = inspect.signature(self._class.__init__).parameters
        options: dict[str, Any] = {k: v for k, v in _operators(self).items() if k in parameters}
        if "ref_dirs" in parameters:
            from pymoo.util.ref_dirs import get_reference_directions

            m = self.n_objectives
            options["ref_dirs"] = get_reference_directions("das-dennis", m, n_partitions=_PARTITIONS.get(m, 4))
        problem = Problem(
            n_var=self.space.n_choices,
            n_obj=self.n_objectives,
            n_ieq_constr=1,
            xl=np.zeros(self.space.n_choices),
            xu=self.space.cardinalities - 1.0,
        )
        seed, self._starts = self.seed + self._starts, self._starts + 1
        try:
            self._algorithm = self._class(**options | self._options)
            self._algorithm.setup(problem, seed=seed, termination=("n_gen", 10**9), verbose=False)
        except (TypeError, AssertionError) as error:
            raise InputError(f"strategy 'pymoo:{self._class.__name__}': {error}") from error

    def _next_generation(self) -> None:
        self._generation = self._algorithm.ask()
        if self._generation is None or not len(self._generation):
            # No offspring that is new: the space is exhausted or the population has converged.
            self._begin()
            self._generation = self._algorithm.ask()
        self._left = list(range(len(self._generation)))
        self._waiting: dict[bytes, list[int]] = defaultdict(list)
        self._answered = 0

    def _follow(self) -> None:
        """Nothing to do: the operators read the space, and what is in flight is mended when it is handed out."""

    def _mended(self, rows: Floats) -> Genotypes:
        """Return rows of reals as architectures inside the restriction."""
        top = self.space.cardinalities - 1
        g = np.clip(np.rint(rows.astype(np.float64)), 0, top).astype(self.space.dtype)
        # Crossed with itself, a row keeps what the restriction allows and gets the rest anew.
        g = self.space.crossover(g, g, self.rng)
        bad = ~self.space.valid(g)
        g[bad] = self.space.sample(int(bad.sum()), self.rng)
        return g

    # ---------------------------------------------------------------- proposals

    def _ask(self, n: int) -> Genotypes:
        take, self._left = self._left[:n], self._left[n:]
        members = np.stack([ind.X for ind in self._generation])
        own = self._mended(members[take]) if take else self.space.sample(0, self.rng)
        for at, row in zip(take, own, strict=True):
            self._generation[at].X = row.astype(members.dtype)
            self._waiting[row.tobytes()].append(at)
        extra = n - len(take)
        if not extra:
            return own
        parents = self._mended(members[self.rng.integers(0, len(members), extra)])
        return np.concatenate([own, self.space.mutate(parents, self.rng)])

    # ---------------------------------------------------------------- answers

    def _tell(self, genotypes: Genotypes, values: Floats, violation: Floats) -> None:
        for row, value, broken in zip(genotypes, values, violation.tolist(), strict=True):
            waiting = self._waiting.get(row.tobytes())
            if waiting:
                at = waiting.pop(0)
            elif self._left:
                at = self._left.pop(0)
                self._generation[at].X = row.astype(self._generation[at].X.dtype)
            else:
                continue
            self._answer(at, value, broken)

    def _answer(self, at: int, value: Floats, violation: float) -> None:
        finite = np.isfinite(value)
        self._worst = np.where(finite, np.minimum(self._worst, value), self._worst)
        known = np.where(np.isfinite(self._worst), self._worst, 0.0)
        one = self._generation[at]
        one.F = -np.where(finite, value, known)
        one.G = np.array([min(violation, _FAILED) + _FAILED * (not finite.all())])
        one.evaluated.update(["F", "G"])
        self._answered += 1
        if self._answered == len(self._generation):
            self._algorithm.tell(infills=self._generation)
            self._next_generation()


@cache
def _algorithms() -> dict[str, Any]:
    """Return every algorithm class of pymoo by its name."""
    import importlib

    from pymoo.core.algorithm import Algorithm

    found: dict[str, Any] = {}
    for package in ("pymoo.algorithms.moo", "pymoo.algorithms.soo.nonconvex"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if module.name in _LEFT_OUT:
                continue
            content = vars(importlib.import_module(f"{package}.{module.name}"))
            classes = (c for c in content.values() if inspect.isclass(c) and c.__module__ == f"{package}.{module.name}")
            found.update({c.__name__: c for c in classes if issubclass(c, Algorithm)})
    return found


def _operators(strategy: Pymoo) -> dict[str, Any]:
    """Return pymoo operators that move as the strategy's present space does."""
    from pymoo.core.crossover import Crossover
    from pymoo.core.mutation import Mutation
    from pymoo.core.sampling import Sampling

    class Sample(Sampling):  # type: ignore[misc]
        def _do(self, problem: Any, n_samples: int, *_: Any, **__: Any) -> Any:  # noqa: ARG002
            return strategy.space.sample(n_samples, strategy.rng).astype(float)

    class Cross(Crossover):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(2, 2)

        def _do(self, problem: Any, X: Any, *_: Any, **__: Any) -> Any:  # noqa: ARG002
            a, b = X.astype(strategy.space.dtype)
            return np.stack([strategy.space.crossover(a, b, strategy.rng) for _ in range(2)]).astype(float)

    class Mutate(Mutation):  # type: ignore[misc]
        def _do(self, problem: Any, X: Any, *_: Any, **__: Any) -> Any:  # noqa: ARG002
            return strategy.space.mutate(X.astype(strategy.space.dtype), strategy.rng).astype(float)

    return {"sampling": Sample(), "crossover": Cross(), "mutation": Mutate()}


STRATEGIES.add("pymoo", Pymoo)
