"""Devices kept on this machine, each under a name that makes ``latency@NAME`` a metric.

What was measured on one lies in ``devices/NAME`` of the data home: ``device.json`` and, for each space, ``SPACE.csv``
with the columns ``arch``, ``latency_ms``, ``spread_ms`` and ``failed``. What was only predicted for it, from few
measurements, lies beside it in ``SPACE.predicted.csv``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from ogive._errors import StorageError, UnknownNameError, nearest
from ogive._paths import data_home
from ogive.metrics.base import Context, Cost, Metric
from ogive.metrics.devices import Device, DeviceTable, Latencies
from ogive.spaces.base import Genotypes, Space, get_space

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Floats = NDArray[np.float64]

QUANTITIES = ("latency", "latency_spread", "latency_upper")
"""What is known of a kept device: latency, its standard deviation, and a bound that 95 % stay below; all in ms."""

_UPPER = 1.645
_ROWS_A_COLUMN = 3


def device_names() -> list[str]:
    """Return the names of all devices kept on this machine, sorted."""
    return sorted(p.parent.name for p in (data_home() / "devices").glob("*/device.json"))


def spaces_of(name: str) -> list[str]:
    """Return the spaces for which something is known of a device, sorted."""
    return sorted(
        {unquote(p.name.removesuffix(".csv").removesuffix(".predicted")) for p in _folder(name).glob("*.csv")}
    )


def save_device(table: DeviceTable, name: str, device: Device | None = None, *, predicted: bool = False) -> Path:
    """Keep one device of a table, replacing what was kept of it in this space, and return its folder.

    Parameters
    ----------
    table : DeviceTable
    name : str
        The device's name in the table.
    device : Device, optional
        What it is kept as; by default what the table says.
    predicted : bool
        Whether the latencies are predictions; measurements are kept apart and come first.

    Raises
    ------
    InputError
        If the device's name cannot stand after the ``@`` of a metric.
    StorageError
        If the folder cannot be written.
    """
    import pandas as pd

    from ogive.metrics.tables import check_name

    held = table.device(name)
    about = device or held.device
    if about.name not in device_names():
        check_name(about.name)
    told = held.known | held.failed
    rows = pd.DataFrame(
        {
            "arch": table.space.format_many(table.genotypes[told]),
            "latency_ms": held.latency[told],
            "spread_ms": held.spread[told],
            "failed": held.failed[told].astype(int),
        }
    )
    path = _file(about.name, table.space, predicted)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "device.json").write_text(json.dumps(asdict(about), indent=2) + "\n")
        draft = path.with_suffix(".tmp")
        rows.to_csv(draft, index=False)
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"device '{about.name}' cannot be written to {path.parent}: {error}") from error
    return path.parent


def open_device(name: str, space: Space | str, *, predicted: bool = False) -> DeviceTable:
    """Return what was measured on a device in a space, or predicted for it, as a table of that one device.

    Raises
    ------
    UnknownNameError
        If there is no such device, or nothing is known of it in this space.
    StorageError
        If its files are damaged.
    """
    where, path = get_space(space), _folder(name) / "device.json"
    if not path.is_file():
        raise UnknownNameError(
            f"unknown device '{name}'; {nearest(name, device_names())}; a table becomes one with: "
            "ogive latency import FILE --space SPACE"
        )
    file = _file(name, where, predicted)
    if not file.is_file():
        held = ", ".join(spaces_of(name)) or "no space"
        raise UnknownNameError(f"device '{name}' is known in {held}, not in space '{where.spec}'")
    return _read(file, where.spec, path.stat().st_mtime_ns + file.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(file: Path, spec: str, modified: int) -> DeviceTable:
    """Read a device's file; `modified` only makes a replaced file a new entry of the cache."""
    del modified
    import pandas as pd

    space = get_space(spec)
    try:
        about = Device(**json.loads((file.parent / "device.json").read_text()))
        rows = pd.read_csv(file, dtype={"arch": str})
        genotypes = space.parse_many(rows["arch"].tolist())
        columns = [rows[c].to_numpy(np.float64) for c in ("latency_ms", "spread_ms", "failed")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"device file '{file}' is damaged ({error}); import the device again") from error
    return DeviceTable(space, genotypes, {about.name: Latencies(about, columns[0], columns[1], columns[2] > 0)})


def _folder(name: str) -> Path:
    return data_home() / "devices" / Device(name).name


def _file(name: str, space: Space, predicted: bool) -> Path:
    return _folder(name) / f"{quote(space.spec, safe='')}{'.predicted' * predicted}.csv"


# ---------------------------------------------------------------- as metrics


def device_metric(quantity: str, name: str) -> Metric:
    """Return the metric ``quantity@NAME`` of a kept device; see `QUANTITIES`.

    A measurement comes before a prediction. An architecture with neither gets what a linear model of the predictions
    says of its choices; without predictions it has no value.

    Raises
    ------
    UnknownNameError
        If a device has no such quantity.
    """
    if quantity not in QUANTITIES:
        raise UnknownNameError.of(f"quantity of device '{name}'", quantity, QUANTITIES)
    return Metric(
        name=f"{quantity}@{name}",
        provider=_look_up,
        unit="ms",
        direction="min",
        cost=Cost.TABLE,
        description=f"{quantity} on device '{name}', measured or predicted",
    )


def _look_up(names: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context) -> Mapping[str, Floats]:
    del context
    device = names[0].partition("@")[2]
    latency, spread = np.full(len(genotypes), np.nan), np.full(len(genotypes), np.nan)
    files = [f for f in (False, True) if _file(device, space, f).is_file()]
    for predicted in files or [False]:
        table = open_device(device, space, predicted=predicted)
        open_ = np.isnan(latency)
        latency[open_], spread[open_] = _known(table, genotypes[open_])
    if True in files and np.isnan(latency).any():
        open_ = np.isnan(latency)
        latency[open_], spread[open_] = _linear(open_device(device, space, predicted=True), genotypes[open_])
    spread = np.where(np.isnan(spread) & np.isfinite(latency), 0.0, spread)
    found = {"latency": latency, "latency_spread": spread, "latency_upper": latency + _UPPER * spread}
    return {name: found[name.partition("@")[0]] for name in names}


def _known(table: DeviceTable, genotypes: Genotypes) -> tuple[Floats, Floats]:
    """Return latency and spread of what the table has, NaN elsewhere; equal graphs count as one architecture."""
    space = table.space
    (held,) = table.devices.values()
    row = {key: i for i, key in enumerate(space.keys(space.canonical(table.genotypes)))}
    row |= {key: i for i, key in enumerate(space.keys(table.genotypes))}
    own, alike = space.keys(genotypes), space.keys(space.canonical(genotypes))
    at = np.array([row.get(a, row.get(b, -1)) for a, b in zip(own, alike, strict=True)], dtype=np.intp)
    pick = at >= 0
    return np.where(pick, held.latency[at], np.nan), np.where(pick, held.spread[at], np.nan)


def _linear(table: DeviceTable, genotypes: Genotypes) -> tuple[Floats, Floats]:
    """Return what least squares on the choices makes of the predictions' logarithms, its own error in the spread."""
    (held,) = table.devices.values()
    known = held.known
    X = _choices(table.space, table.genotypes[known])
    if len(X) < _ROWS_A_COLUMN * X.shape[1]:
        nothing = np.full(len(genotypes), np.nan)
        return nothing, nothing
    y = np.log(held.latency[known])
    weights = np.linalg.lstsq(X, y, rcond=None)[0]
    own = np.nan_to_num(held.spread[known] / held.latency[known])
    error = float(np.sqrt(np.mean((y - X @ weights) ** 2) + np.mean(own**2)))
    latency = np.exp(_choices(table.space, genotypes) @ weights)
    return latency, error * latency


def _choices(space: Space, genotypes: Genotypes) -> Floats:
    onehot = space.encode(space.canonical(genotypes), "onehot").astype(np.float64)
    return np.hstack([onehot, np.ones((len(onehot), 1))])
