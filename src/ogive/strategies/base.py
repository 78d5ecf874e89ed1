"""Where to look next: ask for genotypes, tell what they were worth. No files, no networks, no clocks.

A strategy is explicit state: `ask` and `tell` are deterministic functions of the state and their arguments, so a
restored strategy goes on exactly as the original would have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, UnknownNameError
from ogive._registry import Registry, parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ogive.spaces.base import Genotypes, Space

Floats = NDArray[np.float64]

FAILED = 1e300
"""`worth` of what failed is the negative of this, and of what breaks a constraint still less."""


class Strategy(ABC):
    """Base of all strategies.

    Parameters
    ----------
    space : Space
        Where to search. Assigning another restriction of the same space to `space` steers a running search.
    n_objectives : int
        Number of objective columns; every one is maximised.
    seed : int
        Fixes every random decision.
    lanes : int
        Number of independent searches that advance in lock-step, for studies over many seeds. ``ask(n)`` then returns
        ``n * lanes`` rows and `tell` takes a multiple of `lanes`; row ``j * lanes + i`` belongs to search i.

    Attributes
    ----------
    multi_objective : bool
        Whether it can handle more than one objective.
    lockstep : bool
        Whether it can have more than one lane.
    batch : int
        Proposals that a study draws together, unless told otherwise, where measuring costs next to nothing: few where
        each answer changes what is worth asking next.

    Raises
    ------
    InputError
        If the strategy cannot handle so many objectives or lanes.
    """

    name: ClassVar[str]
    multi_objective: ClassVar[bool] = False
    lockstep: ClassVar[bool] = False
    batch: ClassVar[int] = 1

    def __init__(self, space: Space, *, n_objectives: int = 1, seed: int = 0, lanes: int = 1) -> None:
        if n_objectives > 1 and not self.multi_objective:
            raise InputError(
                f"strategy '{self.name}' has one objective, not {n_objectives}; use nsga2, or turn the others into "
                "constraints with --where"
            )
        if lanes > 1 and not self.lockstep:
            raise InputError(f"strategy '{self.name}' runs one search at a time, not {lanes} in lock-step")
        self.space = space
        self.n_objectives = n_objectives
        self.seed = seed
        self.lanes = lanes
        self.rng = np.random.Generator(np.random.PCG64(seed))

    @abstractmethod
    def ask(self, n: int) -> Genotypes:
        """Return `n` genotypes to evaluate, ``(n, n_choices)``, valid and inside the space's restriction.

        Repeats are allowed. It may be called again before the answers to earlier calls have been told.
        """

    @abstractmethod
    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Take in what some genotypes were worth; they need not have been asked for.

        Parameters
        ----------
        genotypes : ndarray of int, (n, n_choices)
        values : ndarray of float64, (n, n_objectives)
            Higher is better in every column; -inf for an evaluation that failed or was refused. Never NaN.
        violation : ndarray of float64, (n,), optional
            Total relative excess over the constraints, 0 where they are met (the default). A feasible architecture is
            better than any infeasible one, and of two infeasible ones the one with the smaller violation.
        """

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """Return what the strategy knows besides the generator, as JSON values and numpy arrays."""

    @abstractmethod
    def _restore(self, state: dict[str, Any]) -> None:
        """Take back what `_state` gave."""

    def state(self) -> dict[str, Any]:
        """Return everything the strategy knows, as JSON values (numbers, strings, lists, dictionaries)."""
        return {"rng": self.rng.bit_generator.state, **_pack(self._state())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state` returned, also after it went through JSON."""
        self.rng.bit_generator.state = state["rng"]
        self._restore(_unpack({k: v for k, v in state.items() if k != "rng"}))


def _pack(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        # Python's JSON keeps infinities and the exact float64 value through repr.
        return {"array": value.tolist(), "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: _pack(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(v) for v in value]
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array", "dtype", "shape"}:
            return np.array(value["array"], dtype=np.dtype(value["dtype"])).reshape(value["shape"])
        return {k: _unpack(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    return value


def worth(values: Floats, violation: Floats | None = None) -> Floats:
    """Return one number a row that orders single-objective rows as constraint domination does.

    A feasible row is worth its value, a failed one less than any that succeeded, an infeasible one less than any
    feasible one and the less the larger its violation.

    Parameters
    ----------
    values : ndarray of float64, (n, 1)
    violation : ndarray of float64, (n,), optional

    Returns
    -------
    ndarray of float64, (n,)
        Finite.

    Raises
    ------
    InputError
        If there is not one column, or a value or violation is NaN.
    """
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 2 or v.shape[1] != 1:
        raise InputError(f"values have shape (n, 1), not {v.shape}")
    v = v[:, 0]
    if np.isnan(v).any():
        raise InputError("a value is NaN; tell a failed evaluation as -inf")
    v = np.maximum(v, -FAILED)
    if violation is None:
        return v
    broken = np.asarray(violation, dtype=np.float64)
    if np.isnan(broken).any():
        raise InputError("a violation is NaN; it is 0 where every constraint is met")
    excess = np.minimum(broken, FAILED)
    return np.where(excess > 0, -FAILED * (2.0 + excess / (1.0 + excess)), v)


def count_option(strategy: str, name: str, value: object, least: int) -> int:
    """Return an option that counts something, or say that it must be a whole number of at least `least`.

    Raises
    ------
    InputError
        If it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"strategy '{strategy}' needs a whole number {name} >= {least}, not {value}")
    return value


def target_option(strategy: str, value: object) -> str:
    """Return what a model learns from, "rank" or "raw", or say that it must be one of them.

    Raises
    ------
    InputError
        If it is neither.
    """
    if value not in ("rank", "raw"):
        raise InputError(f"strategy '{strategy}' needs target=rank or target=raw, not {value}")
    return str(value)


STRATEGIES: Registry[Callable[..., Strategy]] = Registry(
    "strategy",
    {
        "arch2vec-bo": "ogive.strategies.arch2vec",
        "arch2vec-rl": "ogive.strategies.arch2vec_rl",
        "bananas": "ogive.strategies.bananas",
        "bo": "ogive.strategies.bayesian",
        "botorch": "ogive.strategies.botorch",
        "darts": "ogive.strategies.gradient",
        "enas": "ogive.strategies.gradient",
        "evolution": "ogive.strategies.evolution",
        "gdas": "ogive.strategies.gradient",
        "gumbel": "ogive.strategies.gradient",
        "guided": "ogive.strategies.guided",
        "local": "ogive.strategies.local",
        "lock": "ogive.strategies.lock",
        "nsga2": "ogive.strategies.nsga2",
        "optuna": "ogive.strategies.optuna",
        "pc-darts": "ogive.strategies.gradient",
        "pymoo": "ogive.strategies.pymoo",
        "random": "ogive.strategies.random",
        "reinforce": "ogive.strategies.reinforce",
    },
)


def batch_of(spec: str) -> int:
    """Return how many proposals of a strategy, written as for `get_strategy`, are drawn together by default."""
    return int(getattr(STRATEGIES.get(spec.partition(":")[0].strip()), "batch", Strategy.batch))


def get_strategy(spec: str, space: Space, *, n_objectives: int = 1, seed: int = 0, lanes: int = 1) -> Strategy:
    """Return the strategy written as ``name`` or ``name:option=value,...``, or as ``optuna:TPESampler,...``.

    Raises
    ------
    UnknownNameError
        If no strategy has this name, or the strategy no such option.
    InputError
        If an option has a wrong value, or the strategy cannot handle so many objectives or lanes.
    """
    factory = STRATEGIES.get(spec.partition(":")[0].strip())
    parameters = signature(factory).parameters.values()
    name, options = parse_spec(spec, "algorithm" if "algorithm" in signature(factory).parameters else None)
    known = [p.name for p in parameters if p.name not in ("space", "n_objectives", "seed", "lanes")]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for option in options:
            if option not in known:
                raise UnknownNameError.of(f"option of strategy '{name}'", option, known)
    # A strategy that runs one search at a time may leave `lanes` out of its constructor.
    if lanes > 1 or getattr(factory, "lockstep", False):
        factory = partial(factory, lanes=lanes)
    try:
        return factory(space, n_objectives=n_objectives, seed=seed, **options)
    except TypeError as error:
        raise InputError(f"strategy '{spec}': {error}") from error
