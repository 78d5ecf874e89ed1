"""Everything that decides how a network is trained, besides the network, the task and the seed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from ogive._errors import InputError, UnknownNameError
from ogive._registry import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["one-cycle", "cosine", "constant"]
Precision = Literal["float32", "bfloat16", "float16"]
Augment = Literal["task", "none", "crop-flip"]

_NAMES: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "precision": get_args(Precision),
    "augment": get_args(Augment),
}


@dataclass(frozen=True)
class TrainConfig:
    """A training recipe.

    The defaults are made for searching on the digits: a random NAS-Bench-201 cell with 8 channels and one cell a stage
    reaches about 99 % in about one CPU-second (docs/training.md has the measurement). For CIFAR-10 and larger, raise
    `epochs` and `batch_size`.

    Attributes
    ----------
    epochs : int
    batch_size : int
        Examples a step, at least 2. A last batch of one example joins the one before it, because batch normalisation
        cannot be estimated from a single example.
    optimizer : {"sgd", "adamw"}
        SGD with Nesterov momentum (`momentum`), or AdamW with its usual betas.
    lr : float
        Highest learning rate of the schedule.
    momentum : float
    weight_decay : float
        Applied to every parameter.
    schedule : {"one-cycle", "cosine", "constant"}
        What follows the warm-up: a straight line to zero, half a cosine to zero, or the highest rate to the end.
    warmup : float
        Share of all steps in which the rate rises in a straight line to `lr`, in [0, 1).
    label_smoothing : float
        In [0, 1); training only, the reported losses are plain cross-entropy.
    auxiliary_weight : float
        Weight of the loss of the auxiliary head, for networks that have one (DARTS; 0.4 as published). Such a network
        is trained without `compile`.
    augment : {"task", "none", "crop-flip"}
        "task" takes what the task names.
    clip_norm : float
        Bound on the gradient's global L2 norm; 0 leaves gradients alone.
    precision : {"float32", "bfloat16", "float16"}
        Type of the forward pass under autocast; float16 scales its loss and needs a GPU.
    channels_last : bool
        Memory format of images; pays on GPUs with half precision.
    compile : bool
        `torch.compile` the network; pays for long runs of one network on a GPU.
    validate_every : int
        Epochs between validations; the last epoch is always validated.
    diverge_factor, diverge_steps : float, int
        A run whose loss stays above `diverge_factor` times its first one for `diverge_steps` steps is stopped, as is
        one with a loss that is not finite.
    """

    epochs: int = 12
    batch_size: int = 64
    optimizer: Optimizer = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "one-cycle"
    warmup: float = 0.25
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4
    augment: Augment = "task"
    clip_norm: float = 0.0
    precision: Precision = "float32"
    channels_last: bool = False
    compile: bool = False
    validate_every: int = 1
    diverge_factor: float = 4.0
    diverge_steps: int = 20

    def __post_init__(self) -> None:
        for name, known in _NAMES.items():
            if getattr(self, name) not in known:
                raise UnknownNameError.of(f"training option {name}", str(getattr(self, name)), known)
        for name, low in (("epochs", 1), ("batch_size", 2), ("validate_every", 1), ("diverge_steps", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise InputError(f"training option {name}={value!r} must be a whole number >= {low}")
        for name in ("lr", "diverge_factor"):
            _check(name, getattr(self, name), lambda v: v > 0, "a number > 0")
        for name in ("weight_decay", "clip_norm", "auxiliary_weight"):
            _check(name, getattr(self, name), lambda v: v >= 0, "a number >= 0")
        for name in ("momentum", "warmup", "label_smoothing"):
            _check(name, getattr(self, name), lambda v: 0 <= v < 1, "a number in [0, 1)")
        for name in ("channels_last", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"training option {name}={getattr(self, name)!r} must be true or false")

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
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
                raise UnknownNameError.of("training option", str(name), known)
        return cls(**values)

    @classmethod
    def parse(cls, text: str) -> TrainConfig:
        """Return the recipe written ``epochs=20,lr=0.1``; an empty text is the default recipe.

        Raises
        ------
        InputError
            If it has another form, an unknown option, or a value out of range.
        """
        return cls.from_dict(parse_spec(f"train:{text}")[1])


def _check(name: str, value: Any, holds: Any, wanted: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and holds(value)):
        raise InputError(f"training option {name}={value!r} must be {wanted}")
