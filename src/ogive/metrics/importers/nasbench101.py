"""NAS-Bench-101: 423,624 cells trained three times each for 4, 12, 36 and 108 epochs on CIFAR-10.

A TensorFlow record file. A record is a JSON list of the cell's hash, the epochs, the adjacency matrix row by row as
digits, the operations joined by commas, and the base64 text of a protocol buffer with three evaluations: before
training, half way, at the end. The file without the shorter trainings has the same layout.

Ying, Klein, Christiansen, Real, Murphy and Hutter, "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
ICML 2019.
"""

from __future__ import annotations

import base64
import json
import struct
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import StorageError
from ogive.metrics.importers.sheet import Sheet
from ogive.metrics.importers.tfrecord import records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_FULL = 108

_FIELDS = {2: "train_seconds", 3: "train_accuracy", 4: "val_accuracy", 5: "test_accuracy"}
"""Fields of an evaluation that are wanted, by number."""

_HINTS = {"*_accuracy*": {"unit": "%"}, "*_seconds*": {"unit": "s"}}


def read(file: BinaryIO, source: str) -> Sheet:
    """Return the table of a record file: means over runs, and validation and test accuracy run by run.

    Raises
    ------
    StorageError
        If a record is damaged or has another layout.
    """
    sheet = Sheet(source, "nasbench101", _HINTS, by_graph=True)
    hashes: dict[bytes, int] = {}
    runs: dict[int, bytearray] = {}
    for i, record in enumerate(records(file, source)):
        try:
            digest, epochs, matrix, ops, encoded = json.loads(record)
            key, epochs = bytes.fromhex(digest), int(epochs)
            params, last = _metrics(base64.b64decode(encoded, validate=True))
        except (ValueError, TypeError, IndexError, RecursionError, struct.error) as error:
            raise StorageError(
                f"'{source}', record {i}: this is no NAS-Bench-101 record ({type(error).__name__}); "
                "fetch the official file"
            ) from error
        row = hashes.get(key)
        if row is None:
            row = hashes[key] = sheet.row(f"{matrix}:{ops}")
            if row != len(hashes) - 1:
                raise StorageError(f"'{source}', record {i}: cell '{matrix}:{ops}' has two hashes; the file is damaged")
            sheet.put(row, {"params": params})
        done = runs.setdefault(epochs, bytearray())
        if len(done) <= row:
            done.extend(bytes(row + 1 - len(done)))
        done[row] += 1
        suffix = "" if epochs == _FULL else f"_{epochs}ep"
        sheet.put(row, {f"cifar10_{name}{suffix}_run{done[row]}": value for name, value in last.items()})
    _average(sheet)
    return sheet


def _average(sheet: Sheet) -> None:
    """Add means over runs; drop the runs where nobody searches on a single one."""
    for title in {name.rpartition("_run")[0] for name in sheet.columns if "_run" in name}:
        names = [n for n in sheet.columns if n.rpartition("_run")[0] == title]
        block = np.full((len(names), len(sheet.rows)), np.nan)
        for line, name in zip(block, names, strict=True):
            line[: len(sheet.columns[name])] = sheet.columns[name]
        there = np.isfinite(block)
        with np.errstate(invalid="ignore"):
            means = np.where(there, block, 0.0).sum(axis=0) / there.sum(axis=0)
        sheet.columns[title] = array("d", means.tobytes())
        if "_val_" not in title and "_test_" not in title:
            for name in names:
                del sheet.columns[name]


def _metrics(message: bytes) -> tuple[float, dict[str, float]]:
    """Return the number of parameters and the wanted numbers of the last evaluation, accuracies in percent."""
    fields = list(_protobuf(message))
    evaluations = [value for number, value in fields if number == 1]
    (params,) = (value for number, value in fields if number == 2)
    last = {_FIELDS[number]: value for number, value in _protobuf(evaluations[2]) if number in _FIELDS}
    return float(params), {name: 100.0 * v if name.endswith("accuracy") else v for name, v in last.items()}


def _protobuf(message: bytes) -> Iterator[tuple[int, Any]]:
    """Give number and value of the fields of a message; the benchmark uses integers, doubles and nested messages."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 1:
            yield tag >> 3, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif kind == 2:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("a field that is longer than its message")
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError("a field of a kind that the benchmark does not use")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number without end")
