"""Embeddings of architectures, learned from their graphs without a single accuracy.

Yan, Zheng, Ao, Zeng and Zhang, "Does Unsupervised Architecture Representation Learning Help Neural Architecture
Search?" (arch2vec), NeurIPS 2020, arXiv 2006.06936.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ogive._errors import InputError, UnknownNameError
from ogive.predictors._graph_grammar import grammar
from ogive.predictors._graph_networks import VariationalAutoencoder, evaluating, tensors
from ogive.predictors._graph_training import MODELS, Recipe, Trainer
from ogive.predictors.graph_batches import GraphBatch
from ogive.spaces.base import get_space
from ogive.training.checkpoint import load_tensors, model_tensors, save_tensors
from ogive.training.seeding import derive

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ogive.predictors._graph_networks import GraphModel
    from ogive.predictors._graph_training import Pass
    from ogive.spaces.base import Genotypes, Space

Vectors = NDArray[np.float32]

PRESETS = {
    "arch2vec": Recipe("variational", 10, freeze=True),
    # Ten epochs leave some seeds on a plateau where two operators have one place; twenty end it.
    "arch2vec-train": Recipe("variational", 20),
    "masked": Recipe("masked", 5, decay=True, batch=128, learning_rate=2e-3),
}
"""The published model as its code trains it; the same kept in training mode to the end; our masked encoder."""

_RECIPES = PRESETS | {"supervised": Recipe("supervised", 100, batch=10, learning_rate=1e-2)}
_FILE = "embedding.safetensors"
_ENUMERABLE = 200_000
_CELLS = 20_000
_HELD_OUT = 0.1
_BLOCK, _QUERIES = 2048, 256
_POOL, _CHILDREN, _ROUNDS = 4096, 32, 20


class Embedding:
    """A map from the architectures of a space to vectors.

    Attributes
    ----------
    space : Space
        Without restrictions.
    preset : str
        How it was trained, see `PRESETS`; "supervised" for the twin that was shown accuracies.
    facts : dict
        JSON values: ``seed``, ``epochs``, ``cells`` (graphs it was trained on), ``seconds`` (wall time of training),
        and what `ogive.predictors._graph_quality` measured, if it did.
    """

    def __init__(self, space: Space, preset: str, model: GraphModel, facts: dict[str, Any]) -> None:
        self.space, self.preset, self.model, self.facts = space.free(), preset, model.eval(), facts
        self.posterior: tuple[Tensor, Tensor] | None = None

    # ---------------------------------------------------------------- vectors

    @property
    def enumerable(self) -> bool:
        """Whether the space is small enough to hold a vector of every architecture."""
        return self.space.box <= _ENUMERABLE

    @cached_property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._compute(self.space.sample(1, np.random.default_rng(0))).shape[1])

    @cached_property
    def table(self) -> tuple[Genotypes, Vectors]:
        """Return reference architectures and their vectors, ``(m, n_choices)`` and ``(m, d)``.

        All architectures in the order of `Space.enumerate` where the space is small, else a fixed sample of 4,096.
        """
        rng = np.random.default_rng(0)
        genotypes = self.space.enumerate() if self.enumerable else self.space.sample(_POOL, rng)
        return genotypes, self._compute(genotypes)

    @cached_property
    def _row(self) -> NDArray[np.int64]:
        """Return, by mixed-radix number, the row of `table`, -1 where there is no architecture."""
        row = np.full(self.space.box, -1)
        row[self.space.index(self.table[0])] = np.arange(len(self.table[0]))
        return row

    def vectors(self, genotypes: Genotypes) -> Vectors:
        """Return the vector of each genotype, ``(n, d)`` float32; small spaces are computed once, as a whole.

        Raises
        ------
        InputError
            If a genotype is not in a small space.
        """
        if not self.enumerable:
            return self._compute(genotypes)
        rows = self._row[self.space.index(genotypes)]
        if (rows < 0).any():
            bad = np.asarray(genotypes)[rows < 0][0].tolist()
            raise InputError(f"genotype {bad} is not an architecture of space '{self.space.name}'")
        return np.asarray(self.table[1][rows])

    def _compute(self, genotypes: Genotypes) -> Vectors:
        batch = graphs(self.space, self.preset, genotypes)
        with evaluating(self.model):
            parts = [
                self.model.vectors(*tensors(batch[i : i + _BLOCK])).numpy()
                for i in range(0, max(1, len(batch)), _BLOCK)
            ]
        return np.asarray(np.concatenate(parts).reshape(len(genotypes), -1), dtype=np.float32)

    # ---------------------------------------------------------------- back to architectures

    def _nearest(self, z: Vectors) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the row of `table` nearest to each vector, and its distance."""
        from scipy.spatial.distance import cdist

        # Distances to all: in this many dimensions a search tree is slower.
        parts = [cdist(z[i : i + _QUERIES], self.table[1]) for i in range(0, len(z), _QUERIES)]
        at = [part.argmin(axis=1) for part in parts]
        return np.concatenate(at), np.concatenate([part.min(axis=1) for part in parts])

    def decode(self, z: Vectors, rng: np.random.Generator | None = None) -> Genotypes:
        """Return the architecture nearest to each vector, ``(m, n_choices)``; always one of the space.

        The nearest of all in a small space. Elsewhere the nearest of a sample, improved by one-choice changes for as
        long as that helps, twenty rounds at most; `rng` draws the changes (default: seed 0).
        """
        at, distance = self._nearest(np.asarray(z))
        found: Genotypes = self.table[0][at]
        if self.enumerable:
            return found
        rng = rng or np.random.default_rng(0)
        active = np.arange(len(found))
        for _ in range(_ROUNDS):
            children = self.space.mutate(np.repeat(found[active], _CHILDREN, axis=0), rng)
            away = self._compute(children).reshape(len(active), _CHILDREN, -1) - z[active, None]
            length = np.linalg.norm(away, axis=2)
            best = length.argmin(axis=1)
            nearer = length[np.arange(len(active)), best] < distance[active]
            rows = active[nearer]
            found[rows] = children.reshape(len(active), _CHILDREN, -1)[nearer, best[nearer]]
            distance[rows] = length[nearer, best[nearer]]
            active = rows
            if not active.size:
                break
        return found

    def sample(self, n: int, rng: np.random.Generator) -> Genotypes:
        """Draw n architectures from the decoder, ``(n, n_choices)``; every one is legal.

        Latents are drawn from the training graphs' mean and deviation by vertex and dimension, and the space's
        grammar takes the legal choices that the decoder scores highest. Repeats occur, as in any draw.

        Raises
        ------
        InputError
            If the embedding has no decoder, or the space's graphs cannot be decoded.
        """
        from ogive.predictors._graph_quality import draw

        batch = GraphBatch.of(self.space, self.space.sample(1, np.random.default_rng(0)))
        found = grammar(self.space).nearest(*draw(self, n * batch.cells, rng))
        # A grammar gives the same cell twice where an architecture has two; each gets its own draw.
        if batch.cells > 1:
            half = self.space.n_choices // batch.cells
            found = found.reshape(n, batch.cells, batch.cells, half)[:, range(batch.cells), range(batch.cells)]
        return np.asarray(found.reshape(n, -1))

    # ---------------------------------------------------------------- files

    def save(self, directory: str | Path) -> Path:
        """Write the embedding into `directory` as one file, and return the file's path."""
        held = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        if self.posterior is not None:
            held |= dict(zip(("posterior.mean", "posterior.deviation"), self.posterior, strict=True))
        facts = {"space": self.space.spec, "preset": self.preset, "facts": self.facts}
        return save_tensors(Path(directory) / _FILE, held, facts)

    @classmethod
    def load(cls, directory: str | Path) -> Embedding:
        """Read what `save` wrote.

        Raises
        ------
        StorageError
            If the file is missing or broken.
        InputError
            If it is no embedding.
        """
        path = Path(directory) / _FILE
        held, facts = load_tensors(path)
        if not {"space", "preset", "facts"} <= set(facts):
            raise InputError(f"'{path}' is no embedding; make one with: ogive embed train --out {directory}")
        space = get_space(facts["space"])
        try:
            model = MODELS[_RECIPES[facts["preset"]].model](_n_ops(space))
            model.load_state_dict(model_tensors(held))
        except (KeyError, RuntimeError) as error:
            raise InputError(f"'{path}' was written by another version of this program; train it again") from error
        embedding = cls(space, facts["preset"], model, facts["facts"])
        if "posterior.mean" in held:
            embedding.posterior = held["posterior.mean"], held["posterior.deviation"]
        return embedding


def pretrain(
    space: Space | str,
    preset: str = "arch2vec",
    *,
    seed: int = 0,
    epochs: int | None = None,
    cells: int | None = None,
    progress: Callable[[Pass], object] | None = None,
    checkpoint: str | Path | None = None,
) -> Embedding:
    """Learn an embedding of a space from its graphs alone; seconds to a minute of one core on NAS-Bench-201.

    Parameters
    ----------
    space : Space or str
    preset : str
        A key of `PRESETS`.
    seed : int
    epochs : int, optional
        The preset's by default; 0 leaves the weights as drawn, the null of any comparison.
    cells : int, optional
        Architectures to learn from: all of a small space, else 20,000 by default. A tenth is held out.
    progress : callable, optional
        Takes each `Pass`.
    checkpoint : path, optional
        Written after every epoch. If it exists, training goes on from it, to the same weights.

    Raises
    ------
    UnknownNameError
        If there is no such preset.
    InputError
        If the checkpoint belongs to another training, or there are too few architectures or epochs.
    """
    space = get_space(space).free()
    if preset not in PRESETS:
        raise UnknownNameError.of("embedding preset", preset, PRESETS)
    recipe = replace(PRESETS[preset], epochs=PRESETS[preset].epochs if epochs is None else epochs)
    train, _ = split(space, cells, seed)
    if recipe.epochs < 0 or len(train) < 2:
        raise InputError("an embedding needs epochs >= 0 and cells >= 3")
    batch = graphs(space, preset, train)
    if preset == "masked":
        # Cells that compute the same are shown once.
        batch = batch[np.sort(np.unique(batch.hash(), return_index=True)[1])]
    identity = {"space": space.spec, "preset": preset}
    trainer = Trainer(recipe, len(batch.vocabulary), tensors(batch), seed, identity)
    model = trainer.run(progress, None if checkpoint is None else Path(checkpoint))
    seconds = trainer.history[-1].seconds if trainer.history else 0.0
    facts = {"seed": seed, "epochs": recipe.epochs, "cells": len(batch), "seconds": seconds}
    embedding = Embedding(space, preset, model, facts | ({} if cells is None else {"sample": cells}))
    if isinstance(model, VariationalAutoencoder):
        embedding.posterior = _posterior(model, batch)
    return embedding


def supervise(
    space: Space, genotypes: Genotypes, values: NDArray[np.float64], *, seed: int = 0, epochs: int = 100
) -> Embedding:
    """Learn an embedding from n measured architectures: the published encoder trained end to end, for comparison."""
    batch = GraphBatch.of(space, genotypes)
    if batch.cells > 1:
        raise InputError(
            f"the supervised encoder reads one cell an architecture; space '{space.name}' has {batch.cells}"
        )
    target = torch.as_tensor((values - values.mean()) / (values.std() or 1.0), dtype=torch.float32)
    recipe = replace(_RECIPES["supervised"], epochs=epochs)
    trainer = Trainer(recipe, len(batch.vocabulary), (*tensors(batch), target), seed, {"space": space.spec})
    return Embedding(space, "supervised", trainer.run(), {"seed": seed, "epochs": epochs, "cells": len(batch)})


def split(space: Space, cells: int | None, seed: int) -> tuple[Genotypes, Genotypes]:
    """Return the architectures to learn from and the tenth that is held out, one of each class in a large space."""
    rng = np.random.default_rng(derive(seed, 2))
    if space.box <= _ENUMERABLE:
        rows = space.enumerate()
        rows = rows[rng.permutation(len(rows))[: cells or len(rows)]]
    else:
        rows = space.sample(cells or _CELLS, rng)
        rows = rows[np.sort(np.unique(space.canonical(rows), axis=0, return_index=True)[1])]
    held = max(1, round(_HELD_OUT * len(rows)))
    return rows[held:], rows[:held]


def graphs(space: Space, preset: str, genotypes: Genotypes) -> GraphBatch:
    """Return the graphs a preset reads: what is written down, or what its class computes for the masked encoder."""
    if preset == "masked":
        return GraphBatch.of(space, space.canonical(genotypes)).computation()
    return GraphBatch.of(space, genotypes)


def _n_ops(space: Space) -> int:
    return len(GraphBatch.of(space, space.sample(1, np.random.default_rng(0))).vocabulary)


def _posterior(model: VariationalAutoencoder, batch: GraphBatch) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the latent means over the training graphs, by vertex and dimension, ``(N, 16)``."""
    with evaluating(model):
        parts = [model.encode(*tensors(batch[i : i + _BLOCK]))[0] for i in range(0, len(batch), _BLOCK)]
    mean = torch.cat(parts)
    return mean.mean(dim=0), mean.std(dim=0)
