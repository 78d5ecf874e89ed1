"""Which paths of a supernet are trained in a step: uniform, strictly fair, or after a distribution from outside.

The paths of a step depend on the space, the seed and the number of the step alone, so a run that is resumed draws what
the undisturbed one would have drawn.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive._registry import Registry, parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from ogive.spaces.base import Genotypes, Space
    from ogive.training.supernet_trainer import SupernetTrainer

_TRIES = 256
_FLOOR = 1e-6


class Sampler(ABC):
    """Base of all samplers.

    Parameters
    ----------
    space : Space
        What the supernet holds. Assigning another restriction of it to `space` steers a running training.
    seed : int
        Fixes every random decision.

    Attributes
    ----------
    name : str
        Registered name.
    """

    name: ClassVar[str]

    def __init__(self, space: Space, *, seed: int = 0) -> None:
        self.space = space
        self.seed = seed

    @abstractmethod
    def paths(self, step: int) -> Genotypes:
        """Return the architectures that one step trains, ``(k, n_choices)``, inside the space's restriction.

        Their gradients are averaged before the weights move once.
        """

    def train_step(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> Tensor:
        """Add the gradients of one step to the weights' ``grad``; the trainer clears them before and steps after.

        The default runs the paths one after the other: the memory of one path, whatever their number.

        Parameters
        ----------
        trainer : SupernetTrainer
            Its `steps_done` is the number of this step.
        x : Tensor, (n, *input_shape)
        y : Tensor of int64, (n,)

        Returns
        -------
        Tensor, ()
            Mean training loss of the paths, without a graph.
        """
        paths = self.paths(trainer.steps_done)
        losses = []
        for path in paths:
            loss = trainer.loss(trainer.supernet.forward(x, path), y) / len(paths)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        trainer.supernet.count(paths)
        return sum(losses[1:], losses[0])

    def state(self) -> dict[str, Any]:
        """Return what the sampler has learnt or was told, as JSON values; nothing by default."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027 - there is nothing to take back by default
        """Go back to a state that `state` returned, also after it went through JSON."""

    def rng(self, step: int) -> np.random.Generator:
        """Return the generator of one step."""
        return np.random.Generator(np.random.PCG64([self.seed, step]))


class Uniform(Sampler):
    """Single-path one-shot training: each option of a choice is equally likely (Guo et al., ECCV 2020, section 3).

    Parameters
    ----------
    space : Space
        Its weights, where it has some, are those of the draw.
    seed : int
    paths : int
        Architectures a step.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    name = "uniform"

    def __init__(self, space: Space, *, seed: int = 0, paths: int = 1) -> None:
        super().__init__(space, seed=seed)
        if not isinstance(paths, int) or isinstance(paths, bool) or paths < 1:
            raise InputError(f"sampler 'uniform' needs a whole number paths >= 1, not {paths}")
        self.n_paths = paths

    def paths(self, step: int) -> Genotypes:
        """Return architectures drawn independently."""
        return self.space.sample(self.n_paths, self.rng(step))


class Fair(Sampler):
    """Strict fairness: an option gets as many updates as its siblings (Chu, Zhang and Xu, ICCV 2021, algorithm 1).

    A step has as many paths as the widest choice has allowed options, and uses each of those once, in an order of its
    own for each choice. A choice with fewer options goes round them, and goes on in the next step where it stopped, so
    after any number of paths the counts of its options differ by at most one.

    Where a rule of the space makes a path invalid, 256 other orders are tried and the one with the most valid paths is
    taken. Paths that are invalid even so are replaced by independent draws, and the counts are no longer exactly equal.
    """

    name = "fair"

    def paths(self, step: int) -> Genotypes:
        """Return the paths of one step."""
        allowed = self.space.restriction.allowed
        options = np.argsort(~allowed, axis=1, kind="stable").astype(self.space.dtype)
        count, rng = allowed.sum(axis=1), self.rng(step)
        k = int(count.max())
        turn = (step * k + np.arange(k)[:, None]) % count
        used = options[np.arange(len(count)), turn]
        paths: Genotypes = rng.permuted(used, axis=0)
        if self.space.valid(paths).all():
            return paths
        tries = rng.permuted(np.broadcast_to(used, (_TRIES, *used.shape)), axis=1)
        valid = self.space.valid(tries.reshape(-1, used.shape[1])).reshape(_TRIES, k)
        best = int(valid.sum(axis=1).argmax())
        paths, invalid = tries[best], ~valid[best]
        if invalid.any():
            paths[invalid] = self.space.sample(int(invalid.sum()), rng)
        return paths


class Guided(Sampler):
    """A distribution given from outside, mixed with strict fairness so that favourites are not all that is trained.

    Parameters
    ----------
    space : Space
    seed : int
    fair : float
        Share of fair steps, in [0.5, 1]; they are spread evenly. The other steps have as many paths.

    Attributes
    ----------
    weights : ndarray of float64, (n_choices, max options), or None
        Relative weight of every option; None is the space's own. What the restriction does not allow is never drawn,
        whatever its weight.

    Raises
    ------
    InputError
        If the share is out of range.
    """

    name = "guided"

    def __init__(self, space: Space, *, seed: int = 0, fair: float = 0.5) -> None:
        super().__init__(space, seed=seed)
        if isinstance(fair, bool) or not isinstance(fair, (int, float)) or not 0.5 <= fair <= 1:
            raise InputError(f"sampler 'guided' needs a number fair in [0.5, 1], not {fair}")
        self.share = fair
        self.weights: NDArray[np.float64] | None = None

    def paths(self, step: int) -> Genotypes:
        """Return the paths of a fair step, or as many drawn from the distribution."""
        before = math.floor(step * self.share)
        fair = Fair(self.space, seed=self.seed).paths(before)
        if math.floor((step + 1) * self.share) > before:
            return fair
        return self._weighted().sample(len(fair), self.rng(step))

    def _weighted(self) -> Space:
        if self.weights is None:
            return self.space
        # A lock leaves the other options no weight, and may be lifted before new weights come.
        weights = np.maximum(self.weights, _FLOOR)
        table = zip(self.space.choices, weights.tolist(), strict=True)
        return self.space.restrict(weights={c.name: dict(zip(c.options, row, strict=False)) for c, row in table})

    def state(self) -> dict[str, Any]:
        """Return the weights."""
        return {"weights": None if self.weights is None else self.weights.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the weights back."""
        self.weights = None if state["weights"] is None else np.array(state["weights"], dtype=np.float64)


SAMPLERS: Registry[Callable[..., Sampler]] = Registry(
    "sampler",
    dict.fromkeys(("uniform", "fair", "guided"), "ogive.training.samplers")
    | dict.fromkeys(("sandwich", "progressive"), "ogive.training.elastic_samplers")
    | dict.fromkeys(("darts", "pc-darts", "gdas", "gumbel"), "ogive.training.gradient_samplers")
    | {"enas": "ogive.training.enas"},
)


def get_sampler(spec: str, space: Space, *, seed: int = 0) -> Sampler:
    """Return the sampler written as ``name`` or ``name:option=value,...``.

    Raises
    ------
    UnknownNameError
        If no sampler has this name, or the sampler no such option.
    InputError
        If an option has a wrong value.
    """
    name, options = parse_spec(spec)
    factory = SAMPLERS.get(name)
    known = [p for p in signature(factory).parameters if p not in ("space", "seed")]
    for option in options:
        if option not in known:
            raise UnknownNameError.of(f"option of sampler '{name}'", option, known)
    return factory(space, seed=seed, **options)


for _sampler in (Uniform, Fair, Guided):
    SAMPLERS.add(_sampler.name, _sampler)
