"""Train a supernet step by step; what a step does depends on the seed and its number alone.

So a run that is stopped at any step and taken up again gives the losses of the undisturbed one bit for bit (on CPU;
GPUs add in varying order unless PyTorch is told to be deterministic).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.tasks.base import get_task
from ogive.training.checkpoint import load_tensors, save_tensors
from ogive.training.data import Batches
from ogive.training.divergence import Watch
from ogive.training.recalibration import Scorer
from ogive.training.samplers import get_sampler
from ogive.training.schedule import learning_rate
from ogive.training.seeding import derive, seeded
from ogive.training.supernet import FILE, Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_data import Stream, val_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ogive.spaces.base import Space
    from ogive.tasks.base import Task

_OPTIMIZER = "optimizer."
# Purposes of derived seeds.
_ORDER, _SEARCH, _NOISE = 0, 1, 2


class SupernetTrainer:
    """The training of one supernet, between two steps.

    The weights see the training split only. What learns an architecture draws from `val_batch`, and scores come from
    the same part of the validation split; the other part, `config.anchors` of it, is for judging the supernet.

    Parameters
    ----------
    supernet : Supernet
        Trained in place, on its device.
    task : Task
        Only its "train" and "val" splits are read.
    config : SupernetConfig, optional
    seed : int
        Fixes paths, order, augmentation and dropout. The caller's random streams are left as they were.

    Attributes
    ----------
    sampler : Sampler
    optimizer : torch.optim.Optimizer
        Of the weights.
    steps_done : int
    total_steps : int
        Steps of `config.epochs`, on which the learning rate is laid out.

    Raises
    ------
    InputError
        If the recipe names something that does not exist.
    """

    def __init__(self, supernet: Supernet, task: Task, config: SupernetConfig | None = None, *, seed: int = 0) -> None:
        self.supernet, self.task, self.seed = supernet, task, seed
        self.config = config = config or SupernetConfig()
        self.recipe = config.recipe
        self.device = supernet.device
        self.sampler = get_sampler(config.sampler, supernet.space, seed=seed)
        augment = task.augment if config.augment == "task" else config.augment
        train = Batches(task, "train", self.device)
        self._train_set = Stream(train, config.batch_size, seed=derive(seed, _ORDER), augment=augment)
        self.optimizer = _optimizer(supernet, config)
        supernet.attach(self.optimizer)
        self.watch = Watch(self.recipe, task.n_outputs)
        self.steps_done = 0
        self.total_steps = config.epochs * self._train_set.per_epoch
        self._val_batches_drawn = 0
        self._stopping = False

    @property
    def epochs_done(self) -> int:
        """Whole passes over the training split so far."""
        return self.steps_done // self._train_set.per_epoch

    # ---------------------------------------------------------------- training

    def step(self) -> float:
        """Train for one step and return its loss.

        Raises
        ------
        DivergedError
            If the loss is not finite or has been too high for too long; the weights have not moved then.
        """
        number = self.steps_done
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, min(number, self.total_steps - 1), self.total_steps)
        if not self.supernet.network.training:  # a walk over all options takes longer than a small step
            self.supernet.network.train()
        self.optimizer.zero_grad()
        with seeded(derive(self.seed, _NOISE, number), self.device):
            loss = float(self.sampler.train_step(self, *self._train_set[number]))
        self.watch.see([loss])
        if self.config.clip_norm:
            weights = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.config.clip_norm)
        self.optimizer.step()
        self.steps_done += 1
        self._forget_scores()
        return loss

    def run(self, steps: int | None = None) -> list[float]:
        """Train for some steps, by default all that are left, and return their losses; fewer after `stop`.

        Beyond `total_steps` the learning rate stays that of the last step.

        Raises
        ------
        DivergedError
            If the loss is not finite or has been too high for too long.
        """
        self._stopping = False
        losses: list[float] = []
        for _ in range(max(0, self.total_steps - self.steps_done) if steps is None else steps):
            if self._stopping:
                break
            losses.append(self.step())
        return losses

    def stop(self) -> None:
        """Make `run` return after the present step; may be called from a signal handler or another thread."""
        self._stopping = True

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the training loss of a batch: cross-entropy, with label smoothing where the recipe has it."""
        return F.cross_entropy(logits, y, label_smoothing=self.config.label_smoothing)

    def val_batch(self) -> tuple[Tensor, Tensor]:
        """Return the next batch of the part of the validation split that a search may see, for what learns on it."""
        self._val_batches_drawn += 1
        return self._search_set[self._val_batches_drawn - 1]

    @cached_property
    def _search_set(self) -> Stream:
        batches, rows = Batches(self.task, "val", self.device), val_parts(self.task, self.config.anchors)[0]
        return Stream(batches, self.config.batch_size, seed=derive(self.seed, _SEARCH), rows=rows)

    @cached_property
    def scorer(self) -> Scorer:
        """What single architectures are worth with the present weights, on what a search may see."""
        return Scorer.of(self.supernet, self.task, self.config)

    def _forget_scores(self) -> None:
        if "scorer" in self.__dict__:  # nobody has asked for a score otherwise, nor for validation data
            self.scorer.forget()

    def apply(self, space: Space) -> None:
        """Go on with another restriction, or another revision, of the space."""
        self.supernet.apply(space)
        self.supernet.network.train()  # what comes back from the shelf too
        self.sampler.space = self.supernet.space
        self._forget_scores()

    # ---------------------------------------------------------------- interruption

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything the next step depends on: tensors by name, and JSON values."""
        tensors, facts = self.supernet.state()
        mine = {
            "task": self.task.spec,
            "seed": self.seed,
            "config": self.config.to_dict(),
            "steps": self.steps_done,
            "val_batches": self._val_batches_drawn,
            "sampler": self.sampler.state(),
            "watch": self.watch.state(),
        }
        return tensors | _memory(self.supernet, self.optimizer), facts | {"trainer": mine}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go back to a state that `state` returned.

        Raises
        ------
        InputError
            If it is that of another training.
        """
        before = facts.get("trainer", {})
        now = {"task": self.task.spec, "seed": self.seed, "config": self.config.to_dict()}
        for name, value in now.items():
            if before.get(name) != value:
                raise InputError(f"the saved training has {name} {before.get(name)}, this one {value}; give that one")
        self.supernet.restore_state(tensors, facts)
        _restore_memory(self.supernet, self.optimizer, tensors)
        self.sampler.space = self.supernet.space
        self.sampler.restore(before["sampler"])
        self.watch.restore(before["watch"])
        self.steps_done, self._val_batches_drawn = int(before["steps"]), int(before["val_batches"])
        self._forget_scores()

    def save(self, folder: str | Path) -> Path:
        """Write the state to ``supernet.safetensors`` in a folder, in one durable step; `Supernet.load` reads it too.

        Raises
        ------
        StorageError
            If the file cannot be written; an earlier one is then still whole.
        """
        return save_tensors(Path(folder) / FILE, *self.state())

    @classmethod
    def load(cls, folder: str | Path, task: Task | None = None, *, device: str = "cpu") -> Self:
        """Return the training that `save` wrote.

        Raises
        ------
        InputError
            If the folder holds no training, or one of another task.
        """
        tensors, facts = load_tensors(Path(folder) / FILE)
        if "trainer" not in facts:
            raise InputError(f"'{folder}' holds no training of a supernet; make one with ogive supernet train")
        mine = facts["trainer"]
        task = task or get_task(mine["task"])
        if task.spec != mine["task"]:
            raise InputError(f"'{folder}' was trained on task '{mine['task']}', not '{task.spec}'; give that one")
        supernet = Supernet.load(folder, task, device=device)
        trainer = cls(supernet, task, SupernetConfig.from_dict(mine["config"]), seed=int(mine["seed"]))
        trainer.restore(tensors, facts)
        return trainer


def _optimizer(supernet: Supernet, config: SupernetConfig) -> torch.optim.Optimizer:
    parameters = [p for _, p in supernet.named_parameters()]
    # A step moves few of the weights, others every time; the fused SGD of PyTorch wants all of them from the first.
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, foreach=True)
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
        foreach=True,
    )


def _memory(supernet: Supernet, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what the optimizer remembers as ``optimizer.<parameter>.<name>``."""
    return {
        f"{_OPTIMIZER}{name}.{key}": value
        for name, parameter in supernet.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, torch.Tensor)
    }


def _restore_memory(supernet: Supernet, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = dict(supernet.named_parameters())
    for parameter in parameters.values():
        optimizer.state.pop(parameter, None)
    for path, value in tensors.items():
        if path.startswith(_OPTIMIZER):
            name, _, key = path.removeprefix(_OPTIMIZER).rpartition(".")
            # The optimizer counts its steps on the CPU.
            like = parameters[name] if value.shape == parameters[name].shape else value
            optimizer.state[parameters[name]][key] = value.to(like.device, copy=True)
