"""The training loop of the graph embeddings: one pass after another, resumable after each."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from ogive._errors import DivergedError, InputError
from ogive.predictors._graph_networks import GraphModel, MaskedEncoder, SupervisedEncoder, VariationalAutoencoder
from ogive.training.checkpoint import load_tensors, model_tensors, optimizer_tensors, restore_optimizer, save_tensors
from ogive.training.seeding import derive, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

MODELS: dict[str, Callable[[int], GraphModel]] = {
    "variational": VariationalAutoencoder,
    "masked": MaskedEncoder,
    "supervised": SupervisedEncoder,
}

CLIP = 5.0


@dataclass(frozen=True)
class Recipe:
    """How an embedding is trained.

    Attributes
    ----------
    model : str
        Key of `MODELS`.
    epochs : int
    freeze : bool
        Whether everything behind the first epoch runs in evaluation mode, as the authors' code does unintendedly: no
        noise, no dropout, batch norms as they stood.
    decay : bool
        Whether the learning rate falls to zero along a cosine.
    batch : int
    learning_rate : float
    """

    model: str
    epochs: int
    freeze: bool = False
    decay: bool = False
    batch: int = 32
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Pass:
    """One epoch: its number from 1, how many there are, its mean loss, its mode, and the wall time so far."""

    epoch: int
    epochs: int
    loss: float
    mode: str
    seconds: float


class Trainer:
    """Trains one network on graphs given as tensors whose first axis is the graph.

    Parameters
    ----------
    recipe : Recipe
    n_ops : int
    data : sequence of Tensor
        What `loss` of the network takes.
    seed : int
        Fixes weights, order, noise and masks; the caller's random streams are left as they were.
    identity : mapping
        JSON facts that a checkpoint must share with this run.
    """

    def __init__(
        self, recipe: Recipe, n_ops: int, data: Sequence[Tensor], seed: int, identity: Mapping[str, Any]
    ) -> None:
        self.recipe, self.data, self.seed = recipe, data, seed
        self.identity = {**identity, **asdict(recipe), "seed": seed, "graphs": len(data[0])}
        with seeded(derive(seed, 0)):
            self.model = MODELS[recipe.model](n_ops)
            # One order for all epochs, as published.
            self.order = torch.randperm(len(data[0]))
        self.optimizer = torch.optim.Adam(self.model.parameters(), recipe.learning_rate)
        self.history: list[Pass] = []

    def run(self, progress: Callable[[Pass], object] | None = None, checkpoint: Path | None = None) -> GraphModel:
        """Train to the end, from `checkpoint` where it exists, and return the network in evaluation mode.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        InputError
            If the checkpoint belongs to another run.
        """
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint)
        while len(self.history) < self.recipe.epochs:
            done = self._epoch()
            if checkpoint is not None:
                self._save(checkpoint)
            if progress is not None:
                progress(done)
        return self.model.eval()

    def _epoch(self) -> Pass:
        epoch, start = len(self.history), time.perf_counter()
        training = not (self.recipe.freeze and epoch > 0)
        total = torch.zeros(())
        self.model.train(training)
        with seeded(derive(self.seed, 1, epoch)):
            for step, rows in enumerate(torch.split(self.order, self.recipe.batch)):
                self._set_rate(epoch + step * self.recipe.batch / len(self.order))
                loss = self.model.loss(*(part[rows] for part in self.data))
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
                self.optimizer.step()
                total += loss.detach() * len(rows)
        mean = float(total) / len(self.order)
        if not torch.isfinite(total):
            raise DivergedError(f"training diverged in epoch {epoch + 1}: the loss is {mean}; take another seed")
        before = self.history[-1].seconds if self.history else 0.0
        mode = "train" if self.model.training else "eval"
        seconds = before + time.perf_counter() - start
        self.history.append(Pass(epoch + 1, self.recipe.epochs, mean, mode, seconds))
        return self.history[-1]

    def _set_rate(self, epochs_done: float) -> None:
        if self.recipe.decay:
            rate = (
                0.5
                * self.recipe.learning_rate
                * (1 + torch.cos(torch.pi * torch.tensor(epochs_done / self.recipe.epochs)))
            )
            self.optimizer.param_groups[0]["lr"] = float(rate)

    def _save(self, path: Path) -> None:
        weights = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        facts = {"identity": self.identity, "history": [asdict(p) for p in self.history]}
        save_tensors(path, weights | optimizer_tensors(self.optimizer), facts)

    def _resume(self, path: Path) -> None:
        held, facts = load_tensors(path)
        if facts.get("identity") != self.identity:
            raise InputError(f"checkpoint '{path}' belongs to another training; delete it or give another file")
        self.model.load_state_dict(model_tensors(held))
        restore_optimizer(self.optimizer, held)
        self.history = [Pass(**p) for p in facts["history"]]
