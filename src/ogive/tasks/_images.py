"""Decoders of image files: official pickled and binary batches, and the two compact CIFAR-10 extracts."""

from __future__ import annotations

import io
import itertools
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import StorageError
from ogive._imports import require
from ogive._pickle import load_pickle

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ogive.tasks._files import Examples


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


def cifar10_extract(path: Path) -> tuple[Examples, Examples | None]:
    """Decode a compact CIFAR-10 ``.npz``: the lossless differences, or the JPEG bodies behind one shared header.

    Returns
    -------
    train, test : (x, y)
        The lossless extract has no test images: None.

    Raises
    ------
    StorageError
        If the file is damaged or holds other arrays.
    MissingDependencyError
        If it holds JPEGs and pillow is not installed.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {k: file[k] for k in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(f"'{path}' is a truncated or corrupt .npz file ({error}); fetch it again") from error
    if {"x_delta", "y"} <= set(held):
        x = np.cumsum(held["x_delta"], axis=-1, dtype=np.uint8)
        return (x, held["y"].astype(np.int64)), None
    if {"header", "body", "offsets", "labels", "split"} <= set(held):
        x, y = _jpegs(held, str(path)), held["labels"].astype(np.int64)
        test = held["split"] == 1
        return (x[~test], y[~test]), (x[test], y[test])
    raise StorageError(f"'{path}' is no CIFAR-10 extract: it holds {', '.join(sorted(held))}")


def _jpegs(held: dict[str, NDArray[Any]], source: str) -> NDArray[np.uint8]:
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
