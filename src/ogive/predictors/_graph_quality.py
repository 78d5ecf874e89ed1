"""How good an embedding is: what it reconstructs, what it generates, how smooth it is.

Yan et al., arch2vec, NeurIPS 2020, section 4.1, by its definitions and, beside them, stricter ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ogive._errors import InputError
from ogive.predictors._graph_grammar import grammar
from ogive.predictors._graph_networks import VariationalAutoencoder, evaluating, tensors
from ogive.predictors.graph_batches import GraphBatch, classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.predictors._graph_grammar import Scores
    from ogive.predictors.graph_autoencoder import Embedding
    from ogive.spaces.base import Genotypes

_BLOCK = 2048


@dataclass(frozen=True)
class Reconstruction:
    """What the decoder makes of cells from the means of their latents; shares in [0, 1], of `n` graphs.

    Attributes
    ----------
    operators : float
        Vertices whose likeliest operator is right; padding is left out, where the published figure counts it.
    graphs : float
        Graphs with every operator and every edge right.
    edges : float
        Entries above the diagonal, right when read at 0.5.
    present, absent : float
        Mean probability given to edges that are there, and to those that are not; lower is better for the second.
    """

    n: int
    operators: float
    graphs: float
    edges: float
    present: float
    absent: float


@dataclass(frozen=True)
class Generation:
    """What decoding random latents gives; shares in [0, 1], of `n` draws.

    Attributes
    ----------
    validity : float
        Passed by the publication's check; on NAS-Bench-201 it does not look at the edges.
    uniqueness : float
        Different graphs among those, whether or not the space has them.
    strict : float
        Draws that are an architecture of the space, with its edges.
    architectures, classes : int
        Different architectures among the strict ones, and how many of them compute something different.
    """

    n: int
    validity: float
    uniqueness: float
    strict: float
    architectures: int
    classes: int


def reconstruction(embedding: Embedding, genotypes: Genotypes) -> Reconstruction:
    """Encode and decode architectures, held out ones if it is to say anything; no noise.

    Raises
    ------
    InputError
        If the embedding has no decoder.
    """
    model = _decoder(embedding)
    batch = GraphBatch.of(embedding.space, genotypes)
    operators, edges = _decoded(model, batch)
    mask, truth = batch.mask, batch.adjacency.astype(np.bool_)
    right = (operators.argmax(axis=2) == batch.ops) | ~mask
    upper = np.triu(np.ones(truth.shape[1:], dtype=np.bool_), 1)
    same = (edges > 0) == truth
    probability = 1 / (1 + np.exp(-edges[:, upper].astype(np.float64)))
    there = truth[:, upper]
    return Reconstruction(
        n=len(batch),
        operators=float(right[mask].mean()),
        graphs=float((right.all(axis=1) & (same | ~upper).all(axis=(1, 2))).mean()),
        edges=float(same[:, upper].mean()),
        present=float(probability[there].mean()),
        absent=float(probability[~there].mean()),
    )


def generation(embedding: Embedding, n: int = 10_000, seed: int = 0, prior: bool = False) -> Generation:
    """Draw latents from the training graphs' own mean and deviation, by vertex and dimension, and decode them freely.

    Parameters
    ----------
    embedding : Embedding
    n : int
    seed : int
    prior : bool
        Draw from N(0, I) instead, which the weak divergence term leaves far from where the graphs are.

    Raises
    ------
    InputError
        If the embedding has no decoder, or the space's graphs cannot be read.
    """
    operators, edges = draw(embedding, n, np.random.default_rng(seed), prior)
    upper = np.triu(np.ones(edges.shape[1:], dtype=np.bool_), 1)
    vocabulary = GraphBatch.of(embedding.space, embedding.space.sample(1, np.random.default_rng(0))).vocabulary
    batch = GraphBatch(operators.argmax(axis=2).astype(np.int8), ((edges > 0) & upper).astype(np.uint8), vocabulary)
    rules = grammar(embedding.space)
    loose = rules.loose(batch)
    genotypes, legal = rules.read(batch)
    rows = np.unique(genotypes[legal], axis=0)
    return Generation(
        n=n,
        validity=float(loose.mean()),
        uniqueness=len(np.unique(batch[np.flatnonzero(loose)].hash())) / max(1, int(loose.sum())),
        strict=float(legal.mean()),
        architectures=len(rows),
        classes=len(np.unique(classes(embedding.space, rows))) if len(rows) else 0,
    )


def draw(embedding: Embedding, n: int, rng: np.random.Generator, prior: bool = False) -> tuple[Scores, Scores]:
    """Return the decoder's logits at n random latents, ``(n, N, K)`` and ``(n, N, N)``; see `generation`."""
    model = _decoder(embedding)
    assert embedding.posterior is not None
    mean, deviation = (part.numpy() for part in embedding.posterior)
    z = rng.standard_normal((n, *mean.shape), dtype=np.float32)
    with evaluating(model):
        operators, edges = model.decode(torch.from_numpy(z if prior else mean + deviation * z))
    return operators.numpy(), edges.numpy()


def smoothness(embedding: Embedding, walks: int = 200, steps: int = 6, seed: int = 0) -> NDArray[np.float64]:
    """Return the mean distance from the start of random walks of one-choice changes, after 1 to `steps`, ``(steps,)``.

    Relative to the mean distance of two random architectures; growing numbers mean that few changes stay near.
    """
    rng = np.random.default_rng(seed)
    space = embedding.space
    at = space.sample(walks, rng)
    start = embedding.vectors(at)
    scale = np.linalg.norm(start - embedding.vectors(space.sample(walks, rng)), axis=1).mean()
    away = []
    for _ in range(steps):
        at = space.mutate(at, rng)
        away.append(np.linalg.norm(embedding.vectors(at) - start, axis=1).mean())
    return np.array(away, dtype=np.float64) / float(scale)


def _decoder(embedding: Embedding) -> VariationalAutoencoder:
    if not isinstance(embedding.model, VariationalAutoencoder):
        raise InputError(f"embedding '{embedding.preset}' has no decoder; take one of arch2vec, arch2vec-train")
    return embedding.model


def _decoded(model: VariationalAutoencoder, batch: GraphBatch) -> tuple[Scores, Scores]:
    parts = []
    with evaluating(model):
        for i in range(0, len(batch), _BLOCK):
            operators, edges = model.decode(model.encode(*tensors(batch[i : i + _BLOCK]))[0])
            parts.append((operators.numpy(), edges.numpy()))
    operators_parts, edges_parts = zip(*parts, strict=True)
    return np.concatenate(operators_parts), np.concatenate(edges_parts)
