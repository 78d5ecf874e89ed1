"""A small ensemble of graph networks that read an architecture as a labelled directed graph.

Message passing with separate weights along and against the edges, summed over neighbours (Xu et al., "How Powerful are
Graph Neural Networks?", ICLR 2019, equation 4.1), read out at the output vertex and as the mean of all; an ensemble of
independently initialised members gives the spread (Lakshminarayanan et al., NeurIPS 2017).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from ogive._errors import InputError
from ogive.predictors.base import PREDICTORS, Floats, checked

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_VOCABULARY = 64
_BLOCK = 4096


class GraphNetwork:
    """An ensemble of graph networks over the encoding "graph" of `Space.encode`.

    Parameters
    ----------
    members : int
        Networks, at least 2.
    width : int
        Features of a vertex.
    layers : int
        Rounds of messages.
    steps : int
        Full-batch steps of AdamW for each member.
    learning_rate, weight_decay : float
    seed : int
    """

    name: ClassVar[str] = "graph_network"

    def __init__(
        self,
        members: int = 4,
        width: int = 48,
        layers: int = 3,
        steps: int = 150,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-2,
        seed: int = 0,
    ) -> None:
        if members < 2 or width < 1 or layers < 1 or steps < 1:
            raise InputError("a graph network needs members >= 2 and width, layers and steps >= 1")
        self.members, self.width, self.layers, self.steps = members, width, layers, steps
        self.learning_rate, self.weight_decay, self.seed = learning_rate, weight_decay, seed

    def fit(self, X: Floats, y: Floats) -> Self:
        """Learn from n measured rows of the encoding "graph"; see `Predictor.fit`."""
        import torch

        from ogive.training.seeding import seeded

        X, y = checked(X, y)
        self._offset, self._unit = float(y.mean()), float(y.std()) or 1.0
        target = torch.as_tensor((y - self._offset) / self._unit, dtype=torch.float32)
        ops, adjacency = _graphs(X)
        self._networks = []
        residuals = []
        for member in range(self.members):
            with seeded(self.seed * 1000 + member):
                # A fifth held out, a different one each time, says how far off a new row will be.
                held = torch.as_tensor(np.arange(len(X)) % max(2, min(5, len(X))) == member % min(5, len(X)))
                network = _network(self.width, self.layers)
                self._train(network, ops[~held], adjacency[~held], target[~held])
                with torch.no_grad():
                    residuals.append((network(ops[held], adjacency[held]) - target[held]).numpy())
                self._networks.append(network)
        self._noise = float(np.sqrt((np.concatenate(residuals) ** 2).mean()))
        return self

    def _train(self, network: nn.Module, ops: Tensor, adjacency: Tensor, target: Tensor) -> None:
        import torch

        optimiser = torch.optim.AdamW(network.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        for _ in range(self.steps):
            optimiser.zero_grad()
            loss = ((network(ops, adjacency) - target) ** 2).mean()
            loss.backward()
            optimiser.step()
            schedule.step()
        network.eval()

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a measurement of each row, two arrays ``(n,)``.

        The held-out error of the members and their spread are taken as independent.
        """
        import torch

        blocks = []
        with torch.no_grad():
            for i in range(0, len(X), _BLOCK):
                ops, adjacency = _graphs(np.asarray(X[i : i + _BLOCK], dtype=np.float64))
                blocks.append(np.stack([n(ops, adjacency).numpy() for n in self._networks]))
        votes = np.concatenate(blocks, axis=1).astype(np.float64)
        deviation = np.hypot(votes.std(axis=0, ddof=1), self._noise)
        return votes.mean(axis=0) * self._unit + self._offset, deviation * self._unit


def _graphs(X: Floats) -> tuple[Tensor, Tensor]:
    """Split the encoding "graph", ``(n, v + v**2)``, into operation codes ``(n, v)`` and adjacency ``(n, v, v)``."""
    import torch

    v = (math.isqrt(1 + 4 * X.shape[1]) - 1) // 2
    if v * (v + 1) != X.shape[1] or X.shape[1] == 0:
        raise InputError(f"a graph network reads space.encode(genotypes, 'graph'), not {X.shape[1]} features")
    ops = torch.as_tensor(X[:, :v], dtype=torch.long)
    if len(X) and not -1 <= int(ops.min()) <= int(ops.max()) < _VOCABULARY - 1:
        raise InputError(f"a graph network knows operations numbered 0 to {_VOCABULARY - 2}")
    return ops + 1, torch.as_tensor(X[:, v:], dtype=torch.float32).reshape(-1, v, v)


def _network(width: int, layers: int) -> nn.Module:
    import torch
    from torch import nn

    class Network(nn.Module):
        """Embedding, rounds of messages, readout; code 0 is padding and takes no part."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(_VOCABULARY, width, padding_idx=0)
            self.own, self.along, self.against = (
                nn.ModuleList(nn.Linear(width, width) for _ in range(layers)) for _ in range(3)
            )
            self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
            self.head = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

        def forward(self, ops: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
            there = (ops > 0).float()[..., None]
            h = self.embed(ops)
            for own, along, against, norm in zip(self.own, self.along, self.against, self.norm, strict=True):
                messages = own(h) + adjacency.transpose(1, 2) @ along(h) + adjacency @ against(h)
                h = (h + nn.functional.silu(norm(messages))) * there
            last = (torch.arange(ops.shape[1]) * (ops > 0)).argmax(dim=1)
            mean = h.sum(dim=1) / there.sum(dim=1).clamp(min=1)
            output: torch.Tensor = self.head(torch.cat([h[torch.arange(len(h)), last], mean], dim=1))
            return output[:, 0]

    return Network()


PREDICTORS.add("graph_network", GraphNetwork)
