"""Everything that decides how a supernet is trained and read, besides the space, the task and the seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from ogive._errors import InputError, UnknownNameError
from ogive._registry import parse_spec
from ogive.training.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ogive.training.config import Augment, Optimizer, Schedule

Statistics = Literal["recalibrated", "running", "batch"]


@dataclass(frozen=True)
class SupernetConfig:
    """A recipe for a supernet.

    Attributes
    ----------
    sampler : str
        Name and options of the sampler, as ``guided:fair=0.6``.
    epochs : int
        Passes over the training split. A step of the fair sampler runs as many paths as the widest choice has options,
        so an epoch of it costs so many times an epoch of single paths.
    batch_size, optimizer, lr, momentum, weight_decay, schedule, warmup, label_smoothing, augment, clip_norm
        As in `TrainConfig`. A weight that no path of a step uses does not move in it, by momentum or decay either.
    diverge_factor, diverge_steps : float, int
        As in `TrainConfig`.
    statistics : {"recalibrated", "running", "batch"}
        What batch normalisation uses when an architecture is scored: statistics estimated for it alone, those that all
        architectures left behind in training, or those of each scored batch.
    recalibrate : int
        Training batches that the statistics of an architecture are estimated from.
    anchors : float
        Share of the validation split that no search sees, in [0, 1): it judges the supernet's ranking.
    """

    sampler: str = "uniform"
    epochs: int = 40
    batch_size: int = 64
    optimizer: Optimizer = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    label_smoothing: float = 0.0
    augment: Augment = "task"
    clip_norm: float = 5.0
    diverge_factor: float = 4.0
    diverge_steps: int = 20
    statistics: Statistics = "recalibrated"
    recalibrate: int = 10
    anchors: float = 0.5

    def __post_init__(self) -> None:
        _ = self.recipe  # checks what both recipes have
        if self.statistics not in get_args(Statistics):
            raise UnknownNameError.of("supernet option statistics", str(self.statistics), get_args(Statistics))
        if isinstance(self.recalibrate, bool) or not isinstance(self.recalibrate, int) or self.recalibrate < 1:
            raise InputError(f"supernet option recalibrate={self.recalibrate!r} must be a whole number >= 1")
        if isinstance(self.anchors, bool) or not isinstance(self.anchors, (int, float)) or not 0 <= self.anchors < 1:
            raise InputError(f"supernet option anchors={self.anchors!r} must be a number in [0, 1)")

    @property
    def recipe(self) -> TrainConfig:
        """The part of the recipe that the training of a single network has too."""
        common = {f.name for f in fields(TrainConfig)} & {f.name for f in fields(self)}
        return TrainConfig(**{name: getattr(self, name) for name in common})

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SupernetConfig:
        """Return the recipe of a mapping; options that are absent take their defaults.

        Raises
        ------
        UnknownNameError
            If an option does not exist, naming the nearest.
        InputError
            If a value is out of range.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise UnknownNameError.of("supernet option", str(name), known)
        return cls(**values)

    @classmethod
    def parse(cls, text: str) -> SupernetConfig:
        """Return the recipe written ``sampler=fair,epochs=20``; an empty text is the default recipe.

        A sampler can have one option here, as ``sampler=guided:fair=0.6``.

        Raises
        ------
        InputError
            If it has another form, an unknown option, or a value out of range.
        """
        return cls.from_dict(parse_spec(f"supernet:{text}")[1])
