"""What the samplers that train architecture parameters by gradient have in common.

The published methods end with the largest logit of every choice. Here the logits only say what to look at first
(`ogive.strategies.gradient`), and the architectures are then measured one by one with the supernet's weights. So that
these weights fit single architectures, a step that trains a mixture also trains paths drawn from the logits.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.spaces.preference import preference, softmax
from ogive.training.alphas import Alphas
from ogive.training.mixtures import kept_buffers, losses_without, skip_like
from ogive.training.samplers import Sampler
from ogive.training.seeding import derive

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space
    from ogive.training.supernet_trainer import SupernetTrainer

_LEAST = 1e-12
"""No allowed option is less likely to be drawn."""


class GradientSampler(Sampler):
    """Base of the samplers that have logits of their own.

    Every step first moves the logits along the gradient of the validation loss, by Adam, then adds the gradients of
    the training loss to the weights. Batch normalisation uses the statistics of the batch; the running ones never see
    a validation batch.

    Parameters
    ----------
    space : Space
    seed : int
    lr : float
        Of the logits.
    warmup : float
        Share of all steps before the logits move, in [0, 1).
    paths : int
        Architectures drawn from the logits and trained in each step, besides the mixture where there is one.

    Attributes
    ----------
    nudges : ndarray of float64, (n_choices, max options)
        What a person prefers, in [-1, 1]: ``nudge * ln 4`` is added to the logit. A locked option has all the
        probability of its choice, an excluded one has none and does not run.
    stopped_at : int or None
        The step at which the logits stopped moving because options that carry nothing but their input held more than
        half of the probability in more than half of the choices; the move that led there was taken back.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    mixes: ClassVar[bool] = True
    """Whether the weights are trained on the mixture too."""

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        lr: float = 3e-4,
        warmup: float = 0.2,
        paths: int = 1,
    ) -> None:
        super().__init__(space, seed=seed)
        for option, value, top in (("lr", lr, np.inf), ("warmup", warmup, 1.0)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < top:
                raise InputError(f"sampler '{self.name}' needs 0 <= {option} < {top:g}, not {value}")
        least = 0 if self.mixes else 1
        if not isinstance(paths, int) or isinstance(paths, bool) or paths < least:
            raise InputError(f"sampler '{self.name}' needs a whole number paths >= {least}, not {paths}")
        self.warmup, self.n_paths = warmup, paths
        self.nudges = np.zeros((space.n_choices, int(space.cardinalities.max())))
        self.stopped_at: int | None = None
        extra = [len(group) for group in self._groups()]
        self._alphas = Alphas(space, seed=derive(seed, 0), extra=extra, lr=lr)

    def _groups(self) -> list[list[int]]:
        """Return the choices that share a row of further parameters; none by default."""
        return []

    # ---------------------------------------------------------------- what was learned

    def logits(self) -> NDArray[np.float64]:
        """Return the trained logits, not steered, ``(n_choices, max options)``; -inf where there is no option."""
        return self._alphas.logits()

    def distribution(self) -> NDArray[np.float64]:
        """Return the probability of every option under logits and steering, ``(n_choices, max options)``."""
        self._steer()
        real = np.arange(self.nudges.shape[1]) < self.space.cardinalities[:, None]
        return softmax(np.where(real, self.logits(), 0.0) + preference(self.space, self.nudges))

    def paths(self, step: int) -> Genotypes:
        """Return architectures drawn from the distribution, ``(paths, n_choices)``."""
        return drawn(self.space, self.distribution(), self.n_paths, self.rng(step))

    def report(self) -> dict[str, Any]:
        """Return what to watch, as JSON values.

        Returns
        -------
        dict
            ``entropy`` (nats) and ``skip_share`` of every choice, the latter the probability of options that hand on
            their input or nothing; ``stopped_at``.
        """
        p = self.distribution()
        entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
        share = (p * skip_like(self.space)).sum(axis=1)
        return {"entropy": entropy.tolist(), "skip_share": share.tolist(), "stopped_at": self.stopped_at}

    def perturbation(self, trainer: SupernetTrainer, batches: int = 4) -> NDArray[np.float64]:
        """Return what every option is worth to the mixture: the validation loss without it.

        The size of a logit says little about that (Wang et al., ICLR 2021, section 3); this can be learned in its
        stead. The options are left out one at a time and the weights are not tuned in between, as the paper does.

        Parameters
        ----------
        trainer : SupernetTrainer
        batches : int
            Validation batches that the loss is a mean over.

        Returns
        -------
        ndarray of float64, (n_choices, max options)
            Nats, higher is better; -inf where there is no option, 0 for all options of a choice that is locked, and
            the lowest of its siblings for an excluded one.
        """
        self._steer()
        drawn = [trainer.val_batch() for _ in range(batches)]
        allowed = self.space.restriction.allowed
        weights = self._cast(trainer, [torch.softmax(row, dim=0).detach() for row in self._alphas.steered()])
        found = losses_without(trainer.supernet.network, weights, allowed, drawn)
        lowest = np.nan_to_num(np.min(found, axis=1, where=~np.isnan(found), initial=np.inf), posinf=0.0)
        filled = np.where(np.isnan(found), lowest[:, None], found)
        return np.where(np.isfinite(self.logits()), filled, -np.inf)

    # ---------------------------------------------------------------- training

    def train_step(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> Tensor:
        """Move the logits, then add the gradients of mixture and paths to the weights; return their mean loss."""
        self._steer()
        if self.stopped_at is None and self._progress(trainer) >= self.warmup:
            self._learn(trainer, x, y)
        paths = self.paths(trainer.steps_done)
        share = 1.0 / (len(paths) + self.mixes)
        losses = []
        if self.mixes:
            with self._mixture(trainer, trained=False):
                losses.append(self._descend(trainer, trainer.supernet.network(x), y, share))
            trainer.supernet.exposure[self.space.restriction.allowed] += 1
        losses += [self._descend(trainer, trainer.supernet.forward(x, path), y, share) for path in paths]
        trainer.supernet.count(paths)
        return sum(losses[1:], losses[0])

    def _descend(self, trainer: SupernetTrainer, logits: Tensor, y: Tensor, share: float) -> Tensor:
        loss = trainer.loss(logits, y) * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _learn(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> None:
        before = self._alphas.state()
        with kept_buffers(trainer.supernet.network), self._mixture(trainer):
            loss = self._validation_loss(trainer, x, y)
            gradients = torch.autograd.grad(loss, self._alphas.all, allow_unused=True, materialize_grads=True)
        self._alphas.step(gradients)
        if np.mean(np.array(self.report()["skip_share"]) > 0.5) > 0.5:
            self._alphas.restore(self.space, before)
            self.stopped_at = trainer.steps_done

    def _validation_loss(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002 - second order
        """Return the loss whose gradient moves the logits."""
        x_val, y_val = trainer.val_batch()
        return F.cross_entropy(trainer.supernet.network(x_val), y_val)

    @abstractmethod
    def _weights(self, logits: list[Tensor], progress: float) -> list[Tensor]:
        """Return what every option of every choice is multiplied with, differentiable in the steered logits."""

    def _mixture(self, trainer: SupernetTrainer, *, trained: bool = True) -> AbstractContextManager[Any]:
        """Set the network to a mixture; what it returns is entered while the network runs."""
        weights = self._weights(self._alphas.steered(), self._progress(trainer))
        cast = self._cast(trainer, weights if trained else [w.detach() for w in weights])
        trainer.supernet.network.mix(cast, run=self._run(weights))
        return nullcontext()

    def _cast(self, trainer: SupernetTrainer, weights: list[Tensor]) -> list[Tensor]:
        """Return weights where, and as precise as, the network's are."""
        like = next(trainer.supernet.network.parameters())
        return [w.to(device=like.device, dtype=like.dtype) for w in weights]

    def _run(self, weights: list[Tensor]) -> list[tuple[int, ...]]:  # noqa: ARG002 - hard samples
        """Return the options of every choice that are computed."""
        return [tuple(np.flatnonzero(row).tolist()) for row in self.space.restriction.allowed]

    def _progress(self, trainer: SupernetTrainer) -> float:
        return min(trainer.steps_done / max(trainer.total_steps - 1, 1), 1.0)

    def _steer(self) -> None:
        shape = self.space.n_choices, int(self.space.cardinalities.max())
        if self.nudges.shape != shape:  # another revision of a template
            self.nudges = np.zeros(shape)
        self._alphas.steer(self.space, self.nudges)

    def state(self) -> dict[str, Any]:
        """Return logits, moments, nudges and where the logits stopped."""
        return {"alphas": self._alphas.state(), "nudges": self.nudges.tolist(), "stopped_at": self.stopped_at}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._alphas.restore(self.space, state["alphas"])
        self.nudges, self.stopped_at = np.array(state["nudges"], dtype=np.float64), state["stopped_at"]


def drawn(space: Space, p: NDArray[np.float64], n: int, rng: np.random.Generator) -> Genotypes:
    """Return `n` valid architectures with these probabilities of the options, ``(n, n_choices)``."""
    table = zip(space.choices, np.maximum(p, _LEAST).tolist(), strict=True)
    weights = {choice.name: dict(zip(choice.options, row, strict=False)) for choice, row in table}
    return space.restrict(weights=weights).sample(n, rng)
