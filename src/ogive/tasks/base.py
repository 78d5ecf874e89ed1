"""What a network must do: data, head, loss, metric and its direction.

The shapes of a task are known without its files, so counting and building need no data.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ogive._errors import UnknownNameError
from ogive._registry import Registry, parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Split:
    """Examples and their targets.

    Attributes
    ----------
    x : ndarray, (n, *input_shape)
        uint8 (raw pixels, normalised on the fly by the task's mean and std) or float32.
    y : ndarray of int64, (n,)
    """

    x: NDArray[Any]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)


class Task(ABC):
    """A classification task with three disjoint splits; the search sees "train" and "val", never "test".

    Attributes
    ----------
    name : str
        Registered name.
    input_shape : tuple of int
        Shape of one example, ``(channels, height, width)``.
    n_outputs : int
        Classes.
    metric : str
        Name of the task's own score.
    direction : {"max", "min"}
        Whether a higher or a lower score is better.
    mean, std : tuple of float
        Per-channel statistics of the training split, in the units of `Split.x`.
    augment : str
        Augmentation the trainer applies: "none", or "crop-flip" (pad an eighth of the height, crop at random, mirror
        half of the examples left to right).
    reference : str
        Publication or source of the data.
    """

    name: ClassVar[str]
    input_shape: tuple[int, ...]
    n_outputs: int
    metric: str = "accuracy"
    direction: Literal["max", "min"] = "max"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    augment: str = "none"
    reference: str = ""

    @property
    def spec(self) -> str:
        """The text that `get_task` turns into this task again."""
        return self.name

    @abstractmethod
    def split(self, which: SplitName) -> Split:
        """Return one of the splits; the same arrays at every call.

        Raises
        ------
        DataMissingError
            If the files are not on this machine; says where they are looked for.
        """


TASKS: Registry[Callable[..., Task]] = Registry(
    "task",
    {
        "digits": "ogive.tasks.digits",
        "cifar10": "ogive.tasks.cifar",
        "cifar100": "ogive.tasks.cifar",
        "imagenet16-120": "ogive.tasks.cifar",
        "mnist": "ogive.tasks.mnist",
        "esc10": "ogive.tasks.esc10",
        "arrays": "ogive.tasks.arrays",
    },
)


def get_task(spec: str | Task) -> Task:
    """Return the task written as ``name`` or ``name:option=value,...``; a task is returned as it is.

    Raises
    ------
    UnknownNameError
        If no task has this name, or the task no such option.
    InputError
        If an option has a wrong value.
    """
    if isinstance(spec, Task):
        return spec
    name, options = parse_spec(spec)
    factory = TASKS.get(name)
    known = inspect.signature(factory).parameters
    for option in options:
        if option not in known:
            raise UnknownNameError.of(f"option of task '{name}'", option, known)
    return factory(**options)
