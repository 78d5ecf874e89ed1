"""Architecture parameters trained by gradient along with the weights: DARTS, PC-DARTS, GDAS and soft Gumbel samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.training.gradient_base import GradientSampler
from ogive.training.mixtures import incoming_edges, partial_channels, unrolled
from ogive.training.samplers import SAMPLERS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ogive.spaces.base import Space
    from ogive.training.supernet_trainer import SupernetTrainer


class Darts(GradientSampler):
    """Every choice is the softmax-weighted sum of its options (Liu, Simonyan and Yang, ICLR 2019).

    Parameters
    ----------
    order : {1, 2}
        With 2 the validation loss is that of the weights after one step of plain gradient descent at the present rate
        (equation 6). Its gradient is exact; the published one takes finite differences (equation 8).
    """

    name = "darts"

    def __init__(
        self, space: Space, *, seed: int = 0, lr: float = 3e-4, warmup: float = 0.2, paths: int = 1, order: int = 1
    ) -> None:
        super().__init__(space, seed=seed, lr=lr, warmup=warmup, paths=paths)
        if order not in (1, 2):
            raise InputError(f"sampler 'darts' needs order=1 or order=2, not {order}")
        self.order = order

    def _weights(self, logits: list[Tensor], progress: float) -> list[Tensor]:  # noqa: ARG002
        return [torch.softmax(row, dim=0) for row in logits]

    def _validation_loss(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> Tensor:
        if self.order == 1:
            return super()._validation_loss(trainer, x, y)
        x_val, y_val = trainer.val_batch()
        network = trainer.supernet.network
        return unrolled(
            lambda weights: trainer.loss(functional_call(network, weights, (x,)), y),
            lambda weights: F.cross_entropy(functional_call(network, weights, (x_val,)), y_val),
            dict(network.named_parameters()),
            trainer.optimizer.param_groups[0]["lr"],
        )


class PcDarts(GradientSampler):
    """DARTS on a part of the channels, with normalised edges (Xu et al., PC-DARTS, ICLR 2020).

    Options write one of `divisor` channels, drawn anew for every choice and pass; the others hand on the input.
    Here the operations still compute all channels, because they have the weights of the plain networks: what makes
    the choice calmer is kept, the saving of memory is not. Where choices are edges of a cell, the edges into a node
    are weighted by a further softmax.

    Parameters
    ----------
    divisor : int
        K in the paper.
    """

    name = "pc-darts"

    def __init__(
        self, space: Space, *, seed: int = 0, lr: float = 3e-4, warmup: float = 0.2, paths: int = 1, divisor: int = 4
    ) -> None:
        self._nodes = incoming_edges(space)
        super().__init__(space, seed=seed, lr=lr, warmup=warmup, paths=paths)
        if not isinstance(divisor, int) or isinstance(divisor, bool) or divisor < 1:
            raise InputError(f"sampler 'pc-darts' needs a whole number divisor >= 1, not {divisor}")
        self.divisor = divisor

    def _groups(self) -> list[list[int]]:
        return self._nodes

    def _weights(self, logits: list[Tensor], progress: float) -> list[Tensor]:  # noqa: ARG002
        weights = [torch.softmax(row, dim=0) for row in logits]
        for edges, row in zip(self._nodes, self._alphas.extra, strict=True):
            for edge, share in zip(edges, torch.softmax(row, dim=0), strict=True):
                weights[edge] = weights[edge] * share
        return weights

    def _mixture(self, trainer: SupernetTrainer, *, trained: bool = True) -> AbstractContextManager[Any]:
        super()._mixture(trainer, trained=trained)
        network, allowed = trainer.supernet.network, self.space.restriction.allowed
        codes = [np.flatnonzero(row).tolist() for row in allowed]
        return partial_channels(
            ([module for code in row for _, module in network.owned(choice, code)] for choice, row in enumerate(codes)),
            self.divisor,
        )


class Gumbel(GradientSampler):
    """Mixtures weighted by soft samples of the Gumbel-softmax (Xie et al., SNAS, ICLR 2019).

    Parameters
    ----------
    hot, cold : float
        Temperature of the first and of the last step, on a straight line in between.
    """

    name = "gumbel"

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        lr: float = 3e-4,
        warmup: float = 0.2,
        paths: int = 1,
        hot: float = 10.0,
        cold: float = 0.1,
    ) -> None:
        super().__init__(space, seed=seed, lr=lr, warmup=warmup, paths=paths)
        for option, value in (("hot", hot), ("cold", cold)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < np.inf:
                raise InputError(f"sampler '{self.name}' needs a number {option} > 0, not {value}")
        self.hot, self.cold = hot, cold

    def _weights(self, logits: list[Tensor], progress: float) -> list[Tensor]:
        temperature = self.hot + (self.cold - self.hot) * progress
        # The trainer seeds PyTorch's generator for every step.
        return [
            torch.softmax((torch.log_softmax(row, dim=0) - torch.empty_like(row).exponential_().log()) / temperature, 0)
            for row in logits
        ]


class Gdas(Gumbel):
    """One hard Gumbel sample a step (Dong and Yang, GDAS, CVPR 2019).

    The gradient of a sample is that of the soft one at the present temperature. The weights are trained on paths drawn
    from the logits, which is what a hard sample is.

    Parameters
    ----------
    run : {"sampled", "all"}
        What is computed to move the logits. With the sampled options alone, as published, their gradient is that of
        scaling them: in a chain whose layers are normalised it says nothing of how good they are. With all options,
        at their cost, it compares them.
    """

    name = "gdas"
    mixes = False

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        lr: float = 3e-4,
        warmup: float = 0.2,
        paths: int = 1,
        hot: float = 10.0,
        cold: float = 0.1,
        run: str = "sampled",
    ) -> None:
        super().__init__(space, seed=seed, lr=lr, warmup=warmup, paths=paths, hot=hot, cold=cold)
        if run not in ("sampled", "all"):
            raise InputError(f"sampler 'gdas' needs run=sampled or run=all, not {run}")
        self.run = run

    def _weights(self, logits: list[Tensor], progress: float) -> list[Tensor]:
        soft = super()._weights(logits, progress)
        return [F.one_hot(row.argmax(), len(row)) + (row - row.detach()) for row in soft]

    def _run(self, weights: list[Tensor]) -> list[tuple[int, ...]]:
        return super()._run(weights) if self.run == "all" else [(int(row.argmax()),) for row in weights]


for _sampler in (Darts, PcDarts, Gumbel, Gdas):
    SAMPLERS.add(_sampler.name, _sampler)
