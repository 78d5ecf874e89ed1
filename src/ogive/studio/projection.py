"""Where candidates lie on the map: places in the plane that say how alike they are.

The axes come from the sampling design - what the space draws when nobody restricts it - and not from what a search
found. So a candidate that arrives moves no other one, and neither does a lock; only another drawing is another map.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np

from ogive._errors import UnknownNameError
from ogive.studio.graph import parts, shown_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.spaces.base import Space
    from ogive.studio.reading import Reading

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

_DRAWS = 4096
_LANDMARKS = 192
_KINDS = ("pca", "mds")
_TIE = 0.7
"""Directions with this share of the variance of the best one left count as equally good: the draws hardly tell them
apart, and one of a choice with an option more is among them."""
_FLAT = 1e-9
"""Eigenvalue for each landmark below which an axis has no length."""

_BATCH = 4096
_DIGITS = 5


class Principal(NamedTuple):
    """Principal components of parts (Pearson, Philosophical Magazine 1901).

    Attributes
    ----------
    mean : ndarray of float, (n_parts,)
    axes : ndarray of float, (n_parts, 2)
        Orthonormal columns.
    share : list of float
        Share of the design's variance along each axis.
    """

    mean: Floats
    axes: Floats
    share: list[float]

    @classmethod
    def of(cls, design: Bools, names: Sequence[str]) -> Principal:
        """Find the axes of a design.

        Where groups are alike, many directions explain the same. Those nearest to two that are made from the names of
        the parts are taken then, so that an edit of the drawing turns the map no more than it must.
        """
        centred = design - design.mean(axis=0)
        variances, vectors = np.linalg.eigh(centred.T @ centred / len(design))
        axes = np.zeros((len(names), 2))
        for i, seed in enumerate(np.array([_numbers(name) for name in names]).T[: len(variances)]):
            alike = vectors[:, variances >= _TIE * variances[-1 - i]]
            alike = alike - axes @ (axes.T @ alike)
            direction = alike @ (alike.T @ seed)
            axes[:, i] = direction / max(float(np.linalg.norm(direction)), 1e-12)
        along = ((centred @ axes) ** 2).mean(axis=0) / max(float(variances.sum()), 1e-12)
        return cls(design.mean(axis=0), axes, along.tolist())

    def place(self, rows: Bools) -> Floats:
        """Return the places, ``(n, 2)``, of architectures with these parts, ``(n, n_parts)``."""
        return np.asarray((rows - self.mean) @ self.axes)


class Scaled(NamedTuple):
    """Classical scaling of landmarks, and of everything else by its distances to them.

    The distance of two architectures is the share of the parts of either that the other lacks (Jaccard). Landmarks are
    placed by Torgerson's scaling (Psychometrika 1952), all others by the linear map of de Silva and Tenenbaum ("Sparse
    multidimensional scaling using landmark points", 2004), which gives a landmark the place it has.

    Attributes
    ----------
    landmarks : ndarray of bool, (n_landmarks, n_parts)
    means : ndarray of float, (n_landmarks,)
        Mean squared distance of each landmark to all of them.
    inverse : ndarray of float, (n_landmarks, 2)
        Eigenvectors of the centred squared distances, each over the root of its eigenvalue.
    share : list of float
        Share of each axis in the sum of the positive eigenvalues.
    """

    landmarks: Bools
    means: Floats
    inverse: Floats
    share: list[float]

    @classmethod
    def of(cls, landmarks: Bools) -> Scaled:
        """Place the landmarks."""
        squares = jaccard(landmarks, landmarks) ** 2
        means = squares.mean(axis=0)
        values, vectors = np.linalg.eigh((means + means[:, None] - means.mean() - squares) / 2)
        positive = np.where(values > _FLAT * len(values), values, np.inf)[:-3:-1]
        inverse = np.zeros((len(landmarks), 2))
        inverse[:, : len(positive)] = vectors[:, :-3:-1] / np.sqrt(positive)
        # A vector and its opposite are as good: the first landmark that an axis moves lies on its right side.
        inverse *= np.where(inverse[np.abs(inverse).argmax(axis=0), [0, 1]] < 0, -1, 1)
        share = np.where(np.isfinite(positive), positive, 0) / max(float(values.clip(0).sum()), 1e-12)
        return cls(landmarks, means, inverse, share.tolist())

    def place(self, rows: Bools) -> Floats:
        """Return the places, ``(n, 2)``, of architectures with these parts, ``(n, n_parts)``."""
        return np.asarray((self.means - jaccard(rows, self.landmarks) ** 2) @ self.inverse / 2)


def jaccard(a: Bools, b: Bools) -> Floats:
    """Return for each row of `a` and of `b` the share of the parts of either that they have not in common.

    Two rows without any part are equal. Shape ``(len(a), len(b))``.
    """
    both = a.astype(np.float64) @ b.T.astype(np.float64)
    either = a.sum(axis=1)[:, None] + b.sum(axis=1) - both
    return np.asarray(1 - np.divide(both, either, out=np.ones_like(both), where=either > 0))


class Chart(NamedTuple):
    """A projection of a space.

    Attributes
    ----------
    axes : Principal or Scaled
    basis : int
        Equal for equal axes.
    extent : list of list of float
        The least and the greatest place along each axis that the design takes.
    """

    axes: Principal | Scaled
    basis: int
    extent: list[list[float]]


@lru_cache(maxsize=8)
def projection(space: Space, kind: str) -> Chart:
    """Return the projection of a space, whatever it is restricted to.

    Parameters
    ----------
    space : Space
    kind : {"pca", "mds"}

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    """
    if kind not in _KINDS:
        raise UnknownNameError.of("projection", kind, _KINDS)
    free = space.free()
    names = shown_parts(free)[0]
    design = parts(free, free.sample(_DRAWS, np.random.default_rng(0)))
    axes = Principal.of(design, names) if kind == "pca" else Scaled.of(np.unique(design[:_LANDMARKS], axis=0))
    places = axes.place(design)
    basis = crc32("\n".join([kind, *names]).encode() + np.packbits(design).tobytes())
    return Chart(axes, basis, np.array([places.min(axis=0), places.max(axis=0)]).T.round(_DIGITS).tolist())


def projected(reading: Reading, kind: str = "pca", after: int = 0) -> dict[str, Any]:
    """Return the places of the candidates that changed after an event.

    Parts that the present drawing has no more do not count.

    Returns
    -------
    dict
        ``kind``, ``share``, ``basis`` (equal for places on the same map), ``extent``, ``seq``, ``ids``, ``x``, ``y``.
    """
    space = reading.problem.space
    chart = projection(space, kind)
    at = {name: i for i, name in enumerate(shown_parts(space)[0])}
    columns = reading.columns.since(after)
    local = np.array([at.get(name, -1) for name in columns["part_names"]], dtype=np.intp)
    used = columns["parts"]
    places = [chart.axes.place(_rows(used[i : i + _BATCH], local, len(at))) for i in range(0, len(used), _BATCH)]
    x, y = np.vstack([np.zeros((0, 2)), *places]).round(_DIGITS).T.tolist()
    about = {"kind": kind, "share": chart.axes.share, "basis": chart.basis, "extent": chart.extent}
    return about | {"seq": reading.seq, "ids": columns["ids"], "x": x, "y": y}


def _rows(used: Sequence[Sequence[int]], local: NDArray[np.intp], n: int) -> Bools:
    """Return lists of parts as rows of a table."""
    row = np.repeat(np.arange(len(used)), [len(some) for some in used])
    column = local[np.fromiter(chain.from_iterable(used), dtype=np.intp)]
    table = np.zeros((len(used), n), dtype=np.bool_)
    table[row[column >= 0], column[column >= 0]] = True
    return table


def _numbers(name: str) -> tuple[float, float]:
    """Return two numbers between -1 and 1 that are always the same for a name."""
    a, b = np.frombuffer(blake2b(name.encode(), digest_size=8).digest(), dtype="<u4") / 2**31 - 1
    return float(a), float(b)
