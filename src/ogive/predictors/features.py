"""Features on a common scale, for models that measure distances between architectures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import InputError
from ogive.spaces.paths import Layout, functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.predictors.base import Floats
    from ogive.predictors.graph_autoencoder import Embedding
    from ogive.spaces.base import Genotypes, Space

_REFERENCE = 1000
_DISCOUNT = 0.5
_LEARNED = "embedding:"


class Features:
    """An encoding of a space, scaled by a fixed sample of it, whatever the restriction.

    Parameters
    ----------
    space : Space
    encoding : str
        As in `Space.encode`. "functional" gives two groups. The paths: ``log(1 + count) / 2**length``, all divided by
        one number, because a z-score would let the rarest, longest paths decide every distance. The counts: z-scores
        of the counts and of the logarithm of the kernel areas. Any other encoding is one group of z-scores;
        "embedding:FOLDER" are the vectors of the embedding that ``ogive embed train`` wrote there.

    Attributes
    ----------
    groups : ndarray of int, (d,)
        Group of every feature, for the length scales of a Gaussian process.

    Raises
    ------
    InputError
        If the space has no such encoding, or the embedding is of another space.
    StorageError
        If the folder holds no embedding.
    """

    def __init__(self, space: Space, encoding: str = "functional") -> None:
        self._space, self._encoding = space.free(), encoding
        self._embedding: Embedding | None = None
        if encoding.startswith(_LEARNED):
            self._embedding = of_space(load_embedding(encoding.removeprefix(_LEARNED)), self._space)
        self._discount: NDArray[np.float64] | None = None
        if encoding == "functional" and not (layout := Layout.of(self._space)).chain:
            lengths = np.repeat(np.arange(layout.longest + 1), np.diff(layout.starts))
            self._discount = np.asarray(_DISCOUNT**lengths, dtype=np.float64)
        sample = self._raw(self._space.sample(_REFERENCE, np.random.default_rng(0)))
        self._centre, self._scale, groups = [], [], []
        for number, part in enumerate(sample):
            spread = part.std(axis=0)
            if number == 0 and encoding == "functional":
                spread = np.full(part.shape[1], np.sqrt((spread**2).mean()))
            self._centre.append(part.mean(axis=0))
            self._scale.append(np.where(spread > 1e-9, spread, 1.0))
            groups += [number] * part.shape[1]
        self.groups = np.array(groups)

    def _raw(self, genotypes: Genotypes) -> list[Floats]:
        if self._embedding is not None:
            return [self._embedding.vectors(genotypes).astype(np.float64)]
        if self._encoding != "functional":
            return [self._space.encode(genotypes, self._encoding).astype(np.float64)]
        paths, counts = (part.astype(np.float64) for part in functional(self._space, genotypes))
        if self._discount is not None:
            paths = np.log1p(paths) * self._discount
        return [paths, np.hstack([counts, np.log1p(counts[:, -2:-1])])]

    def __call__(self, genotypes: Genotypes) -> Floats:
        """Return the features of each genotype, ``(n, d)``."""
        parts = zip(self._raw(genotypes), self._centre, self._scale, strict=True)
        return np.hstack([(part - centre) / scale for part, centre, scale in parts])


def load_embedding(folder: str | Path) -> Embedding:
    """Read an embedding, once for all models of the process, because its vectors cost seconds.

    Raises
    ------
    StorageError
        If the folder holds none.
    """
    folder = Path(folder)
    # Trained anew, it is read anew.
    return _loaded(folder, max((file.stat().st_mtime_ns for file in folder.glob("*")), default=0))


@lru_cache(maxsize=8)
def _loaded(folder: Path, _: int) -> Embedding:
    from ogive.predictors.graph_autoencoder import Embedding

    return Embedding.load(folder)


def of_space(embedding: Embedding, space: Space) -> Embedding:
    """Return the embedding.

    Raises
    ------
    InputError
        If it is of another space.
    """
    held = embedding.space
    # Not the specification: the width and depth of the networks are options of the same space of cells.
    if (held.name, held.choices) != (space.name, space.choices):
        raise InputError(
            f"the embedding is of space '{held.spec}', not '{space.spec}'; train one with: "
            f"ogive embed train --space {space.spec}"
        )
    return embedding
