"""What can be designed: a box of named integer choices plus a validity rule.

Every operation works on a batch of genotypes, an integer array of shape ``(n, n_choices)``; one architecture is a
batch of one. A space is immutable: `Space.restrict` returns a copy whose every operation stays inside the restriction.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, overload

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InfeasibleError, InputError, UnknownNameError
from ogive._registry import Registry, parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import nn

Genotypes = NDArray[np.integer[Any]]
"""Integer array, ``(n, n_choices)`` for a batch, ``(n_choices,)`` for one architecture."""

_MAX_DRAWS = 1000
_MAX_ENUMERATE = 10_000_000


class TaskShape(Protocol):
    """What a network needs to know of a task: no data, only shapes."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example without the batch axis, ``(C, H, W)`` for images."""

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the head, the classes of a classification task."""


@dataclass(frozen=True)
class Shape:
    """A task reduced to its shapes, for counting and building without data."""

    input_shape: tuple[int, ...]
    n_outputs: int


@dataclass(frozen=True)
class Choice:
    """One named decision and its options, in the order of their integer codes."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Graphs:
    """A batch of labelled directed acyclic graphs, zero-padded to the largest.

    Attributes
    ----------
    ops : ndarray of int8, (n, v)
        Index into `vocabulary` of every vertex, in topological order; -1 is padding.
    adjacency : ndarray of bool, (n, v, v)
        ``adjacency[i, s, t]`` is true where graph i has an edge from s to t; strictly upper triangular.
    vocabulary : tuple of str
        Operation names; the first is "input", the last "output".
    """

    ops: NDArray[np.int8]
    adjacency: NDArray[np.bool_]
    vocabulary: tuple[str, ...]


@dataclass(frozen=True)
class Restriction:
    """Which options a search may use, and how it prefers them.

    Attributes
    ----------
    allowed : ndarray of bool, (n_choices, max options)
        False also where a choice has fewer options than the widest one.
    weights : ndarray of float64, (n_choices, max options)
        Relative sampling weight of every option; zero exactly where not allowed.
    """

    allowed: NDArray[np.bool_]
    weights: NDArray[np.float64]
    uniform: bool = field(default=True)


class Space(ABC):
    """A search space. Subclasses give `choices`, `parse_many`, `format_many`; the rest has working defaults.

    Attributes
    ----------
    name : str
        Registered name.
    choices : tuple of Choice
        The decisions, in genotype order.
    reference : str
        The publication that defines the space.
    """

    name: ClassVar[str]
    reference: ClassVar[str] = ""
    buildable: ClassVar[bool] = False
    choices: tuple[Choice, ...]

    # ---------------------------------------------------------------- size and codes

    @property
    def spec(self) -> str:
        """The text that `get_space` turns into this space again (without restrictions)."""
        return self.name

    @property
    def n_choices(self) -> int:
        """Number of choices, the length of a genotype."""
        return len(self.choices)

    @cached_property
    def cardinalities(self) -> NDArray[np.int64]:
        """Number of options of every choice, ``(n_choices,)``."""
        return np.array([len(c.options) for c in self.choices], dtype=np.int64)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Integer type of genotypes: uint8 where every choice has at most 256 options, else int16."""
        return np.dtype(np.uint8 if self.cardinalities.max() <= 256 else np.int16)

    @property
    def box(self) -> int:
        """Number of points of the whole box, valid or not, ignoring restrictions."""
        return math.prod(len(c.options) for c in self.choices)

    @cached_property
    def size(self) -> int:
        """Number of valid architectures, ignoring restrictions."""
        return self.box

    @cached_property
    def _radix(self) -> NDArray[np.int64]:
        return np.concatenate([np.cumprod(self.cardinalities[:0:-1])[::-1], [1]]).astype(np.int64)

    def index(self, genotypes: Genotypes) -> NDArray[np.int64]:
        """Return the mixed-radix number of each genotype, first choice slowest, shape ``(n,)``.

        Raises
        ------
        InputError
            If the box has 2**62 points or more, so that numbers would overflow.
        """
        if self.box >= 2**62:
            raise InputError(f"space '{self.name}' is too large to number its architectures")
        return np.asarray(genotypes).astype(np.int64) @ self._radix

    def from_index(self, index: NDArray[np.integer[Any]]) -> Genotypes:
        """Return the genotypes with these mixed-radix numbers; the inverse of `index`."""
        return ((np.asarray(index, dtype=np.int64)[:, None] // self._radix) % self.cardinalities).astype(self.dtype)

    def keys(self, genotypes: Genotypes) -> list[bytes]:
        """Return one hashable key for each genotype; equal keys mean equal rows."""
        rows = np.ascontiguousarray(genotypes, dtype=self.dtype)
        width = rows.shape[1] * rows.dtype.itemsize
        data = rows.tobytes()
        return [data[i : i + width] for i in range(0, len(data), width)]

    # ---------------------------------------------------------------- validity and identity

    def valid(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which genotypes are architectures of the space, shape ``(n,)``; restrictions do not matter here."""
        return np.ones(len(genotypes), dtype=np.bool_)

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return the representative of each genotype's class of architectures that compute the same function.

        The default knows no two genotypes as equal. Idempotent: ``canonical(canonical(g)) == canonical(g)``.
        """
        return np.asarray(genotypes, dtype=self.dtype)

    def check(self, genotypes: Genotypes) -> Genotypes:
        """Return `genotypes` as a batch of the space's integer type, or say what is wrong with them.

        Raises
        ------
        InputError
            If the shape, an option code or the validity rule is broken.
        """
        array = np.atleast_2d(np.asarray(genotypes))
        if array.ndim != 2 or array.shape[1] != self.n_choices:
            raise InputError(
                f"genotypes of space '{self.name}' have shape (n, {self.n_choices}), not {np.shape(genotypes)}"
            )
        if not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"genotypes are integers, not {array.dtype}")
        outside = (array < 0) | (array >= self.cardinalities)
        if outside.any():
            row, col = np.argwhere(outside)[0]
            choice = self.choices[col]
            raise InputError(
                f"genotype {row} gives choice '{choice.name}' option {array[row, col]}; "
                f"it has options 0 to {len(choice.options) - 1}"
            )
        array = array.astype(self.dtype)
        bad = ~self.valid(array)
        if bad.any():
            raise InputError(f"genotype {array[bad][0].tolist()} is not an architecture of space '{self.name}'")
        return array

    # ---------------------------------------------------------------- restrictions

    @cached_property
    def restriction(self) -> Restriction:
        """What the search may use; everything, with equal weight, until `restrict` is called."""
        allowed = np.arange(self.cardinalities.max()) < self.cardinalities[:, None]
        return Restriction(allowed, allowed.astype(np.float64))

    def restrict(
        self,
        *,
        lock: Mapping[str, str] | None = None,
        exclude: Mapping[str, Iterable[str]] | None = None,
        weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Self:
        """Return a copy of the space whose operations stay inside a restriction, on top of the present one.

        Parameters
        ----------
        lock : mapping of choice to option
            The choice takes this option only.
        exclude : mapping of choice to options
            The choice takes none of these.
        weights : mapping of choice to mapping of option to weight
            Relative sampling weights (default 1); zero excludes. They steer `sample` and `mutate`.

        Raises
        ------
        UnknownNameError
            If a choice or option does not exist.
        InputError
            If a choice would have no option left, or a weight is negative or not finite.
        """
        w = self.restriction.weights.copy()
        for name, option in (lock or {}).items():
            row, col = self._locate(name, option)
            kept = w[row, col]
            w[row] = 0.0
            w[row, col] = kept
        for name, options in (exclude or {}).items():
            for option in options:
                w[self._locate(name, option)] = 0.0
        for name, table in (weights or {}).items():
            for option, weight in table.items():
                if not (math.isfinite(weight) and weight >= 0):
                    raise InputError(f"weight {weight} of option '{option}' of choice '{name}' is not >= 0 and finite")
                at = self._locate(name, option)
                w[at] = weight if self.restriction.allowed[at] else 0.0
        allowed = w > 0
        for choice, row in zip(self.choices, allowed, strict=True):
            if not row.any():
                raise InputError(f"choice '{choice.name}' has no option left; free one of {', '.join(choice.options)}")
        other = copy.copy(self)
        for derived in ("restriction", "_tables"):
            other.__dict__.pop(derived, None)
        other.__dict__["restriction"] = Restriction(allowed, w, bool((w[allowed] == 1.0).all()))
        return other

    def free(self) -> Self:
        """Return a copy of the space without any restriction."""
        other = copy.copy(self)
        for derived in ("restriction", "_tables"):
            other.__dict__.pop(derived, None)
        return other

    def permits(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which genotypes lie inside the present restriction, shape ``(n,)``."""
        inside = self.restriction.allowed[np.arange(self.n_choices), genotypes]
        return np.asarray(inside.all(axis=1))

    def _locate(self, choice: str, option: str) -> tuple[int, int]:
        names = [c.name for c in self.choices]
        if choice not in names:
            raise UnknownNameError.of(f"choice of space '{self.name}'", choice, names)
        row = names.index(choice)
        if option not in self.choices[row].options:
            raise UnknownNameError.of(f"option of choice '{choice}'", option, self.choices[row].options)
        return row, self.choices[row].options.index(option)

    @cached_property
    def _tables(self) -> _Tables:
        return _Tables.of(self.restriction)

    # ---------------------------------------------------------------- moves

    def sample(self, n: int, rng: np.random.Generator) -> Genotypes:
        """Draw `n` valid genotypes inside the restriction, each option with its weight, shape ``(n, n_choices)``.

        Raises
        ------
        InfeasibleError
            If no valid genotype turns up within a bounded number of draws.
        """
        out = self._draw(n, rng)
        for _ in range(_MAX_DRAWS):
            bad = np.flatnonzero(~self.valid(out))
            if not bad.size:
                return out
            out[bad] = self._draw(bad.size, rng)
        raise InfeasibleError(f"no valid architecture of space '{self.name}' found inside the restriction")

    def _draw(self, n: int, rng: np.random.Generator) -> Genotypes:
        t = self._tables
        if t.uniform:
            at = rng.integers(0, t.count, size=(n, self.n_choices))
        else:
            u = rng.random((n, self.n_choices, 1))
            at = (u >= t.cumulative).sum(axis=2)
        return t.options[np.arange(self.n_choices), at].astype(self.dtype)

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
            Number of choices to change in each.

        Returns
        -------
        ndarray of int, (n, n_choices)
        """
        parents = self._into_restriction(genotypes, rng)
        children = self._mutated(parents, rng, changes)
        for _ in range(_MAX_DRAWS):
            bad = np.flatnonzero(~self.valid(children))
            if not bad.size:
                return children
            children[bad] = self._mutated(parents[bad], rng, changes)
        bad = np.flatnonzero(~self.valid(children))
        children[bad] = parents[bad]
        return children

    def _mutated(self, parents: Genotypes, rng: np.random.Generator, changes: int) -> Genotypes:
        t = self._tables
        children = parents.copy()
        if not t.mutable.size:
            return children
        n, rows = len(parents), np.arange(len(parents))
        if changes == 1:
            columns = t.mutable[rng.integers(0, t.mutable.size, size=(n, 1))]
        else:
            order = rng.random((n, t.mutable.size)).argsort(axis=1)
            columns = t.mutable[order[:, :changes]]
        for col in columns.T:
            now = t.rank[col, children[rows, col]]
            if t.uniform:
                at = rng.integers(0, t.count[col] - 1)
                at = at + (at >= now)
            else:
                w = t.weights[col]
                w[rows, now] = 0.0
                cumulative = np.cumsum(w, axis=1)
                at = (rng.random((n, 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
            children[rows, col] = t.options[col, at]
        return children

    def _into_restriction(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        parents = np.array(genotypes, dtype=self.dtype)
        columns = np.arange(self.n_choices)
        outside = ~self.restriction.allowed[columns, parents]
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
        children = np.where(rng.random(a.shape) < 0.5, a, b)
        for _ in range(_MAX_DRAWS):
            bad = np.flatnonzero(~self.valid(children))
            if not bad.size:
                return children
            children[bad] = np.where(rng.random((bad.size, self.n_choices)) < 0.5, a[bad], b[bad])
        bad = np.flatnonzero(~self.valid(children))
        children[bad] = a[bad]
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
        allowed[np.arange(self.n_choices), genotype] = False
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
        grid = np.indices(tuple(t.count), dtype=np.int64).reshape(self.n_choices, -1).T
        out = t.options[np.arange(self.n_choices), grid].astype(self.dtype)
        return out[self.valid(out)]

    # ---------------------------------------------------------------- representations

    def encode(self, genotypes: Genotypes, kind: str = "onehot") -> NDArray[np.float32]:
        """Return features of each genotype.

        Parameters
        ----------
        genotypes : ndarray of int, (n, n_choices)
        kind : {"onehot", "ordinal"}
            One column an option, or one column a choice scaled to [0, 1].

        Returns
        -------
        ndarray of float32, (n, d)
        """
        g = np.asarray(genotypes)
        if kind == "ordinal":
            return (g / np.maximum(self.cardinalities - 1, 1)).astype(np.float32)
        if kind != "onehot":
            raise UnknownNameError.of("encoding", kind, ["onehot", "ordinal"])
        out = np.zeros((len(g), int(self.cardinalities.sum())), dtype=np.float32)
        offsets = np.concatenate([[0], np.cumsum(self.cardinalities)[:-1]])
        np.put_along_axis(out, g + offsets, 1.0, axis=1)
        return out

    @overload
    def parse(self, arch: str) -> Genotypes: ...
    @overload
    def parse(self, arch: Sequence[str]) -> Genotypes: ...
    def parse(self, arch: str | Sequence[str]) -> Genotypes:
        """Read arch strings: one string gives one genotype ``(n_choices,)``, a sequence gives a batch.

        Raises
        ------
        ArchStringError
            With the position of the first character that cannot be read, and what would be legal there.
        """
        if isinstance(arch, str):
            return np.asarray(self.parse_many([arch])[0])
        return self.parse_many(list(arch))

    @overload
    def format(self, genotypes: Genotypes) -> Any: ...
    @overload
    def format(self, genotypes: Sequence[int]) -> str: ...
    def format(self, genotypes: Genotypes | Sequence[int]) -> Any:
        """Write arch strings: one genotype gives one string, a batch gives a list of them."""
        array = np.asarray(genotypes)
        return self.format_many(array[None])[0] if array.ndim == 1 else self.format_many(array)

    @abstractmethod
    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read many arch strings, shape ``(n, n_choices)``; see `parse`."""

    @abstractmethod
    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write the arch string of every genotype; the inverse of `parse_many`."""

    def graph(self, genotypes: Genotypes) -> Graphs:
        """Return each architecture as a labelled graph: operations and adjacency, batched.

        The default is a chain of the chosen options between input and output.
        """
        g = np.asarray(genotypes)
        words = sorted({o for c in self.choices for o in c.options})
        vocabulary = ("input", *words, "output")
        codes = np.zeros((self.n_choices, int(self.cardinalities.max())), dtype=np.int8)
        for row, choice in enumerate(self.choices):
            codes[row, : len(choice.options)] = [vocabulary.index(o) for o in choice.options]
        n, v = len(g), self.n_choices + 2
        ops = np.zeros((n, v), dtype=np.int8)
        ops[:, 1:-1] = codes[np.arange(self.n_choices), g]
        ops[:, -1] = len(vocabulary) - 1
        adjacency = np.broadcast_to(np.eye(v, k=1, dtype=np.bool_), (n, v, v)).copy()
        return Graphs(ops, adjacency, vocabulary)

    # ---------------------------------------------------------------- networks

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the network of one genotype for `task`, a plain module with freshly initialised weights.

        Raises
        ------
        InputError
            If the space only names architectures and cannot build them.
        """
        raise InputError(f"space '{self.name}' cannot build networks; it only names architectures")

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]] | None:
        """Return exact costs of every genotype in closed form, or None where the space has no formula.

        Returns
        -------
        mapping of str to ndarray of int64, (n,)
            ``params`` (trainable parameters), ``macs`` (multiply-accumulates of convolutions and linear layers for
            one example), ``relus`` (ReLU evaluations for one example), ``depth`` (weighted layers on the longest
            path from input to output, 0 where nothing is connected). Lower is cheaper. They equal what
            `ogive.metrics.counts` measures on the built network.
        """
        return None


@dataclass(frozen=True)
class _Tables:
    """A restriction laid out for vectorised drawing: allowed options moved to the front of each row."""

    count: NDArray[np.int64]
    options: NDArray[np.int64]
    rank: NDArray[np.int64]
    weights: NDArray[np.float64]
    cumulative: NDArray[np.float64]
    mutable: NDArray[np.int64]
    uniform: bool

    @classmethod
    def of(cls, r: Restriction) -> _Tables:
        options = np.argsort(~r.allowed, axis=1, kind="stable")
        count = r.allowed.sum(axis=1)
        weights = np.take_along_axis(r.weights, options, axis=1)
        # The last allowed option's bound is infinite: rounding in the sum must never select beyond it.
        cumulative = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        cumulative[np.arange(cumulative.shape[1]) >= count[:, None] - 1] = np.inf
        return cls(
            count=count,
            options=options,
            rank=np.argsort(options, axis=1),
            weights=weights,
            cumulative=cumulative,
            mutable=np.flatnonzero(count > 1),
            uniform=r.uniform,
        )


SPACES: Registry[Callable[..., Space]] = Registry(
    "space",
    {
        "nasbench201": "ogive.spaces.nasbench201",
        "transnas_micro": "ogive.spaces.transnas",
        "transnas_macro": "ogive.spaces.transnas",
    },
)


def get_space(spec: str | Space) -> Space:
    """Return the space written as ``name`` or ``name:option=value,...``; a space is returned as it is.

    Examples
    --------
    >>> get_space("nasbench201:C=8,N=1").size
    15625

    Raises
    ------
    UnknownNameError
        If no space has this name.
    InputError
        If an option does not exist or has a wrong value.
    """
    if isinstance(spec, Space):
        return spec
    name, options = parse_spec(spec)
    factory = SPACES.get(name)
    try:
        return factory(**options)
    except TypeError as error:
        raise InputError(f"space '{spec}': {error}") from error
