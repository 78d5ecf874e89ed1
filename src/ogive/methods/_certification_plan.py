"""What a certification trains: how hard the attackers try, and the list of all trainings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ogive import __version__
from ogive._errors import InputError, UnknownNameError
from ogive.training.config import TrainConfig
from ogive.training.transfer import ATTACKS

if TYPE_CHECKING:
    from collections.abc import Mapping


SHIP, SCRATCH = "ship", "scratch"
"""Training on the source; training on a target from fresh weights. The other trainings are attacks."""


@dataclass(frozen=True)
class Protocol:
    """What is trained, how often and how long.

    Attributes
    ----------
    seeds : int
        Trainings of everything, at least 2: fewer give no interval.
    shares : tuple of float
        Parts of the target's training examples that attackers hold.
    rates : tuple of float
        Learning rates every attacker tries, and chooses among by validation accuracy.
    ship : TrainConfig
        The owner's recipe on the source.
    attack : TrainConfig
        The attackers' recipe, but for the learning rate.
    steps : int
        Least optimiser steps of an attack: few examples are passed through more often.
    owned, held : int, optional
        Largest number of training examples, and of validation examples, that the owner has of the source and an
        attacker of a target.
    side : int, optional
        Largest height and width of any image; larger ones shrink.
    size : {"source", "target"}
        Whether targets are resized to the size the network was shipped for, or keep their own.
    """

    seeds: int = 3
    shares: tuple[float, ...] = (0.1, 1.0)
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    ship: TrainConfig = field(default_factory=TrainConfig)
    attack: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=30))
    steps: int = 300
    owned: int | None = None
    held: int | None = None
    side: int | None = None
    size: Literal["source", "target"] = "target"

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise InputError(f"seeds={self.seeds}: an interval needs two trainings or more, for example --seeds 3")
        if not self.shares or not all(0 < s <= 1 for s in self.shares):
            raise InputError(f"shares of a target's data are numbers in (0, 1], not {self.shares}")
        if not self.rates or not all(r > 0 for r in self.rates):
            raise InputError(f"learning rates of attacks are numbers > 0, not {self.rates}")
        if self.size not in ("source", "target"):
            raise UnknownNameError.of("image size", str(self.size), ("source", "target"))

    def recipe(self, rate: float) -> TrainConfig:
        """Return the attackers' recipe with one of the learning rates."""
        return replace(self.attack, lr=rate)

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as JSON values."""
        return asdict(self) | {"shares": list(self.shares), "rates": list(self.rates)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Protocol:
        """Return the protocol of `to_dict`."""
        lists = {name: tuple(values[name]) for name in ("shares", "rates")}
        recipes = {name: TrainConfig.from_dict(values[name]) for name in ("ship", "attack")}
        return cls(**{**values, **lists, **recipes})


PRESETS: dict[str, Protocol] = {
    "full": Protocol(),
    "small": Protocol(
        rates=(0.03, 0.1, 0.3),
        attack=TrainConfig(epochs=8),
        steps=60,
        owned=2000,
        held=500,
        side=16,
        size="source",
    ),
}
"""``small`` is a rehearsal of minutes on a CPU; ``full`` is what a verdict should rest on."""


def preset(name: str) -> Protocol:
    """Return the protocol called `name`.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in PRESETS:
        raise UnknownNameError.of("preset", name, PRESETS)
    return PRESETS[name]


class Training(NamedTuple):
    """One training.

    Attributes
    ----------
    network : str
        An architecture of the space, or a public one.
    seed : int
    kind : str
        `SHIP`, `SCRATCH` or an attack.
    task : str
    share : float
        Of the task's training examples.
    rate : float
        Highest learning rate.
    """

    network: str
    seed: int
    kind: str
    task: str
    share: float
    rate: float


@dataclass(frozen=True)
class Plan:
    """Everything a certification depends on; `certify` says what the fields are."""

    space: str
    archs: tuple[str, ...]
    source: str
    targets: tuple[str, ...]
    unlocked: str
    public: tuple[str, ...]
    protocol: Protocol
    seed: int
    device: str

    def settings(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        named = {name: getattr(self, name) for name in ("space", "source", "unlocked", "seed", "device")}
        lists = {name: list(getattr(self, name)) for name in ("archs", "targets", "public")}
        return {"ogive": __version__, **named, **lists, "protocol": self.protocol.to_dict()}

    @property
    def shipped(self) -> tuple[str, ...]:
        """Networks that are trained on the source and attacked."""
        return tuple(dict.fromkeys([*self.archs, self.unlocked]))

    @property
    def seeds(self) -> range:
        """Seeds of all trainings."""
        return range(self.seed, self.seed + self.protocol.seeds)

    def ship(self, network: str, seed: int) -> Training:
        """Return the training of a network on the source."""
        return Training(network, seed, SHIP, self.source, 1.0, self.protocol.ship.lr)

    def trainings(self) -> list[Training]:
        """Return all trainings; what is shipped comes first, because attacks wait for it."""
        ships = [self.ship(network, seed) for seed in self.seeds for network in self.shipped]
        fresh = dict.fromkeys([*self.archs, *self.public])
        return ships + [
            Training(network, seed, kind, target, share, rate)
            for seed in self.seeds
            for target in self.targets
            for share in self.protocol.shares
            for networks, kinds in ((fresh, (SCRATCH,)), (self.shipped, ATTACKS))
            for network in networks
            for kind in kinds
            for rate in self.protocol.rates
        ]
