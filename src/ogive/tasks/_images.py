"""Decoders of image files: pickled and binary batches, IDX files, and the two compact CIFAR-10 extracts."""

from __future__ import annotations

import gzip
import io
import itertools
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import StorageError
from ogive._imports import require
from ogive._pickle import load_pickle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.tasks._files import Arrays, Examples, Parts


def python_batch(data: bytes, source: str, label: str, side: int, first: int = 0) -> Examples:
    """Decode a pickled batch: a dictionary with "data", one row of channel-major pixels an image, and labels.

    Parameters
    ----------
    data : bytes
    source : str
        For messages.
    label : str
        Key of the labels.
    side : int
        Height and width.
    first : int
        Number of the first class in the file.

    Raises
    ------
    StorageError
        If it is damaged, has another layout, or wants to run code.
    """
    batch = load_pickle(data, source)
    if not isinstance(batch, dict):
        raise StorageError(f"'{source}' is no image batch: it holds no dictionary")
    batch = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    for key in ("data", label):
        if key not in batch:
            raise StorageError(f"'{source}' is no image batch: it has no '{key}'")
    return _checked(batch["data"], batch[label], source, side, first)


def binary_batch(data: bytes, source: str, labels: int, side: int = 32) -> Examples:
    """Decode a binary batch: records of `labels` class bytes, the last of which counts, and channel-major pixels.

    Raises
    ------
    StorageError
        If the file is no whole number of records.
    """
    record = labels + 3 * side * side
    if not data or len(data) % record:
        raise StorageError(
            f"'{source}' has {len(data)} bytes, not a multiple of {record}; it is truncated, fetch it again"
        )
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
    return _checked(rows[:, labels:], rows[:, labels - 1], source, side, 0)


def _checked(pixels: Any, labels: Any, source: str, side: int, first: int) -> Examples:
    x, y = np.asarray(pixels), np.asarray(labels)
    if x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != 3 * side * side or y.shape != (len(x),):
        raise StorageError(
            f"'{source}' is no image batch: pixels {x.dtype}{list(x.shape)} and labels {list(y.shape)} where "
            f"uint8[n, {3 * side * side}] and [n] belong"
        )
    return x.reshape(-1, 3, side, side), y.astype(np.int64) - first


def idx_array(data: bytes, source: str) -> NDArray[np.uint8]:
    """Decode an IDX file of bytes, compressed by gzip or not: the number of axes, their lengths, then the values.

    Raises
    ------
    StorageError
        If it is damaged or holds anything but bytes.
    """
    try:
        raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"'{source}' is a truncated or corrupt gzip file ({error}); fetch it again") from error
    if raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise StorageError(f"'{source}' is no IDX file of bytes: it begins with {raw[:4].hex(' ')}")
    shape = np.frombuffer(raw, dtype=">u4", count=raw[3], offset=4).tolist()
    body = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3])
    if body.size != math.prod(shape):
        raise StorageError(
            f"'{source}' has {body.size} values where {' x '.join(map(str, shape))} belong; it is truncated, "
            "fetch it again"
        )
    return body.reshape(shape)


def cifar10_extract(held: Arrays, source: str) -> Parts:
    """Decode the arrays of a compact CIFAR-10 file: lossless differences, or JPEG bodies behind one shared header.

    Returns
    -------
    dict of str to (x, y)
        "train", and "test" except from the lossless extract, which has no test images.

    Raises
    ------
    StorageError
        If these are other arrays, or a JPEG is damaged.
    MissingDependencyError
        If they hold JPEGs and pillow is not installed.
    """
    if {"x_delta", "y"} <= set(held):
        x = np.cumsum(held["x_delta"], axis=-1, dtype=np.uint8)
        return {"train": (x, held["y"].astype(np.int64))}
    if {"header", "body", "offsets", "labels", "split"} <= set(held):
        x, y = _jpegs(held, source), held["labels"].astype(np.int64)
        test = held["split"] == 1
        return {"train": (x[~test], y[~test]), "test": (x[test], y[test])}
    raise StorageError(f"'{source}' is no CIFAR-10 extract: it holds {', '.join(sorted(held))}")


def _jpegs(held: Arrays, source: str) -> NDArray[np.uint8]:
    image = require("PIL.Image", "images", "reading JPEG images")
    header, body, offsets = held["header"].tobytes(), held["body"].tobytes(), held["offsets"].tolist()
    x = np.empty((len(offsets) - 1, 32, 32, 3), dtype=np.uint8)
    # One file at a time: a JPEG decoder takes one image.
    for i, (start, stop) in enumerate(itertools.pairwise(offsets)):
        try:
            x[i] = image.open(io.BytesIO(header + body[start:stop] + b"\xff\xd9"))
        except (OSError, ValueError) as error:
            raise StorageError(f"'{source}': image {i} is corrupt ({error}); fetch the file again") from error
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
