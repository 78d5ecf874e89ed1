"""What can be designed: a box of named integer choices plus a validity rule.

Every operation works on a batch of genotypes, an integer array of shape ``(n, n_choices)``; one architecture is a
batch of one. A space is immutable: `Space.restrict` returns a copy whose every operation stays inside the restriction.
"""

from __future__ import annotations

import copy
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

import numpy as np

from ogive._errors import ArchStringError, InputError, UnknownNameError
from ogive._registry import Registry, parse_spec
from ogive.spaces._moves import Moves
from ogive.spaces._networks import Networks
from ogive.spaces._parts import Parts
from ogive.spaces._restriction import Restriction
from ogive.spaces._strings import SEPARATOR, parse_options
from ogive.spaces._types import Choice, Genotypes, Graphs, Shape, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
__all__ = [
    "SPACES",
    "Choice",
    "Genotypes",
    "Graphs",
    "Restriction",
    "Shape",
    "Space",
    "TaskShape",
    "get_space",
    "image_shape",
]


class Space(Networks, Parts, Moves):
    """A search space. A subclass gives `name` and `choices`; the rest has working defaults.

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
        """Number of valid architectures, ignoring restrictions; a space with a rule of its own states it."""
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
        """Return the genotypes with these mixed-radix numbers; the inverse of `index`.

        Raises
        ------
        InputError
            If a number lies outside the box.
        """
        numbers = np.asarray(index, dtype=np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.box:
            raise InputError(f"architectures of space '{self.name}' are numbered 0 to {self.box - 1}")
        return ((numbers[:, None] // self._radix) % self.cardinalities).astype(self.dtype)

    def keys(self, genotypes: Genotypes) -> list[bytes]:
        """Return one hashable key for each genotype; equal keys mean equal rows."""
        rows = np.ascontiguousarray(genotypes, dtype=self.dtype)
        width = rows.shape[1] * rows.dtype.itemsize
        data = rows.tobytes()
        return [data[i : i + width] for i in range(0, len(data), width)]

    # ---------------------------------------------------------------- validity and identity

    @property
    def _whole_box(self) -> bool:
        """Whether every point of the box is an architecture, so that moves need not check."""
        return type(self).valid is Space.valid

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
            The choice takes none of these; one option may stand without a list.
        weights : mapping of choice to mapping of option to weight
            Relative sampling weights (default 1); zero excludes. They steer `sample` and `mutate`. An option that is
            already locked away or excluded stays so.

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
            for option in [options] if isinstance(options, str) else options:
                w[self._locate(name, option)] = 0.0
        for name, table in (weights or {}).items():
            for option, weight in table.items():
                if not (math.isfinite(weight) and weight >= 0):
                    raise InputError(f"weight {weight} of option '{option}' of choice '{name}' is not >= 0 and finite")
                at = self._locate(name, option)
                w[at] = weight if w[at] > 0 else 0.0
        allowed = w > 0
        for choice, row in zip(self.choices, allowed, strict=True):
            if not row.any():
                raise InputError(f"choice '{choice.name}' has no option left; free one of {', '.join(choice.options)}")
        uniform = bool((allowed == (w == w.max(axis=1, keepdims=True))).all())
        other = self.free()
        other.__dict__["restriction"] = Restriction(allowed, w, uniform)
        return other

    def free(self) -> Self:
        """Return a copy of the space without any restriction."""
        other = copy.copy(self)
        for derived in ("restriction", "_tables"):
            other.__dict__.pop(derived, None)
        return other

    def permits(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which genotypes lie inside the present restriction, shape ``(n,)``."""
        inside = self.restriction.allowed[self._tables.columns, genotypes]
        return np.asarray(inside.all(axis=1))

    def _locate(self, choice: str, option: str) -> tuple[int, int]:
        names = [c.name for c in self.choices]
        if choice not in names:
            raise UnknownNameError.of(f"choice of space '{self.name}'", choice, names)
        row = names.index(choice)
        if option not in self.choices[row].options:
            raise UnknownNameError.of(f"option of choice '{choice}'", option, self.choices[row].options)
        return row, self.choices[row].options.index(option)

    # ---------------------------------------------------------------- representations

    def encode(self, genotypes: Genotypes, kind: str = "onehot") -> NDArray[np.float32]:
        """Return features of each genotype.

        Parameters
        ----------
        genotypes : ndarray of int, (n, n_choices)
        kind : {"onehot", "ordinal", "functional", "graph"}
            One column an option; one column a choice scaled to [0, 1]; what the architecture computes, see
            `ogive.spaces.paths`; or its graph, the codes of the vertices and then the adjacency, row by row.

        Returns
        -------
        ndarray of float32, (n, d)
        """
        g = np.asarray(genotypes)
        if kind == "ordinal":
            return (g / np.maximum(self.cardinalities - 1, 1)).astype(np.float32)
        if kind == "functional":
            from ogive.spaces.paths import functional

            return np.hstack(functional(self, g))
        if kind == "graph":
            graphs = self.graph(g)
            return np.hstack([graphs.ops, graphs.adjacency.reshape(len(g), -1)]).astype(np.float32)
        if kind != "onehot":
            raise UnknownNameError.of("encoding", kind, ["onehot", "ordinal", "functional", "graph"])
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
        InputError
            If something in the sequence is no text, such as a missing value of a table.
        """
        if isinstance(arch, str):
            return np.asarray(self.parse_many([arch])[0])
        archs = list(arch)
        for row, value in enumerate(archs):
            if not isinstance(value, str):
                raise InputError(f"architecture string {row} is {value!r}, not text")
        return self.parse_many(archs)

    @overload
    def format(self, genotypes: Genotypes) -> Any: ...
    @overload
    def format(self, genotypes: Sequence[int]) -> str: ...
    def format(self, genotypes: Genotypes | Sequence[int]) -> Any:
        """Write arch strings: one genotype gives one string, a batch gives a list of them."""
        array = np.asarray(genotypes)
        return self.format_many(array[None])[0] if array.ndim == 1 else self.format_many(array)

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read many arch strings, shape ``(n, n_choices)``; see `parse`. The default reads options joined by dashes."""
        rows = [parse_options(arch, self.name, self.choices) for arch in archs]
        array = np.array(rows, dtype=self.dtype).reshape(len(rows), self.n_choices)
        for arch in (archs[i] for i in np.flatnonzero(~self.valid(array))[:1]):
            raise ArchStringError(f"architecture string '{arch}', position 0: no architecture of space '{self.name}'")
        return array

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write the arch string of every genotype; the inverse of `parse_many`."""
        options = [c.options for c in self.choices]
        rows = np.asarray(genotypes).tolist()
        return [SEPARATOR.join(o[code] for o, code in zip(options, row, strict=True)) for row in rows]

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


SPACES: Registry[Callable[..., Space]] = Registry(
    "space",
    {
        "darts": "ogive.spaces.darts",
        "fbnet": "ogive.spaces.mobile",
        "mobilenetv2": "ogive.spaces.mobile",
        "mobilenetv3": "ogive.spaces.mobile",
        "nasbench101": "ogive.spaces.nasbench101",
        "nasbench201": "ogive.spaces.nasbench201",
        "nats_sss": "ogive.spaces.nats_sss",
        "ofa": "ogive.spaces.mobile",
        "proxylessnas": "ogive.spaces.mobile",
        "template": "ogive.spaces.template",
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
