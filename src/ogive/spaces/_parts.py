"""What an architecture is made of, part by part: the unit that evidence is gathered for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces._types import Choice, Genotypes

    Bools = NDArray[np.bool_]


class Parts:
    """Parts of the architectures of a `Space`; a mixin that needs nothing but its choices.

    A part is an option that an architecture can have. Most choices take one option and each is a part. A group of a
    drawn template that takes several has an option for every allowed set, and its parts are the members.
    """

    if TYPE_CHECKING:
        choices: tuple[Choice, ...]

        @cached_property
        def cardinalities(self) -> NDArray[np.int64]: ...

    @property
    def part_names(self) -> tuple[tuple[str, str], ...]:
        """Choice and option of every part, ordered by choice."""
        return tuple((choice.name, option) for choice in self.choices for option in choice.options)

    @cached_property
    def part_sets(self) -> tuple[Bools, ...]:
        """For every choice, which of its parts each of its options holds, ``(options, parts of the choice)``."""
        return tuple(np.eye(int(k), dtype=np.bool_) for k in self.cardinalities)

    @cached_property
    def part_choices(self) -> NDArray[np.intp]:
        """Number of the choice that every part belongs to, ``(n_parts,)``."""
        return np.repeat(np.arange(len(self.choices)), [sets.shape[1] for sets in self.part_sets])

    def parts(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which parts each architecture has, ``(n, n_parts)``; dead parts of a drawing do not count."""
        g: NDArray[np.integer[Any]] = np.asarray(genotypes)
        # One step a choice: choices have tables of different sizes.
        return np.hstack([sets[codes] for sets, codes in zip(self.part_sets, g.T, strict=True)])

    def by_part(self, table: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return a table of counts by option, ``(n_choices, max options)``, added up for each part, ``(n_parts,)``."""
        rows = zip(self.part_sets, table, strict=True)
        return np.concatenate([row[: len(sets)].astype(np.int64) @ sets for sets, row in rows])
