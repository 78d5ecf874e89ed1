"""The size space of NATS-Bench: one good cell, five widths to choose.

Dong, Liu, Musial and Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size",
TPAMI 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ogive._errors import ArchStringError
from ogive.spaces._cells import EDGES, Tally
from ogive.spaces.base import SPACES, Choice, Genotypes, Space, TaskShape, image_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from ogive.nn.supernet import SuperNetwork

WIDTHS = tuple(str(width) for width in range(8, 65, 8))

CELL = ("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "nor_conv_3x3")
"""Operations of the fixed cell, edge by edge: the one with the best CIFAR-100 validation accuracy in NAS-Bench-201."""

PARTS = ("cell1", "reduction1", "cell2", "reduction2", "cell3")


class NATSSize(Space):
    """The size space of NATS-Bench, 32,768 networks of one cell: eight widths for each of five parts.

    The stem is as wide as the first cell. Enumeration order is the benchmark's: architecture number i is
    ``space.from_index([i])``.
    """

    name = "nats_sss"
    reference = "Dong et al., NATS-Bench, TPAMI 2021, arXiv 2009.00437"
    buildable = True
    choices = tuple(Choice(part, WIDTHS) for part in PARTS)

    def parse_many(self, archs: list[str]) -> Genotypes:
        """Read strings such as ``8:16:32:48:64``: the five widths."""
        return np.array([_parse(arch) for arch in archs], dtype=self.dtype).reshape(len(archs), self.n_choices)

    def format_many(self, genotypes: Genotypes) -> list[str]:
        """Write the official string of every genotype."""
        return [":".join(WIDTHS[code] for code in row) for row in np.asarray(genotypes).tolist()]

    def build(self, genotype: Genotypes, task: TaskShape) -> nn.Module:
        """Return the published network: stem, three cells, two residual reductions, linear head."""
        from ogive.nn.nats_sss import SizedNetwork

        (row,) = self.check(genotype)
        widths = [int(WIDTHS[code]) for code in row]
        return SizedNetwork(CELL, EDGES, widths, image_shape(self.name, task), task.n_outputs)

    def supernet(self, task: TaskShape) -> SuperNetwork:
        """Return the widest network, of which the first channels of every part may run alone."""
        from ogive.nn.super_nats_sss import SuperSizedNetwork

        shape = image_shape(self.name, task)
        return SuperSizedNetwork(CELL, EDGES, [int(w) for w in WIDTHS], shape, task.n_outputs)

    def count(self, genotypes: Genotypes, task: TaskShape) -> Mapping[str, NDArray[np.int64]]:
        """Return exact ``params``, ``macs``, ``relus`` and ``depth`` in closed form."""
        widths = np.array(WIDTHS, dtype=np.int64)[np.asarray(genotypes)].T
        tally = Tally(len(genotypes), image_shape(self.name, task))
        tally.convolutions(1, 9, widths[0], relu=False)
        tally.move(widths[0])
        for i, c in enumerate(widths):
            if i % 2:
                tally.convolutions(1, 9, c, stride=2)
                tally.convolutions(1, 1, c, stride=2, relu=False, norm=False)
                tally.move(c, stride=2)
                tally.convolutions(1, 9, c)
            else:
                # Two convolutions leave the cell's input, three lie inside; the skip is one where the width changes.
                changes = (tally.c != c).astype(np.int64)
                tally.convolutions(2, 18, c)
                tally.convolutions(changes, changes, c, relu=False)
                tally.move(c)
                tally.convolutions(3, 27, c)
        tally.params += 2 * tally.c
        tally.relus += tally.c * tally.h * tally.w
        # Stem, three convolutions on the longest path of a cell, two in a reduction, classifier.
        return tally.total(task.n_outputs, np.full(len(genotypes), 1 + 3 * 3 + 2 * 2 + 1))


def _parse(arch: str) -> list[int]:
    """Read one string; every error names the position."""
    row: list[int] = []
    at = 0
    for width in arch.split(":"):
        if len(row) == len(PARTS):
            raise _failure(arch, at - 1, "expected the end")
        if width not in WIDTHS:
            raise _failure(arch, at, f"expected a width ({', '.join(WIDTHS)}), found '{width}'")
        row.append(WIDTHS.index(width))
        at += len(width) + 1
    if len(row) < len(PARTS):
        raise _failure(arch, len(arch), f"expected ':' and the width of {PARTS[len(row)]}")
    return row


def _failure(arch: str, at: int, what: str) -> ArchStringError:
    return ArchStringError(
        f"architecture string '{arch}' of space 'nats_sss', position {at}: {what}; write five widths, as 8:16:32:48:64"
    )


SPACES.add("nats_sss", NATSSize)
