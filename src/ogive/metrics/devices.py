"""Devices: what is known of their latency, read from tables measured anywhere, and kept under a name.

A device is silicon together with runtime, precision and batch size: the same phone with another runtime is another
device. What was measured on it lies in ``devices/NAME`` of the data home: ``device.json`` and, for each space, a CSV
file with the columns ``arch``, ``latency_ms``, ``spread_ms`` and ``failed``. From then on ``latency@NAME`` is a metric.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ogive._errors import InputError, StorageError, UnknownNameError, nearest
from ogive._paths import data_home
from ogive.metrics.base import Context, Cost, Metric
from ogive.spaces.base import Genotypes, Space, get_space

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        frame = _frame(Path(path))
        for name in devices:
            if name not in frame.columns:
                raise UnknownNameError(f"'{path}' has no column '{name}'; {nearest(name, list(frame.columns))}")
        columns = list(devices) or [c for c in frame.columns if not any(fnmatchcase(c.lower(), p) for p in _NO_DEVICE)]
        numbers = {c: _numbers(path, c, frame[c]) for c in columns if devices or _numeric(frame[c])}
        if not numbers:
            raise InputError(f"'{path}' has no column with latencies; name the devices with --devices")
        genotypes = _architectures(path, frame, where)
        found = {c: _latencies(c, v, frame.get(f"{c}_spread")) for c, v in numbers.items()}
        return cls(where, genotypes, found)


def _frame(path: Path) -> pd.DataFrame:
    """Return the file's cells as text, blanks as empty."""
    import pandas as pd

    if not path.is_file():
        raise InputError(f"file '{path}' does not exist")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).astype(str).replace({"nan": "", "None": "", "NaN": ""})
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"'{path}' cannot be read as a table: {reason}") from error


def _numeric(column: pd.Series[Any]) -> bool:
    """Return whether the first filled cell is a number: a description column is no device."""
    filled = column[column != ""]
    return not filled.empty and bool(np.isfinite(_number(filled.iloc[0])))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _numbers(path: str | Path, name: str, column: pd.Series[Any]) -> Floats:
    """Return the column's numbers, NaN where blank."""
    filled = (column != "").to_numpy()
    values = np.array([_number(cell) for cell in column], dtype=np.float64)
    bad = np.flatnonzero(filled & ~np.isfinite(values))
    if bad.size:
        at = int(bad[0])
        raise InputError(
            f"'{path}', column '{name}', row {at + 1}: '{column.iloc[at]}' is not a finite number; leave the cell "
            "blank where nothing was measured, or write -1 where the network failed"
        )
    return values


def _latencies(name: str, values: Floats, spread: pd.Series[Any] | None) -> Latencies:
    blank = np.isnan(values)
    failed = (values <= 0) | (blank & (blank.mean() < 1.0 - _MEASURED))
    spreads = np.full(len(values), np.nan) if spread is None else np.array([_number(cell) for cell in spread])
    return Latencies(Device(name), np.where(failed, np.nan, values), spreads, failed)


def _architectures(path: str | Path, frame: pd.DataFrame, space: Space) -> Genotypes:
    own: tuple[str, ...] = getattr(space, "table_columns", ())
    read: Callable[[list[str]], Genotypes]
    if "arch" in frame.columns:
        texts, read = frame["arch"].tolist(), space.parse_many
    elif own and all(c in frame.columns for c in own):
        texts = [" ".join(row) for row in zip(*(frame[c] for c in own), strict=True)]
        read = partial(_from_columns, space)
    elif "ops" in frame.columns:
        texts, read = frame["ops"].tolist(), partial(_from_numbers, space)
    else:
        wanted = " or ".join(["'arch'", "'ops'", *([", ".join(own)] if own else [])])
        raise InputError(f"'{path}' has no column that names architectures; add {wanted}")
    if not texts:
        raise InputError(f"'{path}' has no rows")
    try:
        genotypes = read(texts)
    except InputError:
        # One by one, only to name the row.
        for row, text in enumerate(texts, start=1):
            try:
                read([text])
            except InputError as error:
                raise InputError(f"'{path}', row {row}: {error}") from error
        raise
    return _distinct(path, texts, genotypes, space)


def _distinct(path: str | Path, texts: list[str], genotypes: Genotypes, space: Space) -> Genotypes:
    foreign = np.flatnonzero(~space.valid(genotypes))
    if foreign.size:
        at = int(foreign[0])
        raise InputError(f"'{path}', row {at + 1}: '{texts[at]}' is not an architecture of space '{space.name}'")
    first: dict[bytes, int] = {}
    for row, key in enumerate(space.keys(genotypes)):
        if first.setdefault(key, row) != row:
            raise InputError(f"'{path}', row {row + 1}: '{texts[row]}' is there already in row {first[key] + 1}")
    return genotypes


def _from_columns(space: Space, texts: Sequence[str]) -> Genotypes:
    """Read genotypes from the cells of the space's own columns, joined by blanks."""
    found: Genotypes = space.from_table([text.split(" ") for text in texts])  # type: ignore[attr-defined]
    return found


def _from_numbers(space: Space, texts: Sequence[str]) -> Genotypes:
    """Read genotypes written as the numbers of their options, ``3-3-4-1-3-1``."""
    rows = []
    for text in texts:
        numbers = text.split("-")
        legal = len(numbers) == space.n_choices and all(
            n.isdigit() and int(n) < len(c.options) for n, c in zip(numbers, space.choices, strict=False)
        )
        if not legal:
            raise InputError(
                f"'{text}' is not {space.n_choices} numbers of options of space '{space.name}', joined by '-'"
            )
        rows.append([int(n) for n in numbers])
    return np.array(rows, dtype=space.dtype)


# ---------------------------------------------------------------- the registry


def device_names() -> list[str]:
    """Return the names of all devices kept on this machine, sorted."""
    return sorted(p.parent.name for p in (data_home() / "devices").glob("*/device.json"))


def spaces_of(name: str) -> list[str]:
    """Return the spaces in which a device has measurements, sorted."""
    return sorted(p.stem for p in _folder(name).glob("*.csv"))


def save_device(table: DeviceTable, name: str, device: Device | None = None) -> Path:
    """Keep one device of a table, replacing what was kept of it in this space, and return its folder.

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
    folder = _folder(about.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "device.json").write_text(json.dumps(asdict(about), indent=2) + "\n")
        draft = folder / f"{table.space.name}.csv.tmp"
        rows.to_csv(draft, index=False)
        draft.replace(folder / f"{table.space.name}.csv")
    except OSError as error:
        raise StorageError(f"device '{about.name}' cannot be written to {folder}: {error}") from error
    return folder


def open_device(name: str, space: Space | str) -> DeviceTable:
    """Return what was measured on a device in a space, a table of that one device.

    Raises
    ------
    UnknownNameError
        If there is no such device, or nothing was measured in this space.
    StorageError
        If its files are damaged.
    """
    import pandas as pd

    where = get_space(space)
    folder = _folder(name)
    if not (folder / "device.json").is_file():
        raise UnknownNameError(
            f"unknown device '{name}'; {nearest(name, device_names())}; a table becomes one with: "
            "ogive latency devices import FILE --space SPACE"
        )
    if where.name not in spaces_of(name):
        held = ", ".join(spaces_of(name)) or "none"
        raise UnknownNameError(f"device '{name}' was measured in {held}, not in space '{where.name}'")
    try:
        about = Device(**json.loads((folder / "device.json").read_text()))
        rows = pd.read_csv(folder / f"{where.name}.csv", dtype={"arch": str})
        genotypes = where.parse_many(rows["arch"].tolist())
        columns = [rows[c].to_numpy(np.float64) for c in ("latency_ms", "spread_ms", "failed")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"device '{name}' in {folder} is damaged ({error}); import it again") from error
    latencies = Latencies(about, columns[0], columns[1], columns[2] > 0)
    return DeviceTable(where, genotypes, {name: latencies})


def _folder(name: str) -> Path:
    return data_home() / "devices" / Device(name).name


def device_metric(name: str) -> Metric:
    """Return the metric ``latency@NAME``: what was measured, nothing where it was not."""
    return Metric(
        name=f"latency@{name}",
        provider=_look_up,
        unit="ms",
        direction="min",
        cost=Cost.TABLE,
        description=f"measured latency on device '{name}'",
    )


def _look_up(names: tuple[str, ...], space: Space, genotypes: Genotypes, context: Context) -> Mapping[str, Floats]:
    del context
    found: dict[str, Floats] = {}
    for metric in names:
        device = metric.partition("@")[2]
        table = open_device(device, space)
        row = {key: i for i, key in enumerate(space.keys(table.genotypes))}
        at = np.array([row.get(key, -1) for key in space.keys(genotypes)])
        found[metric] = np.where(at >= 0, table.devices[device].latency[at], np.nan)
    return found
