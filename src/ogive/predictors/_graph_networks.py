"""The networks behind the graph embeddings, on dense batches of small graphs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ogive.predictors.graph_batches import GraphBatch

HIDDEN, LATENT, LAYERS, DROPOUT = 128, 16, 4, 0.3
"""Sizes of the published model; its "five hops" are four rounds of messages."""

MASKED_WIDTH, MASKED_LAYERS, MASKED_SHARE = 64, 3, 0.2


def tensors(batch: GraphBatch) -> tuple[Tensor, Tensor]:
    """Return operator codes ``(m, N)``, -1 for padding, and adjacency ``(m, N, N)`` as float32."""
    return torch.from_numpy(batch.ops).long(), torch.from_numpy(batch.adjacency).float()


def onehot(ops: Tensor, n_ops: int) -> Tensor:
    """Return operator codes as one-hot rows ``(m, N, K)``, zero where there is padding."""
    return F.one_hot(ops + 1, n_ops + 1)[..., 1:].float()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode without gradients, and put its mode back whatever happens."""
    before = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(before)


class GraphModel(nn.Module):
    """What training needs of a network: `loss` of a batch, and `vectors` of operator codes and adjacency."""

    loss: Callable[..., Tensor]
    vectors: Callable[..., Tensor]


class GraphEncoder(nn.Module):
    """Four rounds of the graph isomorphism network, edges read both ways, sums not normalised.

    Yan et al., NeurIPS 2020, section 2, after Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019.
    """

    def __init__(self, n_ops: int) -> None:
        super().__init__()
        self.n_ops = n_ops
        self.eps = nn.Parameter(torch.zeros(LAYERS))
        self.mlps = nn.ModuleList(
            nn.Sequential(
                nn.Linear(HIDDEN if layer else n_ops, HIDDEN),
                nn.BatchNorm1d(HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, HIDDEN),
            )
            for layer in range(LAYERS)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(HIDDEN) for _ in range(LAYERS))

    def forward(self, ops: Tensor, adjacency: Tensor) -> Tensor:
        """Return the features of every vertex, ``(m, N, 128)``; batch norms run over all rows, padding too."""
        h = onehot(ops, self.n_ops)
        both = adjacency + adjacency.transpose(1, 2)
        for eps, mlp, norm in zip(self.eps, self.mlps, self.norms, strict=True):
            h = (1 + eps) * h + both @ h
            h = F.relu(norm(mlp(h.flatten(0, 1)))).view(*ops.shape, HIDDEN)
        return h


class VariationalAutoencoder(GraphModel):
    """The published model: a graph isomorphism encoder, 16 Gaussian latents a vertex, an inner-product decoder."""

    def __init__(self, n_ops: int) -> None:
        super().__init__()
        self.encoder = GraphEncoder(n_ops)
        self.mean, self.log_deviation = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.operators = nn.Linear(LATENT, n_ops)

    def encode(self, ops: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the standard deviation of every vertex's latents, ``(m, N, 16)`` each.

        The second is called a log variance in the authors' code and used as what it is called here.
        """
        h = self.encoder(ops, adjacency)
        return self.mean(h), self.log_deviation(h)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of operators ``(m, N, K)`` and edges ``(m, N, N)``, to be read one by one by a sigmoid."""
        z = F.dropout(z, DROPOUT, self.training)
        return self.operators(z), z @ z.transpose(1, 2)

    def vectors(self, ops: Tensor, adjacency: Tensor) -> Tensor:
        """Return the embedding, the average mean over all rows, ``(m, 16)``."""
        return self.encode(ops, adjacency)[0].mean(dim=1)

    def loss(self, ops: Tensor, adjacency: Tensor) -> Tensor:
        """Return binary cross-entropies of operators and edges plus the weighted divergence from N(0, I).

        Edges count over all N * N entries, the lower half as zeros on both sides. The weight of the divergence is one
        over the number of rows of the batch. In evaluation mode there is no noise, as in the authors' code.
        """
        mean, log_deviation = self.encode(ops, adjacency)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        op_logits, edge_logits = self.decode(mean + log_deviation.exp() * noise)
        upper = torch.ones_like(edge_logits).triu(1)
        edges = F.binary_cross_entropy_with_logits(edge_logits, adjacency, upper)
        operators = F.binary_cross_entropy_with_logits(op_logits, onehot(ops, self.encoder.n_ops))
        divergence = -0.5 * (1 + 2 * log_deviation - mean**2 - (2 * log_deviation).exp()).sum(dim=2)
        return operators + edges + divergence.mean() / divergence.numel()


class MaskedEncoder(GraphModel):
    """Directed message passing that learns to fill in hidden operators of what a cell computes.

    Weights along and against the edges are separate and normalisation is by vertex, so training and evaluation do the
    same. The embedding joins what is known at the input, at the output and on average.
    """

    def __init__(self, n_ops: int) -> None:
        super().__init__()
        self.n_ops = n_ops
        self.embed = nn.Embedding(n_ops + 1, MASKED_WIDTH)  # the last one is the mask
        self.own, self.along, self.against = (
            nn.ModuleList(nn.Linear(MASKED_WIDTH, MASKED_WIDTH) for _ in range(MASKED_LAYERS)) for _ in range(3)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(MASKED_WIDTH) for _ in range(MASKED_LAYERS))
        self.head = nn.Linear(MASKED_WIDTH, n_ops)

    def forward(self, ops: Tensor, adjacency: Tensor) -> Tensor:
        """Return the features of every vertex, ``(m, N, 64)``, zero where there is padding."""
        there = (ops >= 0).float()[..., None]
        h: Tensor = self.embed(ops.clamp(min=0)) * there
        for own, along, against, norm in zip(self.own, self.along, self.against, self.norms, strict=True):
            messages = own(h) + adjacency.transpose(1, 2) @ along(h) + adjacency @ against(h)
            h = (h + F.silu(norm(messages))) * there
        return h

    def vectors(self, ops: Tensor, adjacency: Tensor) -> Tensor:
        """Return the embedding: features of the input and the output, and their mean over vertices, ``(m, 192)``."""
        h, there = self.forward(ops, adjacency), ops >= 0
        output = (torch.arange(ops.shape[1]) * there).argmax(dim=1)
        mean = h.sum(dim=1) / there.sum(dim=1, keepdim=True)
        return torch.cat([h[:, 0], h[torch.arange(len(h)), output], mean], dim=1)

    def loss(self, ops: Tensor, adjacency: Tensor) -> Tensor:
        """Return the cross-entropy of a fifth of the operators, hidden at random."""
        hidden = (torch.rand(ops.shape) < MASKED_SHARE) & (ops >= 0)
        logits = self.head(self.forward(torch.where(hidden, self.n_ops, ops), adjacency))
        return F.cross_entropy(logits[hidden], ops[hidden], reduction="sum") / hidden.sum().clamp(min=1)


class SupervisedEncoder(GraphModel):
    """The published encoder without the autoencoder: tanh features, averaged, behind a linear head for accuracy."""

    def __init__(self, n_ops: int) -> None:
        super().__init__()
        self.encoder = GraphEncoder(n_ops)
        self.features, self.head = nn.Linear(HIDDEN, LATENT), nn.Linear(LATENT, 1)

    def vectors(self, ops: Tensor, adjacency: Tensor) -> Tensor:
        """Return the embedding, ``(m, 16)``."""
        return torch.tanh(self.features(self.encoder(ops, adjacency))).mean(dim=1)

    def loss(self, ops: Tensor, adjacency: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error."""
        return F.mse_loss(self.head(self.vectors(ops, adjacency))[:, 0], targets)
