"""Latency as the sum of block times from a table that was measured once on a device."""

from __future__ import annotations

import csv
import gzip
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ogive.spaces._mobile_base import Mobile
    from ogive.spaces._mobile_skeleton import Block, Slot
    from ogive.spaces._types import Genotypes

_COLUMNS = ("resolution", "key", "mean_ms")


@dataclass(frozen=True)
class LookupTable:
    """Times of single layers and blocks on one device, from which the latency of any network of a space adds up.

    Attributes
    ----------
    times : mapping of int to mapping of str to float
        For each input resolution the time in ms of every key. Keys are those of ProxylessNAS and Once-for-All, such as
        ``Conv-input:224x224x3-output:112x112x24`` and
        ``expanded_conv-input:7x7x192-output:7x7x192-expand:576-kernel:3-stride:1-idskip:1-se:1-hs:1``.

    References
    ----------
    Cai, Zhu and Han, ProxylessNAS, ICLR 2019, section 3.3 and appendix B: latency as a sum over blocks.
    """

    times: Mapping[int, Mapping[str, float]]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a CSV file, which may be gzipped, with the columns ``resolution``, ``key`` and ``mean_ms``.

        Raises
        ------
        InputError
            With file and row, if the file cannot be read, a column is missing, a key is there twice, or a time is not
            positive.
        """
        raw = Path(path)
        if not raw.is_file():
            raise InputError(f"lookup table '{path}' does not exist")
        times: dict[int, dict[str, float]] = {}
        try:
            data = gzip.decompress(raw.read_bytes()) if raw.suffix == ".gz" else raw.read_bytes()
            reader = csv.DictReader(io.StringIO(data.decode("utf-8")))
            missing = [c for c in _COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"lookup table '{path}' has no column '{missing[0]}'; it needs {', '.join(_COLUMNS)}")
            for number, row in enumerate(reader, start=1):
                _add(times, row, f"lookup table '{path}', row {number}")
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"lookup table '{path}' cannot be read: {error}") from error
        return cls(times)

    def latency(self, space: Mobile, genotypes: Genotypes, resolution: int | None = None) -> NDArray[np.float64]:
        """Return the latency of each genotype in ms, ``(n,)``.

        Parameters
        ----------
        space : Mobile
            With the widths the table was measured at; the Note 10 table of Once-for-All is for ``ofa:width=1.2``.
        genotypes : ndarray of int, (n, n_choices)
        resolution : int, optional
            Input resolution, for a space that leaves it to the task.

        Raises
        ------
        InputError
            If the table lacks the resolution or a block, or the resolution is chosen by the genotypes and given too.
        """
        if (resolution is None) != bool(space.resolutions):
            given = "has one in its genotypes" if space.resolutions else "leaves the resolution to you"
            raise InputError(f"space '{space.name}' {given}; resolution={resolution} does not fit")
        sides = space.resolution(genotypes) if resolution is None else np.full(len(genotypes), resolution)
        codes = space.slots(genotypes)
        total = np.empty(len(codes))
        for side in np.unique(sides).tolist():
            rows = sides == side
            # Blocks that no genotype has are not asked for: a table need not hold the whole space.
            used = [np.unique(column).tolist() for column in codes[rows].T]
            fixed, slots = self._tables(space, side, used)
            total[rows] = fixed + sum(table[column] for table, column in zip(slots, codes[rows].T, strict=True))
        return total

    def _tables(self, space: Mobile, side: int, used: list[list[int]]) -> tuple[float, list[NDArray[np.float64]]]:
        """Return the time of the fixed layers, and for each slot the time of every block that is used there."""
        if side not in self.times:
            raise InputError(f"the lookup table has no times at resolution {side}; it has {sorted(self.times)}")
        skeleton = space.skeleton
        size = -(-side // skeleton.stem_stride)
        fixed = self._time(side, f"Conv-input:{_shape(side, 3)}-output:{_shape(size, skeleton.stem)}")
        if skeleton.fixed:
            fixed += self._time(side, _key(skeleton.fixed, skeleton.FIRST, size))
        tables = []
        for slot, codes in zip(skeleton.slots, used, strict=True):
            table = np.zeros(len(skeleton.blocks))
            for code in codes:
                block = skeleton.blocks[code]
                if block.kernel or not slot.keeps_shape:
                    table[code] = self._time(side, _key(slot, block, size))
            tables.append(table)
            size = -(-size // slot.stride)
        last, width = skeleton.last, skeleton.width
        tail = [
            f"Conv_1-input:{_shape(size, skeleton.slots[-1].c_out)}-output:{_shape(size, last)}",
            f"AvgPool2D-input:{_shape(size, last)}-output:{_shape(1, last)}",
        ]
        if skeleton.mix:
            tail.append(f"Conv_2-input:{_shape(1, last)}-output:{_shape(1, skeleton.mix)}")
        tail.append(f"Logits-input:{_shape(1, width)}-output:1000")
        return fixed + sum(self._time(side, key) for key in tail), tables

    def _time(self, side: int, key: str) -> float:
        found = self.times[side].get(key)
        if found is None:
            raise InputError(f"the lookup table has no time of '{key}' at resolution {side}; is the width another one?")
        return found


def _add(times: dict[int, dict[str, float]], row: Mapping[str, str], where: str) -> None:
    try:
        side, key, time = int(row["resolution"]), row["key"], float(row["mean_ms"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error
    if not (math.isfinite(time) and time > 0):
        raise InputError(f"{where}: time {time} is not positive")
    if key in times.setdefault(side, {}):
        raise InputError(f"{where}: '{key}' is there twice at resolution {side}")
    times[side][key] = time


def _shape(side: int, channels: int) -> str:
    return f"{side}x{side}x{channels}"


def _key(slot: Slot, block: Block, size: int) -> str:
    after = -(-size // slot.stride)
    return (
        f"expanded_conv-input:{_shape(size, slot.c_in)}-output:{_shape(after, slot.c_out)}"
        f"-expand:{slot.hidden(block)}-kernel:{block.kernel}-stride:{slot.stride}-idskip:{slot.keeps_shape:d}"
        f"-se:{slot.squeeze:d}-hs:{slot.activation == 'hardswish':d}"
    )
