"""A plain, fast training loop: whole splits on the device, one stream of random numbers an epoch, one file to resume.

What an epoch does depends on the seed and its number alone, so a resumed run is the undisturbed one bit for bit (on
CPU; GPUs add in varying order unless PyTorch is told to be deterministic).
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ogive._errors import DivergedError, InputError
from ogive.training.checkpoint import load_tensors, model_tensors, optimizer_tensors, restore_optimizer, save_tensors
from ogive.training.config import TrainConfig
from ogive.training.data import Batches, batch_bounds
from ogive.training.divergence import Watch
from ogive.training.schedule import learning_rate
from ogive.training.seeding import derive, seeded

if TYPE_CHECKING:
    from ogive.tasks.base import SplitName, Task

_SCORE_BATCH = 512
_LOOK_EVERY = 16
"""Steps between looks at the losses: each look makes the CPU wait for the GPU."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes
    ----------
    epoch : int
        From 1.
    train_loss : float
        Mean of the training objective over the steps.
    lr : float
        Learning rate of the last step.
    seconds : float
        Wall-clock time of training and validation since the run began, interruptions not counted.
    accuracy, loss : float or None
        Validation accuracy in percent and mean cross-entropy; None where the epoch was not validated.
    """

    epoch: int
    train_loss: float
    lr: float
    seconds: float
    accuracy: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """What a training run gave; the network itself holds the weights of the last epoch.

    Attributes
    ----------
    accuracy : float
        Validation accuracy after the last epoch in percent. Not the best epoch's, which would favour noisy runs.
    loss : float
        Validation cross-entropy after the last epoch, in nats.
    seconds : float
        Wall-clock time of training and validation.
    epochs : int
        Epochs trained; fewer than asked for where the callback stopped the run.
    history : tuple of Epoch
    """

    accuracy: float
    loss: float
    seconds: float
    epochs: int
    history: tuple[Epoch, ...] = field(repr=False, default=())


Callback = Callable[[Epoch], object]
"""Called after every epoch; the run stops when it returns True."""


def train(
    model: nn.Module,
    task: Task,
    config: TrainConfig | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    callback: Callback | None = None,
    checkpoint: str | Path | None = None,
) -> TrainResult:
    """Train a network on the task's training split, in place, and score it on the validation split.

    Parameters
    ----------
    model : Module
        Maps ``(n, *input_shape)`` to logits ``(n, n_outputs)``. Its present weights are the start.
    task : Task
        Only its "train" and "val" splits are read.
    config : TrainConfig, optional
    seed : int
        Fixes order, augmentation and dropout. The caller's random streams are left as they were.
    device : str
        The model is moved there and stays there.
    callback : callable, optional
        Takes each `Epoch`; the run stops when it returns True.
    checkpoint : path, optional
        Written after every epoch. If it exists, the run goes on from it.

    Returns
    -------
    TrainResult

    Raises
    ------
    DivergedError
        If the loss is not finite or stays too high.
    InputError
        If the device is not there, or the checkpoint belongs to another run.
    """
    run = _Run(model, task, config or TrainConfig(), seed, find_device(device))
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        run.resume(path)
    while len(run.history) < run.config.epochs:
        epoch = run.one_epoch()
        if path is not None:
            run.save(path)
        if callback is not None and callback(epoch) is True:
            break
    return run.result()


def score(model: nn.Module, task: Task, which: SplitName, *, device: str = "cpu") -> dict[str, float]:
    """Return ``accuracy`` (percent) and ``loss`` (mean cross-entropy, nats) of a network on one split.

    The model is moved to `device`; training or evaluation mode is left as it was.
    """
    where = find_device(device)
    return _score(model.to(where), model, Batches(task, which, where), lambda x: x)


def find_device(name: str) -> torch.device:
    """Return a PyTorch device that is really there.

    Raises
    ------
    InputError
        If the name means nothing to PyTorch or the machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"device '{name}' cannot be used ({reason}); use --device cpu") from error
    return device


def _score(
    forward: Callable[[Tensor], Tensor], model: nn.Module, batches: Batches, prepare: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    training = model.training
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=batches.y.device)
    loss = torch.zeros((), dtype=torch.float64, device=batches.y.device)
    with torch.inference_mode():
        for x, y in batches.in_order(_SCORE_BATCH):
            logits = forward(prepare(x)).float()
            right += (logits.argmax(dim=1) == y).sum()
            loss += F.cross_entropy(logits, y, reduction="sum")
    model.train(training)
    return {"accuracy": 100.0 * int(right) / len(batches), "loss": float(loss) / len(batches)}


class _Run:
    """The state of one run between epochs."""

    def __init__(self, model: nn.Module, task: Task, config: TrainConfig, seed: int, device: torch.device) -> None:
        if config.precision == "float16" and device.type == "cpu":
            raise InputError("precision float16 needs a GPU; use bfloat16 or float32 on the CPU")
        self.config, self.task, self.seed, self.device = config, task, seed, device
        self.layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model = model.to(device).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.forward: Callable[[Tensor], Tensor] = torch.compile(model) if config.compile else model
        self.train_set, self.val_set = Batches(task, "train", device), Batches(task, "val", device)
        self.augment = task.augment if config.augment == "task" else config.augment
        self.optimizer = _optimizer(model, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.watch = Watch(config, task.n_outputs)
        self.steps = len(batch_bounds(len(self.train_set), config.batch_size))
        self.history: list[Epoch] = []
        self.seconds = 0.0

    def one_epoch(self) -> Epoch:
        """Train for one epoch, validate where it is due, and note both."""
        began = time.perf_counter()
        number = len(self.history)
        with seeded(derive(self.seed, number), self.device):
            train_loss, lr = self._fit(number)
        found: dict[str, float] = {}
        if (number + 1) % self.config.validate_every == 0 or number + 1 == self.config.epochs:
            found = self.validate()
        self.seconds += time.perf_counter() - began
        self.history.append(Epoch(number + 1, train_loss, lr, self.seconds, **found))
        return self.history[-1]

    def _fit(self, number: int) -> tuple[float, float]:
        self.model.train()
        generator = torch.Generator().manual_seed(derive(self.seed, number, 1))
        losses: list[float] = []
        unseen: list[Tensor] = []
        batches = self.train_set.shuffled(self.config.batch_size, self.augment, generator)
        lr = 0.0
        for i, (x, y) in enumerate(batches):
            lr = learning_rate(self.config, number * self.steps + i, self.config.epochs * self.steps)
            unseen.append(self._step(x, y, lr))
            if len(unseen) == _LOOK_EVERY or i == self.steps - 1:
                seen = torch.stack(unseen).tolist()
                self.watch.see(seen)
                losses += seen
                unseen.clear()
        return sum(losses) / len(losses), lr

    def _step(self, x: Tensor, y: Tensor, lr: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self._autocast():
            loss = self._objective(self._prepare(x), y)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.config.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def _objective(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of a batch; the auxiliary head of a network that has one adds its share."""
        smoothing = self.config.label_smoothing
        if getattr(self.model, "auxiliary", None) is None:
            return F.cross_entropy(self.forward(x), y, label_smoothing=smoothing)
        logits, auxiliary = self.model.with_auxiliary(x)
        loss = F.cross_entropy(logits, y, label_smoothing=smoothing)
        return loss + self.config.auxiliary_weight * F.cross_entropy(auxiliary, y, label_smoothing=smoothing)

    def _prepare(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=self.layout) if x.ndim == 4 else x

    def _autocast(self) -> torch.autocast:
        half = self.config.precision != "float32"
        return torch.autocast(
            self.device.type, dtype=getattr(torch, self.config.precision) if half else None, enabled=half
        )

    def validate(self) -> dict[str, float]:
        """Return accuracy and loss on the validation split."""
        with self._autocast():
            found = _score(self.forward, self.model, self.val_set, self._prepare)
        if not math.isfinite(found["loss"]):
            raise DivergedError(
                f"training diverged by epoch {len(self.history) + 1}: the validation loss is {found['loss']}"
            )
        return found

    def result(self) -> TrainResult:
        """Return the outcome; an early stop between validations is validated now."""
        last = self.history[-1]
        accuracy, loss = last.accuracy, last.loss
        if accuracy is None or loss is None:
            found = self.validate()
            accuracy, loss = found["accuracy"], found["loss"]
        return TrainResult(accuracy, loss, self.seconds, last.epoch, tuple(self.history))

    # ---------------------------------------------------------------- interruption

    def _identity(self) -> dict[str, Any]:
        network = zlib.crc32(repr(self.model).encode())
        return {"network": network, "task": self.task.spec, "seed": self.seed, **self.config.to_dict()}

    def save(self, path: Path) -> None:
        """Write everything the next epoch depends on."""
        weights = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        facts = {
            "identity": self._identity(),
            "history": [asdict(e) for e in self.history],
            "watch": self.watch.state(),
            "scaler": self.scaler.state_dict(),
        }
        save_tensors(path, weights | optimizer_tensors(self.optimizer), facts)

    def resume(self, path: Path) -> None:
        """Go back to where `save` was called."""
        tensors, facts = load_tensors(path)
        if "identity" not in facts:
            raise InputError(f"'{path}' is no training checkpoint; delete it or give another file")
        before = facts["identity"]
        for name, now in self._identity().items():
            if before.get(name) != now and name == "network":
                raise InputError(f"checkpoint '{path}' belongs to another network; delete it or give another file")
            if before.get(name) != now:
                raise InputError(
                    f"checkpoint '{path}' was made with {name}={before.get(name)}, this run has {name}={now}; "
                    "delete it or give another file"
                )
        self.model.load_state_dict(model_tensors(tensors))
        restore_optimizer(self.optimizer, tensors)
        self.scaler.load_state_dict(facts["scaler"])
        self.watch.restore(facts["watch"])
        self.history = [Epoch(**e) for e in facts["history"]]
        self.seconds = self.history[-1].seconds


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
        fused=True,
    )
