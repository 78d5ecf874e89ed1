"""A learned embedding as a strategy sees it: one point for each class of architectures that compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive.predictors.features import load_embedding, of_space

if TYPE_CHECKING:
    from pathlib import Path

    from ogive.predictors.graph_autoencoder import Embedding
    from ogive.spaces.base import Genotypes, Space
    from ogive.strategies.base import Floats


class Latent:
    """The vectors of an embedding.

    Architectures that compute the same have the vector of their representative (`Space.canonical`), whatever the
    embedding makes of the others.

    Parameters
    ----------
    space : Space
    embedding : Embedding or path
        An embedding of this space, or the folder of one; "" has one trained here, with the preset and seed that
        `ogive.predictors.graph_autoencoder.pretrain` takes by default, once for all strategies of the process.
    scaled : bool
        Whether each column has mean 0 and deviation 1 over the space, or a sample of it, or is as the embedding has it.

    Attributes
    ----------
    groups : ndarray of int, (d,)
        All zero: one length scale.

    Raises
    ------
    InputError
        If the embedding is of another space.
    StorageError
        If the folder holds none.
    """

    def __init__(self, space: Space, embedding: Embedding | str | Path = "", *, scaled: bool = True) -> None:
        from ogive.predictors.graph_autoencoder import Embedding

        if isinstance(embedding, Embedding):
            self.embedding = embedding
        elif embedding == "":
            self.embedding = _trained(space)
        else:
            # A folder may be called 1, which options read as a number.
            self.embedding = load_embedding(str(embedding))
        of_space(self.embedding, space)
        self._space = self.embedding.space
        known = self.embedding.table[1].astype(np.float64)
        self._centre, spread = known.mean(axis=0), known.std(axis=0)
        self._scale = np.where(spread > 1e-9, spread, 1.0)
        if not scaled:
            self._centre, self._scale = np.zeros_like(spread), np.ones_like(spread)
        self.groups = np.zeros(len(spread), dtype=np.intp)

    def __call__(self, genotypes: Genotypes) -> Floats:
        """Return the vector of each genotype, ``(n, d)``."""
        vectors = self.embedding.vectors(self._space.canonical(genotypes))
        return np.asarray((vectors - self._centre) / self._scale)

    def decode(self, z: Floats, rng: np.random.Generator) -> Genotypes:
        """Return an architecture near each vector, ``(m, n_choices)``; see `Embedding.decode`."""
        return self.embedding.decode((z * self._scale + self._centre).astype(np.float32), rng)


_TRAINED: dict[tuple[type[Space], str], Embedding] = {}


def _trained(space: Space) -> Embedding:
    """Train an embedding, once for each space of the process."""
    from ogive.predictors.graph_autoencoder import pretrain

    key = type(space), space.spec
    if key not in _TRAINED:
        _TRAINED[key] = pretrain(space)
    return _TRAINED[key]
