"""One training of a certification, as a worker process does it: ship a network, attack one, or start from scratch."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import DivergedError, InputError, UnknownNameError
from ogive._registry import load_plugin, parse_spec
from ogive.methods._certification_plan import SCRATCH, SHIP, Protocol, Training
from ogive.spaces.base import Shape, get_space, image_shape
from ogive.study.workers import Answer
from ogive.tasks.base import get_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ogive.spaces.base import Space, TaskShape
    from ogive.tasks.base import Task
    from ogive.training.transfer import Holding, Outcome

PUBLIC = ("resnet8",)
"""Public architectures of our own; an architecture of the space may serve as well."""


def network_name(text: str, space: Space) -> str:
    """Return a network's own name: an arch string as the space writes it, a public architecture with all options.

    Raises
    ------
    InputError
        If it is neither.
    """
    name, options = text.partition(":")[0], {}
    if name not in PUBLIC:
        return str(space.format(space.parse(text)))
    options = parse_spec(text)[1]
    if unknown := [o for o in options if o != "width"]:
        raise UnknownNameError.of(f"option of '{name}'", unknown[0], ["width"])
    width = options.get("width", 16)
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InputError(f"'{text}': width is a whole number >= 1")
    return f"{name}:width={width}"


def build(network: str, space: Space, shape: TaskShape) -> nn.Module:
    """Return a network with fresh weights."""
    if network.partition(":")[0] not in PUBLIC:
        return space.build(space.parse(network), shape)
    from ogive.nn.residual import ResidualNetwork

    return ResidualNetwork(int(parse_spec(network)[1]["width"]), shape.input_shape, shape.n_outputs)


class Bench:
    """Does the trainings of one certification.

    Parameters
    ----------
    space, source : str
    protocol : Protocol
    folder : path
        Where the shipped networks' weights are kept.
    device : str
    """

    def __init__(self, space: str, source: str, protocol: Protocol, folder: str | Path, device: str = "cpu") -> None:
        self.space, self.source, self.protocol, self.device = get_space(space), source, protocol, device
        self.folder = Path(folder)
        self.holding = lru_cache(maxsize=16)(self._holding)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an example the shipped networks are made for."""
        task = get_task(self.source)
        return task.input_shape[0], *self._sides(task)

    def _sides(self, task: Task) -> tuple[int, int]:
        _, h, w = image_shape(self.space.name, task)
        side = self.protocol.side or max(h, w)
        return min(h, side), min(w, side)

    def _holding(self, task: str, share: float, seed: int) -> Holding:
        from ogive.training.transfer import Holding

        found, shape, most = get_task(task), self.shape, self.protocol.owned
        if task != self.source:
            most = self.protocol.held
            if self.protocol.size == "target":
                shape = (shape[0], *self._sides(found))
        return Holding(found, share, shape=shape, at_most=most, seed=seed)

    def run(self, training: Training) -> dict[str, Any]:
        """Return what a training reached as JSON values; one that diverged has a reason and no result."""
        from ogive.training.seeding import seeded

        with seeded(training.seed):
            try:
                found = self._train(training)
            except DivergedError as error:
                return {"reason": str(error)}
        right = base64.b64encode(np.packbits(found.right).tobytes()).decode()
        return {
            "validation": found.validation,
            "test": found.test,
            "seconds": found.seconds,
            "n_test": len(found.right),
            "right": right,
        }

    def _train(self, training: Training) -> Outcome:
        from ogive.training.export import load_weights, save_weights
        from ogive.training.transfer import at_least, attack, train_and_judge

        network, seed, kind = training.network, training.seed, training.kind
        task = self.holding(training.task, training.share, seed)
        if kind == SHIP:
            model = build(network, self.space, task)
            outcome = train_and_judge(model, task, self.protocol.ship, seed=seed, device=self.device)
            save_weights(model, self.weights(training))
            return outcome
        recipe = at_least(self.protocol.recipe(training.rate), self.protocol.steps, len(task.split("train")))
        if kind == SCRATCH:
            return train_and_judge(build(network, self.space, task), task, recipe, seed=seed, device=self.device)
        shipped = build(network, self.space, Shape(self.shape, get_task(self.source).n_outputs))
        load_weights(shipped, self.weights(training))
        return attack(shipped, task, kind, recipe, seed=seed, device=self.device)  # type: ignore[arg-type]

    def weights(self, training: Training) -> Path:
        """Where the weights of the network that a training ships or attacks are."""
        digest = hashlib.sha256(training.network.encode()).hexdigest()[:16]
        return self.folder / "weights" / f"{digest}-{training.seed}.safetensors"


def unpack(found: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which test examples a training got right, ``(n_test,)``."""
    bits = np.frombuffer(base64.b64decode(found["right"]), dtype=np.uint8)
    return np.unpackbits(bits, count=found["n_test"]).astype(np.bool_)


class Here:
    """Does trainings in this process, one a `wait`, where `ogive.study.workers.Pool` would do them in others."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self._bench = _bench(setup)
        self._line: deque[tuple[int, Training]] = deque()

    def submit(self, key: int, name: str, *args: Any) -> None:
        """Put a training in line."""
        del name
        self._line.append((key, Training(*args)))

    def wait(self) -> list[Answer]:
        """Do the first training in line."""
        key, training = self._line.popleft()
        return [Answer(key, self._bench.run(training))]

    def close(self) -> None:
        """Forget what is in line."""
        self._line.clear()


def caller(setup: Mapping[str, Any], *, threads: int) -> Callable[[str, list[Any]], Any]:
    """Return the function that does a training in a worker."""
    import torch

    torch.set_num_threads(threads)
    for source in setup["plugins"]:
        load_plugin(source)
    bench = _bench(setup)

    def call(name: str, args: list[Any]) -> dict[str, Any]:
        del name
        return bench.run(Training(*args))

    return call


def _bench(setup: Mapping[str, Any]) -> Bench:
    protocol = Protocol.from_dict(setup["protocol"])
    return Bench(setup["space"], setup["source"], protocol, setup["folder"], setup["device"])
