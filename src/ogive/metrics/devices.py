"""Devices and what was measured on them, read from tables made anywhere.

A device is silicon together with runtime, precision and batch size: the same phone with another runtime is another
device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, UnknownNameError, nearest
from ogive.metrics._device_files import architectures, number, numbers, numeric, read_frame
from ogive.spaces.base import Genotypes, Space, get_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

Floats = NDArray[np.float64]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_DEVICE = (
    "arch", "ops", "depths", "kernels", "expands", "resolution", "*index", "*id", "*row", "macs*", "flops*", "params*",
    "relus*", "depth", "*accuracy*", "*_spread", "*_std",
)  # fmt: skip
_MEASURED = 0.5


@dataclass(frozen=True)
class Device:
    """What a latency belongs to.

    Attributes
    ----------
    name : str
        Letters, digits, ``.``, ``_`` and ``-``.
    runtime : str
        Such as "onnxruntime 1.20".
    precision : str
        Such as "float32", "int8".
    batch : int
    clock : str
        What was done about clocks and threads, such as "1 thread, clock not pinned".
    note : str
    """

    name: str
    runtime: str = ""
    precision: str = ""
    batch: int = 1
    clock: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(f"device name '{self.name}' may hold letters, digits, '.', '_' and '-' only")


@dataclass(frozen=True)
class Latencies:
    """Measurements of n architectures on one device.

    Attributes
    ----------
    device : Device
    latency : ndarray of float64, (n,)
        Milliseconds; NaN where it was not measured or failed.
    spread : ndarray of float64, (n,)
        Standard deviation or half-range of repeated visits in milliseconds; NaN where it is not known.
    failed : ndarray of bool, (n,)
        Whether the network could not be compiled or run.
    """

    device: Device
    latency: Floats
    spread: Floats
    failed: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which architectures have a latency, ``(n,)``."""
        return np.isfinite(self.latency)


@dataclass(frozen=True)
class DeviceTable:
    """Latencies of the same architectures on several devices.

    Attributes
    ----------
    space : Space
    genotypes : ndarray of int, (n, n_choices)
        Distinct architectures.
    devices : dict of str to Latencies
    """

    space: Space
    genotypes: Genotypes
    devices: Mapping[str, Latencies] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.genotypes)

    def device(self, name: str) -> Latencies:
        """Return one device's measurements.

        Raises
        ------
        UnknownNameError
            If the table has no such device.
        """
        if name not in self.devices:
            raise UnknownNameError.of("device", name, self.devices)
        return self.devices[name]

    def select(self, names: Sequence[str]) -> DeviceTable:
        """Return the table with these devices only; a name may be a pattern such as ``eagle_*``."""
        found: dict[str, Latencies] = {}
        for name in names:
            matched = [n for n in self.devices if fnmatchcase(n, name)]
            found |= {n: self.devices[n] for n in matched or [self.device(name).device.name]}
        return replace(self, devices=found)

    @classmethod
    def read(cls, path: str | Path, space: Space | str, *, devices: Sequence[str] = ()) -> Self:
        """Read a CSV file (also compressed) or Parquet with a row an architecture and a column a device, in ms.

        The architecture stands in a column ``arch``, or in ``ops`` as the numbers of its options joined by ``-``, or in
        what the space calls `table_columns`. Columns that hold no counts or numbers of rows are devices. A value of
        zero or below, as the -1 of published tables, is a failure; so is a blank in a column that has values in more
        than half of the rows, and else a blank was not measured. A column ``NAME_spread`` belongs to device NAME.

        Parameters
        ----------
        path : path
        space : Space or str
        devices : sequence of str, optional
            Columns that are devices, instead of all that look like one.

        Raises
        ------
        InputError
            With file and row, if an architecture is foreign to the space or there twice, a cell is no number, or no
            column is a device.
        UnknownNameError
            If there is no such space or column.
        """
        where = get_space(space)
        frame = read_frame(Path(path))
        for name in devices:
            if name not in frame.columns:
                raise UnknownNameError(f"'{path}' has no column '{name}'; {nearest(name, list(frame.columns))}")
        columns = list(devices) or [c for c in frame.columns if not any(fnmatchcase(c.lower(), p) for p in _NO_DEVICE)]
        columns_of = {c: numbers(path, c, frame[c]) for c in columns if devices or numeric(frame[c])}
        if not columns_of:
            raise InputError(f"'{path}' has no column with latencies; name the devices with --devices")
        genotypes = architectures(path, frame, where)
        found = {c: _latencies(c, v, frame.get(f"{c}_spread")) for c, v in columns_of.items()}
        return cls(where, genotypes, found)


def _latencies(name: str, values: Floats, spread: pd.Series[Any] | None) -> Latencies:
    blank = np.isnan(values)
    failed = (values <= 0) | (blank & (blank.mean() < 1.0 - _MEASURED))
    spreads = np.full(len(values), np.nan) if spread is None else np.array([number(cell) for cell in spread])
    return Latencies(Device(name), np.where(failed, np.nan, values), spreads, failed)
