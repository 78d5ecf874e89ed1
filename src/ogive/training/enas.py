"""ENAS: a recurrent controller chooses the paths that are trained, and REINFORCE trains the controller."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.spaces.preference import preference
from ogive.training.mixtures import kept_buffers
from ogive.training.samplers import SAMPLERS, Sampler
from ogive.training.seeding import derive, seeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space
    from ogive.training.supernet_trainer import SupernetTrainer

_TEMPERATURE, _BOUND = 5.0, 2.5
"""Logits are divided by the first and squashed into plus or minus the second, so that no option is ever certain."""
_ENTROPY, _DECAY, _CLIP, _LR = 1e-4, 0.99, 5.0, 1e-3
_DRAWS = 256
"""Sequences that the marginal probabilities are averaged over."""
_REPAIRS = 20


class Controller(nn.Module):
    """An LSTM that takes one decision after the other, each knowing those before it.

    Parameters
    ----------
    sizes : list of int
        Number of options of every choice.
    hidden : int
        Width of the LSTM and of the embedding of a decision.
    """

    def __init__(self, sizes: list[int], hidden: int) -> None:
        super().__init__()
        self.sizes, self.offsets = sizes, np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self.begin = nn.Parameter(torch.empty(1, hidden))
        self.taken = nn.Embedding(self.offsets[-1], hidden)
        self.lstm = nn.LSTMCell(hidden, hidden)
        self.head = nn.Linear(hidden, self.offsets[-1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, n: int, steering: Tensor) -> tuple[Tensor, Tensor]:
        """Draw `n` sequences of decisions together, from PyTorch's generator.

        Parameters
        ----------
        n : int
        steering : Tensor, (n_choices, max options)
            Added to the logits; -inf excludes.

        Returns
        -------
        codes : Tensor of int64, (n, n_choices)
        log_p : Tensor, (n, n_choices, max options)
            Log-probability of every option given the decisions before it; -inf where excluded.
        """
        x, state = self.begin.expand(n, -1), None
        codes, log_p = [], []
        for start, size, more in zip(self.offsets, self.sizes, steering, strict=False):
            state = self.lstm(x, state)
            part = slice(start, start + size)
            raw = F.linear(state[0], self.head.weight[part], self.head.bias[part])
            row = torch.log_softmax(_BOUND * torch.tanh(raw / _TEMPERATURE) + more[:size], dim=1)
            code = torch.multinomial(row.detach().exp(), 1)[:, 0]
            codes.append(code)
            log_p.append(F.pad(row, (0, len(more) - size), value=-torch.inf))
            x = self.taken(code + start)
        return torch.stack(codes, dim=1), torch.stack(log_p, dim=1)


class Enas(Sampler):
    """Trains the paths a controller draws (Pham et al., ENAS, ICML 2018, section 2.2).

    After every epoch the controller is updated by REINFORCE: the reward of a path is its accuracy on a validation
    batch, with the weights of the moment and the statistics of the batch; from it a moving average is taken off, and a
    little of the policy's entropy is added. All samples of an update see the same batch, so that their rewards can be
    compared. In another revision of a template the controller begins anew.

    Parameters
    ----------
    space : Space
    seed : int
    updates, samples : int
        Updates of the controller after an epoch, and paths an update.
    lr : float
        Of the controller's Adam.
    hidden : int
        Width of the controller.
    warmup : float
        Share of all steps before the controller learns, in [0, 1).

    Attributes
    ----------
    nudges : ndarray of float64, (n_choices, max options)
        What a person prefers, in [-1, 1]: ``nudge * ln 4`` is added to the logit.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    name = "enas"

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        updates: int = 50,
        samples: int = 20,
        lr: float = 1e-3,
        hidden: int = 32,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(space, seed=seed)
        for option, count in (("updates", updates), ("samples", samples), ("hidden", hidden)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise InputError(f"sampler 'enas' needs a whole number {option} >= 1, not {count}")
        for option, value, top in (("lr", lr, np.inf), ("warmup", warmup, 1.0)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < top:
                raise InputError(f"sampler 'enas' needs 0 <= {option} < {top:g}, not {value}")
        self.updates, self.samples, self.lr, self.hidden, self.warmup = updates, samples, lr, hidden, warmup
        self._begin()

    def _begin(self) -> None:
        self._choices = self.space.choices
        self.nudges = np.zeros((self.space.n_choices, int(self.space.cardinalities.max())))
        self.baseline: float | None = None
        with seeded(derive(self.seed, 0)):
            self.controller = Controller(self.space.cardinalities.tolist(), self.hidden)
        self._adam = torch.optim.Adam(self.controller.parameters(), lr=self.lr)

    def _steering(self) -> Tensor:
        if self.space.choices != self._choices:
            self._begin()
        return torch.tensor(preference(self.space, self.nudges), dtype=torch.float32)

    # ---------------------------------------------------------------- what was learned

    def logits(self) -> NDArray[np.float64]:
        """Return the logarithm of each option's probability, not steered, ``(n_choices, max options)``."""
        steering = self._steering()
        return np.log(self._marginals(torch.zeros_like(steering)))

    def distribution(self) -> NDArray[np.float64]:
        """Return the probability of every option under steering, averaged over what is decided before it."""
        return self._marginals(self._steering())

    def _marginals(self, steering: Tensor) -> NDArray[np.float64]:
        with seeded(derive(self.seed, 1)), torch.no_grad():
            _, log_p = self.controller(_DRAWS, steering)
        return np.asarray(log_p.double().exp().mean(dim=0).numpy())

    def paths(self, step: int) -> Genotypes:
        """Return one architecture drawn by the controller; one that stays invalid is drawn from the space."""
        steering = self._steering()
        with seeded(derive(self.seed, 2, step)), torch.no_grad():
            for _ in range(_REPAIRS):
                codes: Genotypes = self.controller(1, steering)[0].numpy().astype(self.space.dtype)
                if self.space.valid(codes).all():
                    return codes
        return self.space.sample(1, self.rng(step))

    def report(self) -> dict[str, Any]:
        """Return what to watch, as JSON values: ``entropy`` (nats) of every choice, and ``baseline`` in [0, 1]."""
        p = self.distribution()
        return {"entropy": (-(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)).tolist(), "baseline": self.baseline}

    # ---------------------------------------------------------------- training

    def train_step(self, trainer: SupernetTrainer, x: Tensor, y: Tensor) -> Tensor:
        """Update the controller where an epoch is over, then train one path."""
        done, epoch = trainer.steps_done, trainer.total_steps // trainer.config.epochs
        if done and done % epoch == 0 and done >= self.warmup * trainer.total_steps:
            self._learn(trainer)
        return super().train_step(trainer, x, y)

    def _learn(self, trainer: SupernetTrainer) -> None:
        with kept_buffers(trainer.supernet.network):
            for _ in range(self.updates):
                self._update(trainer)

    def _update(self, trainer: SupernetTrainer) -> None:
        """Take one step along the policy gradient."""
        codes, log_p = self.controller(self.samples, self._steering())
        rewards = torch.tensor(self._rewards(trainer, codes.numpy().astype(self.space.dtype)))
        self.baseline = float(rewards.mean()) if self.baseline is None else self.baseline
        loss = reinforce_loss(codes, log_p, rewards - self.baseline, _ENTROPY)
        self.baseline = _DECAY * self.baseline + (1.0 - _DECAY) * float(rewards.mean())
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.controller.parameters(), _CLIP)
        self._adam.step()

    @torch.no_grad()
    def _rewards(self, trainer: SupernetTrainer, genotypes: Genotypes) -> list[float]:
        """Return the accuracy of each path in [0, 1]; 0 for what is no architecture."""
        x, y = trainer.val_batch()
        valid = self.space.valid(genotypes)
        right = [(trainer.supernet.forward(x, g).argmax(dim=1) == y).float().mean() for g in genotypes[valid]]
        rewards = np.zeros(len(genotypes), dtype=np.float32)
        rewards[valid] = [float(share) for share in right]
        return rewards.tolist()

    # ---------------------------------------------------------------- interruption

    def state(self) -> dict[str, Any]:
        """Return controller, Adam's moments, baseline and nudges, as JSON values."""
        memory = self._adam.state_dict()["state"]
        return {
            "weights": [_pack(p) for p in self.controller.parameters()],
            "moments": [{name: _pack(value) for name, value in entry.items()} for entry in memory.values()],
            "baseline": self.baseline,
            "nudges": self.nudges.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave in the same revision of the space."""
        self._begin()
        parameters = list(self.controller.parameters())
        for parameter, text in zip(parameters, state["weights"], strict=True):
            parameter.data = _unpack(text).reshape(parameter.shape)
        for parameter, entry in zip(parameters, state["moments"], strict=False):
            found = {name: _unpack(text) for name, text in entry.items()}
            self._adam.state[parameter] = {
                name: value.reshape(() if name == "step" else parameter.shape) for name, value in found.items()
            }
        self.baseline, self.nudges = state["baseline"], np.array(state["nudges"], dtype=np.float64)


def reinforce_loss(codes: Tensor, log_p: Tensor, advantage: Tensor, entropy: float) -> Tensor:
    """Return what a step on the policy descends: its gradient is that of the negative expected gain.

    Parameters
    ----------
    codes : Tensor of int64, (n, n_choices)
    log_p : Tensor, (n, n_choices, max options)
    advantage : Tensor, (n,)
        Reward above the baseline.
    entropy : float
        Weight of the policy's entropy in nats.
    """
    taken = log_p.gather(2, codes[:, :, None])[:, :, 0].sum(dim=1)
    spread = -(log_p.exp() * log_p.clamp(min=-100.0)).sum(dim=(1, 2))
    return -(advantage * taken + entropy * spread).mean()


def _pack(tensor: Tensor) -> str:
    return base64.b64encode(tensor.detach().numpy().astype("<f4").tobytes()).decode()


def _unpack(text: str) -> Tensor:
    return torch.tensor(np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32))


SAMPLERS.add("enas", Enas)
