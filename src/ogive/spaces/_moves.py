"""How a search moves: sample, mutate, cross over, list neighbours, list everything; always inside the restriction."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ogive._errors import InfeasibleError, InputError
from ogive.spaces._restriction import Restriction, Tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ogive.spaces._types import Genotypes

_MAX_DRAWS = 1000
_MAX_ENUMERATE = 10_000_000
_MAX_LISTED = 100_000
_NO_ROWS = np.empty(0, dtype=np.intp)


class Moves:
    """The moves of a `Space`; a mixin that needs nothing but its choices, restriction and validity rule."""

    if TYPE_CHECKING:
        name: ClassVar[str]

        @property
        def n_choices(self) -> int: ...
        @cached_property
        def cardinalities(self) -> NDArray[np.int64]: ...
        @cached_property
        def dtype(self) -> np.dtype[Any]: ...
        @cached_property
        def restriction(self) -> Restriction: ...
        @property
        def _whole_box(self) -> bool: ...
        def valid(self, genotypes: Genotypes) -> NDArray[np.bool_]: ...
        def permits(self, genotypes: Genotypes) -> NDArray[np.bool_]: ...

    @cached_property
    def _tables(self) -> Tables:
        return Tables.of(self.restriction, self.cardinalities, self.dtype)

    def sample(self, n: int, rng: np.random.Generator) -> Genotypes:
        """Draw `n` valid genotypes inside the restriction, each option with its weight, shape ``(n, n_choices)``.

        Raises
        ------
        InfeasibleError
            If no valid genotype turns up within a bounded number of draws, nor in a list of all candidates where
            there are few.
        """
        out = self._draw(n, rng)
        rare = self._redraw(out, lambda rows: self._draw(rows.size, rng))
        if rare.size:
            out[rare] = self._draw_listed(rare.size, rng)
        return out

    def _draw_listed(self, n: int, rng: np.random.Generator) -> Genotypes:
        """Draw from the list of all valid genotypes, for rules that hardly any draw meets."""
        few = math.prod(self._tables.count.tolist()) <= _MAX_LISTED
        rows = self.enumerate() if few else np.empty((0, self.n_choices), dtype=self.dtype)
        if not len(rows):
            raise InfeasibleError(
                f"no valid architecture of space '{self.name}' found inside the restriction; lock or exclude less"
            )
        weight = np.log(self.restriction.weights[self._tables.columns, rows]).sum(axis=1)
        share = np.exp(weight - weight.max())
        return np.asarray(rows[rng.choice(len(rows), size=n, p=share / share.sum())])

    def _draw(self, n: int, rng: np.random.Generator) -> Genotypes:
        t, size = self._tables, (n, self.n_choices)
        if t.cumulative is not None:
            u = rng.random(size)
            at = np.zeros(size, dtype=self.dtype)
            # Few options and many rows: one pass an option is faster than a comparison along a third axis.
            for bound in t.cumulative.T[:-1]:
                at += u >= bound
        elif t.radix is not None:
            at = rng.integers(0, t.radix, size=size, dtype=self.dtype)
        else:
            at = (rng.random(size) * t.count).astype(self.dtype)
        return t.options[t.columns, at] if t.restricted else at

    def _redraw(self, out: Genotypes, draw: Callable[[NDArray[np.intp]], Genotypes]) -> NDArray[np.intp]:
        """Draw the invalid rows of `out` again, in place, a bounded number of times; return those still invalid."""
        if self._whole_box:
            return _NO_ROWS
        bad = np.flatnonzero(~self.valid(out))
        for _ in range(_MAX_DRAWS):
            if not bad.size:
                break
            out[bad] = draw(bad)
            bad = bad[~self.valid(out[bad])]
        return bad

    def mutate(self, genotypes: Genotypes, rng: np.random.Generator, changes: int = 1) -> Genotypes:
        """Return children that differ from their parents in exactly `changes` choices, where the space allows it.

        The choices are drawn uniformly among those with at least two allowed options, the new option among the other
        allowed ones by weight. A parent outside the restriction is first moved into it. A parent that has no valid
        child within a bounded number of draws is returned unchanged.

        Parameters
        ----------
        genotypes : ndarray of int, (n, n_choices)
        rng : Generator
        changes : int
            Number of choices to change in each, at least 1.

        Returns
        -------
        ndarray of int, (n, n_choices)

        Raises
        ------
        InputError
            If `changes` is less than 1.
        """
        if changes < 1:
            raise InputError(f"a mutation changes at least 1 choice, not {changes}")
        parents = self._into_restriction(genotypes, rng)
        children = self._mutated(parents, rng, changes)
        hopeless = self._redraw(children, lambda rows: self._mutated(parents[rows], rng, changes))
        if hopeless.size:
            children[hopeless] = parents[hopeless]
        return children

    def _mutated(self, parents: Genotypes, rng: np.random.Generator, changes: int) -> Genotypes:
        t, n = self._tables, len(parents)
        children = parents.copy()
        if not t.mutable.size:
            return children
        flat, start = children.reshape(-1), np.arange(0, children.size, self.n_choices)
        if changes == 1:
            chosen = t.mutable[rng.integers(0, t.mutable.size, size=(1, n))]
        else:
            chosen = t.mutable[rng.random((n, t.mutable.size)).argsort(axis=1)[:, :changes].T]
        for column in chosen:
            place, u = start + column, rng.random(n)
            now = t.rank[column, flat[place]]
            if t.others is None:
                at = (u * (t.count[column] - 1)).astype(np.intp)
                at += at >= now
            else:
                at = (u[:, None] >= t.others[column, now]).sum(axis=1)
            flat[place] = t.options[column, at]
        return children

    def _into_restriction(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        parents = np.array(genotypes, dtype=self.dtype)
        if parents.ndim != 2:
            raise InputError(f"moves take a batch of shape (n, {self.n_choices}), not {parents.shape}")
        if not self._tables.restricted:
            return parents
        outside = ~self.restriction.allowed[self._tables.columns, parents]
        if outside.any():
            rows = np.flatnonzero(outside.any(axis=1))
            parents[outside] = self._draw(len(parents), rng)[outside]
            bad = rows[~self.valid(parents[rows])]
            if bad.size:
                parents[bad] = self.sample(bad.size, rng)
        return parents

    def crossover(self, a: Genotypes, b: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Return children that take each choice from `a` or from `b` with equal chance.

        A pair without a valid child within a bounded number of draws gives `a`; choices outside the restriction are
        drawn anew.

        Parameters
        ----------
        a, b : ndarray of int, (n, n_choices)
        rng : Generator

        Returns
        -------
        ndarray of int, (n, n_choices)
        """
        a, b = self._into_restriction(a, rng), self._into_restriction(b, rng)

        def mixed(a: Genotypes, b: Genotypes) -> Genotypes:
            return np.where(rng.integers(0, 2, size=a.shape, dtype=np.bool_), a, b)

        children = mixed(a, b)
        hopeless = self._redraw(children, lambda rows: mixed(a[rows], b[rows]))
        if hopeless.size:
            children[hopeless] = a[hopeless]
        return children

    def neighbours(self, genotype: Genotypes) -> Genotypes:
        """Return all valid genotypes inside the restriction that differ from `genotype` in one choice.

        Parameters
        ----------
        genotype : ndarray of int, (n_choices,)

        Returns
        -------
        ndarray of int, (m, n_choices)
            Ordered by choice, then option.
        """
        allowed = self.restriction.allowed.copy()
        allowed[self._tables.columns, genotype] = False
        columns, options = np.nonzero(allowed)
        out = np.repeat(np.asarray(genotype, dtype=self.dtype)[None], len(columns), axis=0)
        out[np.arange(len(columns)), columns] = options
        return out[self.valid(out) & self.permits(out)]

    def enumerate(self) -> Genotypes:
        """Return every valid genotype inside the restriction, in lexicographic order, shape ``(m, n_choices)``.

        Raises
        ------
        InputError
            If the restricted box has more than ten million points.
        """
        t = self._tables
        total = math.prod(int(c) for c in t.count)
        if total > _MAX_ENUMERATE:
            raise InputError(
                f"space '{self.name}' has {total:.3g} candidates, too many to list; sample it or restrict it"
            )
        numbers, out = np.arange(total), np.empty((total, self.n_choices), dtype=self.dtype)
        # From the last choice, which varies fastest, to the first: there are few choices and many rows.
        for column in range(self.n_choices - 1, -1, -1):
            numbers, at = np.divmod(numbers, t.count[column])
            out[:, column] = t.options[column, at]
        return out if self._whole_box else out[self.valid(out)]
