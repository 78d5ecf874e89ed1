"""What a search has looked at and what it has not, and whether it favours some options over their siblings."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space

    Floats = NDArray[np.float64]

_LISTED = 200_000
_SAMPLED = 10_000
_RED = 3.0


@dataclass(frozen=True)
class Coverage:
    """How much of the space a set of architectures covers.

    Attributes
    ----------
    evaluated : int
        Different architectures inside the restriction, in canonical form.
    allowed : float
        Architectures inside the restriction, in canonical form where they are listed.
    log10 : float
        Logarithm of the share evaluated; -inf for none.
    exact : bool
        Whether `allowed` is a count; otherwise it is the size of the box times the share of valid genotypes among
        10,000 random ones, equal architectures counted apart.
    unseen_pairs : int
        Pairs of allowed parts of different choices that have never been together.
    pairs : int
        All such pairs.
    """

    evaluated: int
    allowed: float
    log10: float
    exact: bool
    unseen_pairs: int
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values; an unknown logarithm is None."""
        return asdict(self) | {"log10": self.log10 if math.isfinite(self.log10) else None}


def coverage(space: Space, genotypes: Genotypes) -> Coverage:
    """Return how much of the restricted space some evaluated architectures, ``(n, n_choices)``, cover."""
    inside = space.canonical(np.asarray(genotypes)[space.permits(genotypes)])
    evaluated = len(np.unique(inside, axis=0))
    allowed, exact = _allowed(space)
    together = space.parts(inside).astype(np.int64)
    names = np.arange(together.shape[1])
    usable, choice = np.flatnonzero(allowed_parts(space)), space.part_choices
    first, second = (names[usable][i] for i in np.triu_indices(len(usable), 1))
    apart = choice[first] != choice[second]
    seen = (together.T @ together)[first[apart], second[apart]] > 0
    share = math.log10(evaluated / allowed) if evaluated else -math.inf
    return Coverage(evaluated, allowed, share, exact, int((~seen).sum()), int(apart.sum()))


def allowed_parts(space: Space) -> NDArray[np.bool_]:
    """Return which parts an allowed option of their choice holds, ``(n_parts,)``."""
    rows = zip(space.part_sets, space.restriction.allowed, strict=True)
    return np.concatenate([sets[allowed[: len(sets)]].any(axis=0) for sets, allowed in rows])


def _allowed(space: Space) -> tuple[float, bool]:
    box = math.prod(space.restriction.allowed.sum(axis=1).tolist())
    if box <= _LISTED:
        return float(len(np.unique(space.canonical(space.enumerate()), axis=0))), True
    rng = np.random.Generator(np.random.PCG64(0))
    options = [np.flatnonzero(row) for row in space.restriction.allowed]
    drawn = np.stack([rng.choice(codes, _SAMPLED) for codes in options], axis=1).astype(space.dtype)
    return box * max(float(space.valid(drawn).mean()), 1 / _SAMPLED), False


@dataclass(frozen=True)
class Bias:
    """How unevenly a search treats the options of one choice.

    Attributes
    ----------
    choice : str
    share : dict of option to float
        How often each part was proposed, relative to uniform draws among the allowed options; 1 is even.
    ratio : float
        Largest share over smallest, infinite where an option was never proposed.
    gini : float
        Gini coefficient of the shares, 0 where they are even.
    red : bool
        Whether the ratio is above 3.
    """

    choice: str
    share: dict[str, float]
    ratio: float
    gini: float
    red: bool

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values; an infinite ratio is None."""
        return asdict(self) | {"ratio": self.ratio if math.isfinite(self.ratio) else None}


def bias(space: Space, counts: NDArray[np.integer[Any]]) -> list[Bias]:
    """Return how unevenly the options of each choice were treated, where at least two parts are allowed.

    Parameters
    ----------
    space : Space
        What a person has locked or excluded does not count.
    counts : ndarray of int, (n_parts,)
        How often each part was proposed, ``space.parts(genotypes).sum(axis=0)``, or the gradients it has had,
        ``space.by_part(supernet.exposure)``.
    """
    found = []
    ends = np.searchsorted(space.part_choices, np.arange(1, space.n_choices))
    tables = zip(space.choices, space.part_sets, space.restriction.allowed, np.split(counts, ends), strict=True)
    # One step a choice: choices have parts of different number.
    for j, (choice, sets, allowed, count) in enumerate(tables):
        expected = sets[allowed[: len(sets)]].mean(axis=0)
        usable = np.flatnonzero(expected > 0)
        total = int(count[usable].sum())
        if len(usable) < 2 or not total:
            continue
        shares = count[usable] / total / (expected[usable] / expected[usable].sum())
        start = int(np.searchsorted(space.part_choices, j))
        named = {space.part_names[start + i][1]: float(s) for i, s in zip(usable.tolist(), shares, strict=True)}
        least = float(shares.min())
        ratio = float(shares.max()) / least if least else math.inf
        gini = float(np.abs(shares[:, None] - shares).sum() / (2 * len(shares) * shares.sum()))
        found.append(Bias(choice.name, named, ratio, gini, ratio > _RED))
    return found
