"""What an attacker does with a network that was shipped: take its structure and weights to a task of their own.

Three attacks, each with a new classifier for the new classes:

* ``fine-tune``: all weights are trained on.
* ``probe``: a linear classifier on the frozen features, as they are.
* ``adapter``: the convolutions are frozen; 1x1 convolutions beside them, the batch normalisations and the classifier
  are trained (parallel residual adapters: Rebuffi, Bilen and Vedaldi, CVPR 2018, section 3).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ogive._errors import InputError, UnknownNameError
from ogive.tasks._splits import stratified
from ogive.tasks.base import Split, Task
from ogive.training.data import Batches
from ogive.training.seeding import derive, seeded
from ogive.training.trainer import find_device, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.tasks.base import SplitName
    from ogive.training.config import TrainConfig

AttackKind = Literal["fine-tune", "probe", "adapter"]
ATTACKS: tuple[AttackKind, ...] = ("fine-tune", "probe", "adapter")

_BATCH = 512


# -------------------------------------------------------------------- the attacker's data


class Holding(Task):
    """The part of a task's data that an attacker holds, in the shape that the network takes.

    Images are resized (bilinear, smoothed where they shrink); channels are averaged and repeated. Validation and test
    examples are all there, up to `at_most` for validation: the attacker may choose well, and is judged on everything.

    Parameters
    ----------
    task : Task
        Of images.
    share : float
        Part of the training split, in (0, 1], stratified by class.
    shape : tuple of int, optional
        ``(channels, height, width)``; the task's own by default.
    at_most : int, optional
        Largest number of training examples that a share of 1 stands for, and of validation examples.
    seed : int
        Draws the part.

    Raises
    ------
    InputError
        If a number is out of range, the examples are no images, or the share holds fewer than two examples.
    """

    name = "holding"

    def __init__(
        self,
        task: Task,
        share: float = 1.0,
        *,
        shape: tuple[int, ...] | None = None,
        at_most: int | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 < share <= 1:
            raise InputError(f"an attacker's share of the data is a number in (0, 1], not {share:g}")
        if len(task.input_shape) != 3:
            raise InputError(f"task '{task.spec}' has examples of shape {task.input_shape}; attacks need images")
        self.task, self.share, self.at_most, self.seed = task, share, at_most, seed
        self.input_shape = tuple(shape or task.input_shape)
        self.n_outputs, self.augment = task.n_outputs, task.augment
        x = self.split("train").x
        if len(x) < 2:
            raise InputError(f"{share:g} of the training examples of task '{task.spec}' are too few to train on")
        self.mean, self.std = _statistics(x, (0, 2, 3))

    @property
    def spec(self) -> str:
        """The task and what is held of it; for messages, `get_task` cannot read it."""
        return f"{self.task.spec} ({self.share:g} of at most {self.at_most}, {self.input_shape}, seed {self.seed})"

    def split(self, which: SplitName) -> Split:
        """Return one of the splits; uint8 where nothing was resized or averaged, else float32."""
        return self._splits[which]

    @cached_property
    def _splits(self) -> dict[SplitName, Split]:
        limit = self.at_most or math.inf
        sizes = {which: len(self.task.split(which)) for which in ("train", "val", "test")}
        kept = {"train": round(self.share * min(sizes["train"], limit)), "val": min(sizes["val"], limit)}
        return {which: self._part(which, int(kept.get(which, n))) for which, n in sizes.items()}  # type: ignore[misc, arg-type]

    def _part(self, which: SplitName, n: int) -> Split:
        whole = self.task.split(which)
        rows = np.arange(len(whole)) if n == len(whole) else stratified(whole.y, (n,), self.seed)[1]
        return Split(reshaped(whole.x[rows], self.input_shape), whole.y[rows])


def reshaped(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return images ``(n, c, h, w)`` in another ``(channels, height, width)``.

    Other sizes are interpolated bilinearly, with smoothing where the image shrinks; another number of channels is the
    mean of the present ones, repeated.
    """
    if x.shape[1] != shape[0]:
        x = np.repeat(x.mean(axis=1, keepdims=True, dtype=np.float32), shape[0], axis=1)
    if x.shape[2:] == shape[1:]:
        return x
    images = torch.from_numpy(np.ascontiguousarray(x)).float()
    return F.interpolate(images, shape[1:], mode="bilinear", antialias=True).numpy()


def _statistics(x: NDArray[Any], axes: tuple[int, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation; what is constant in training keeps its scale, or it would drown the rest."""
    mean, std = x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)
    return tuple(mean.tolist()), tuple(np.where(std > 1e-6, std, 1.0).tolist())


# -------------------------------------------------------------------- the attacks


@dataclass(frozen=True)
class Outcome:
    """What a training reached.

    Attributes
    ----------
    validation : float
        Accuracy in percent; the attacker chooses by it.
    right : ndarray of bool, (n_test,)
        Which test examples the network gets right; the attacker is judged by their share.
    seconds : float
        Wall-clock time of training and validation.
    """

    validation: float
    right: NDArray[np.bool_]
    seconds: float

    @property
    def test(self) -> float:
        """Test accuracy in percent."""
        return 100.0 * float(self.right.mean())


def train_and_judge(
    model: nn.Module, task: Task, config: TrainConfig, *, seed: int = 0, device: str = "cpu"
) -> Outcome:
    """Train a network from its present weights, in place, and see which test examples it gets right.

    Raises
    ------
    DivergedError
        If the training diverges.
    """
    result = train(model, task, config, seed=seed, device=device)
    batches = Batches(task, "test", find_device(device))
    model.eval()
    with torch.inference_mode():
        right = torch.cat([model(x).argmax(dim=1) == y for x, y in batches.in_order(_BATCH)])
    return Outcome(result.accuracy, right.cpu().numpy(), result.seconds)


def attack(
    model: nn.Module, task: Task, kind: AttackKind, config: TrainConfig, *, seed: int = 0, device: str = "cpu"
) -> Outcome:
    """Take a trained network to another task.

    Parameters
    ----------
    model : Module
        Left as it is; a copy is attacked. Its classifiers are its linear layers.
    task : Task
        What the attacker holds, such as a `Holding` with the network's number of channels.
    kind : {"fine-tune", "probe", "adapter"}
    config : TrainConfig
        The attacker's recipe.
    seed : int
        Fixes the new classifier and the data order.
    device : str

    Raises
    ------
    DivergedError
        If the training diverges.
    InputError
        If the network has no linear layer.
    """
    if kind not in ATTACKS:
        raise UnknownNameError.of("attack", kind, ATTACKS)
    with seeded(derive(seed, ATTACKS.index(kind))):
        if kind == "probe":
            task = Features(model, task, device)
            victim: nn.Module = nn.Linear(task.input_shape[0], task.n_outputs)
        else:
            victim = copy.deepcopy(model)
            if kind == "adapter":
                add_adapters(victim)
            new_classifiers(victim, task.n_outputs)
    return train_and_judge(victim, task, config, seed=seed, device=device)


def at_least(config: TrainConfig, steps: int, n: int) -> TrainConfig:
    """Return the recipe with as many epochs as `n` examples need for `steps` steps, and one validation at the end.

    Few examples need more passes: ten epochs of a hundred images are twenty steps, and no attacker stops there.
    """
    epochs = math.ceil(steps / math.ceil(n / config.batch_size))
    return replace(config, epochs=max(config.epochs, epochs), validate_every=max(config.epochs, epochs))


def classifiers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers of a network by name: its classifier, or several that are averaged.

    Raises
    ------
    InputError
        If there is none.
    """
    found = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    if not found:
        raise InputError("the network has no linear classifier to replace; attacks need one")
    return found


def new_classifiers(model: nn.Module, n_outputs: int) -> None:
    """Replace the classifiers of a network by untrained ones for `n_outputs` classes, in place."""
    for name, old in classifiers(model).items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, nn.Linear(old.in_features, n_outputs))


# -------------------------------------------------------------------- linear probe


class Features(Task):
    """A task seen through a frozen network: what its classifiers read, standardised over the training split.

    Parameters
    ----------
    model : Module
        In evaluation mode while it is read: no dropout, the batch statistics of its own task.
    task : Task
    device : str
    """

    name = "features"

    def __init__(self, model: nn.Module, task: Task, device: str = "cpu") -> None:
        where = find_device(device)
        frozen = copy.deepcopy(model).to(where).eval()
        names: tuple[SplitName, ...] = ("train", "val", "test")
        self._splits = {which: _features(frozen, Batches(task, which, where)) for which in names}
        x = self._splits["train"].x
        self.input_shape, self.n_outputs = (x.shape[1],), task.n_outputs
        self.mean, self.std = _statistics(x, (0,))

    def split(self, which: SplitName) -> Split:
        """Return one of the splits; ``x`` is float32, ``(n, features)``."""
        return self._splits[which]


def _features(model: nn.Module, batches: Batches) -> Split:
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
        for name, layer in classifiers(model).items()
    ]
    rows = []
    with torch.inference_mode():
        for x, _ in batches.in_order(_BATCH):
            model(x)
            rows.append(torch.cat([seen[name] for name in sorted(seen)], dim=1).cpu())
    for hook in hooks:
        hook.remove()
    return Split(torch.cat(rows).numpy(), batches.y.cpu().numpy())


# -------------------------------------------------------------------- adapters


class Adapter(nn.Module):
    """A frozen convolution with a 1x1 convolution beside it that starts at zero: at first, nothing changes.

    Parameters
    ----------
    conv : Conv2d
        Its padding keeps the resolution, up to its stride.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.beside = nn.Conv2d(conv.in_channels, conv.out_channels, 1, stride=conv.stride, bias=False)  # type: ignore[arg-type]
        nn.init.zeros_(self.beside.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both."""
        both: Tensor = self.conv(x) + self.beside(x)
        return both


def add_adapters(model: nn.Module) -> None:
    """Freeze a network but for its batch normalisations, and give every convolution that can take one an `Adapter`."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(True)
        if isinstance(module, nn.Conv2d) and _keeps_resolution(module):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, Adapter(module))


def _keeps_resolution(conv: nn.Conv2d) -> bool:
    if isinstance(conv.padding, str):
        return False
    rule = zip(conv.padding, conv.dilation, conv.kernel_size, strict=True)
    return all(2 * p == d * (k - 1) for p, d, k in rule)
