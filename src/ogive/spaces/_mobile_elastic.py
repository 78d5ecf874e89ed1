"""Networks whose stages have a depth, and whose blocks each have a kernel and an expansion: Once-for-All.

Cai, Gan, Wang, Zhang and Han, "Once-for-All: Train One Network and Specialize It for Efficient Deployment", ICLR 2020.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ogive._errors import ArchStringError, InputError
from ogive.spaces._mobile_base import Mobile, checked_width
from ogive.spaces._mobile_skeleton import SKIP, Block, Skeleton
from ogive.spaces._types import Choice, Genotypes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ogive.nn.supernet import SuperNetwork
    from ogive.spaces._types import TaskShape

KERNELS, EXPANSIONS, DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)
"""What a block and a stage choose from."""

BLOCKS = (*(Block(k, e) for k, e in product(KERNELS, EXPANSIONS)), SKIP)


class Elastic(Mobile):
    """Five stages of two to four blocks, every block with its own kernel and expansion.

    A genotype holds the depth of every stage, then the kernel of every slot, then every expansion, and last the
    resolution where that is chosen. Kernels and expansions of the slots beyond a stage's depth mean nothing.

    Parameters
    ----------
    width : float
        Factor on all widths.
    """

    reference = "Cai et al., Once-for-All, ICLR 2020, arXiv 1908.09791"
    elastic: ClassVar[int] = 5
    """Stages with a depth to choose; later ones have one block."""

    def __init__(self, width: float = 1.0) -> None:
        self.width = checked_width(self.name, width)
        self.skeleton = self._skeleton()
        places = [(stage, i) for stage in range(self.elastic) for i in range(max(DEPTHS))]
        places += [(self.elastic, i) for i in range(len(self.skeleton.slots) - len(places))]
        self._stage, self._place = (np.array(column) for column in zip(*places, strict=True))
        names = [f"{stage + 1}.{i + 1}" for stage, i in places]
        self.choices = (
            *(Choice(f"depth{i + 1}", _texts(DEPTHS)) for i in range(self.elastic)),
            *(Choice(f"kernel{name}", _texts(KERNELS)) for name in names),
            *(Choice(f"expansion{name}", _texts(EXPANSIONS)) for name in names),
            *([Choice("resolution", _texts(self.resolutions))] if self.resolutions else []),
        )

    def _skeleton(self) -> Skeleton:
        raise NotImplementedError("a subclass of Elastic gives _skeleton()")

    @property
    def table_columns(self) -> tuple[str, ...]:
        """The columns that name an architecture in the published latency tables, see `from_table`."""
        return ("depths", "kernels", "expands", *(["resolution"] if self.resolutions else []))

    def from_table(self, rows: Sequence[Sequence[str]]) -> Genotypes:
        """Read genotypes from the cells of `table_columns`, such as ``2-2-2-2-3``, ``7-5-...``, ``6-4-...``, ``204``.

        Values of slots that are left out do not matter: the genotypes are canonical.

        Raises
        ------
        InputError
            If a row has too few or too many cells, or a cell cannot be read.
        """
        columns = self.table_columns
        for row in rows:
            if len(row) != len(columns):
                raise InputError(f"a row of space '{self.name}' has the cells {', '.join(columns)}, not {list(row)}")
        archs = ["_".join(column[0] + cell for column, cell in zip(columns, row, strict=True)) for row in rows]
        return self.canonical(self.parse_many(archs))

    def to_table(self, genotypes: Genotypes) -> list[list[str]]:
        """Return the cells of `table_columns` for each genotype; the inverse of `from_table`."""
        return [[part[1:] for part in arch.split("_")] for arch in self.format_many(genotypes)]

    def slots(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """Return the block in each slot, 9 where the stage ends before it, ``(n, slots)``."""
        kernels, expansions = self._columns(genotypes)
        blocks = kernels.astype(np.intp) * len(EXPANSIONS) + expansions
        return np.where(self._live(genotypes), blocks, len(self.skeleton.blocks) - 1)

    def _live(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which slots lie within their stage's depth, ``(n, slots)``."""
        depths = np.array(DEPTHS)[np.asarray(genotypes)[:, : self.elastic]]
        depths = np.hstack([depths, np.ones((len(depths), 1), dtype=np.int64)])
        return np.asarray(self._place < depths[:, self._stage])

    def _columns(self, genotypes: Genotypes) -> tuple[Genotypes, Genotypes]:
        first, length = self.elastic, len(self._stage)
        g = np.asarray(genotypes)
        return g[:, first : first + length], g[:, first + length : first + 2 * length]

    def canonical(self, genotypes: Genotypes) -> Genotypes:
        """Return the genotypes with kernel 3 and expansion 3 in the slots that are left out."""
        out = np.array(genotypes, dtype=self.dtype)
        dead = ~self._live(out)
        for part in self._columns(out):
            part[dead] = 0
        return out

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the largest network, with the others inside it: first blocks, first channels, centres of kernels."""
        from ogive.nn.super_mobile import ElasticInvertedResidual, ElasticMobileNetwork, slot_of

        expansions = [Block(max(KERNELS), e) for e in EXPANSIONS]
        blocks = [
            ElasticInvertedResidual(
                slot.c_in,
                slot.c_out,
                KERNELS,
                [(slot.hidden(block), slot.squeezed(block)) for block in expansions],
                slot.stride,
                slot.activation,
            )
            for slot in self.skeleton.slots
        ]
        return ElasticMobileNetwork(
            self._network([slot_of(block) for block in blocks], task, max(self.resolutions, default=None)),
            DEPTHS,
            list(zip(self._stage.tolist(), self._place.tolist(), strict=True)),
            self.elastic,
            self.resolutions,
        )

    # ---------------------------------------------------------------- strings

    @cached_property
    def _leads(self) -> list[str]:
        """What stands before each option in an arch string."""
        length = len(self._stage)
        sizes = {"d": self.elastic, "_k": length, "_e": length, "_r": bool(self.resolutions)}
        return ["-" if i else mark for mark, size in sizes.items() for i in range(size)]

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write strings such as ``d2-3-..._k5-3-..._e6-4-..._r224``: depths, kernels, expansions, resolution."""
        parts = [tuple(lead + o for o in c.options) for lead, c in zip(self._leads, self.choices, strict=True)]
        rows = np.asarray(genotypes).tolist()
        return ["".join(p[code] for p, code in zip(parts, row, strict=True)) for row in rows]

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read strings as `format_many` writes them."""
        rows = [self._parse(arch) for arch in archs]
        return np.array(rows, dtype=self.dtype).reshape(len(rows), self.n_choices)

    def _parse(self, arch: str) -> list[int]:
        row: list[int] = []
        at = 0
        for lead, choice in zip(self._leads, self.choices, strict=True):
            if not arch.startswith(lead, at):
                raise self._failure(arch, at, f"expected '{lead}' and the {choice.name}")
            at += len(lead)
            code = next((i for i, option in enumerate(choice.options) if arch.startswith(option, at)), -1)
            if code < 0:
                raise self._failure(arch, at, f"expected the {choice.name} ({', '.join(choice.options)})")
            row.append(code)
            at += len(choice.options[code])
        if at < len(arch):
            raise self._failure(arch, at, "expected the end")
        return row

    def _failure(self, arch: str, at: int, what: str) -> ArchStringError:
        form = "d2-..._k3-..._e3-..." + ("_r128" if self.resolutions else "")
        return ArchStringError(
            f"architecture string '{arch}' of space '{self.name}', position {at}: {what}; "
            f"write depths, kernels and expansions as {form}"
        )


def _texts(numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(map(str, numbers))
