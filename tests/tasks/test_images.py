"""Decoders accept what the official files hold and say what is wrong with anything else."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest

from ogive._errors import MissingDependencyError, StorageError
from ogive.tasks import _images
from ogive.tasks._files import read_npz
from ogive.tasks._images import binary_batch, cifar10_extract, idx_array, python_batch


def batch(**changes):
    return pickle.dumps({"data": np.zeros((2, 12), dtype=np.uint8), "labels": [1, 2]} | changes)


def test_python_batch_is_channel_major_and_counts_classes_from_zero():
    data = np.arange(24, dtype=np.uint8).reshape(2, 12)
    x, y = python_batch(batch(data=data), "b", label="labels", side=2, first=1)
    assert x[1].tolist() == [[[12, 13], [14, 15]], [[16, 17], [18, 19]], [[20, 21], [22, 23]]]
    assert y.tolist() == [0, 1]
    assert y.dtype == np.int64


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (pickle.dumps([1, 2]), "holds no dictionary"),
        (pickle.dumps({"labels": [1]}), "has no 'data'"),
        (pickle.dumps({"data": np.zeros((1, 12), np.uint8)}), "has no 'labels'"),
        (batch(labels=[1]), r"labels \[1\]"),
        (batch(data=np.zeros((2, 13), np.uint8)), r"uint8\[2, 13\]"),
        (batch(data=np.zeros((2, 12), np.float32)), r"float32\[2, 12\]"),
        (batch()[:-20], "truncated or corrupt"),
    ],
)
def test_other_pickles_are_refused(data, match):
    with pytest.raises(StorageError, match=match):
        python_batch(data, "b", label="labels", side=2)


def test_binary_batch_takes_the_last_label_of_each_record():
    records = bytes([7, 3, *range(12), 8, 4, *range(12, 24)])
    x, y = binary_batch(records, "b", labels=2, side=2)
    assert y.tolist() == [3, 4]
    assert x[1].reshape(-1).tolist() == list(range(12, 24))


@pytest.mark.parametrize("data", [b"", bytes(27), bytes(13)])
def test_a_truncated_binary_batch_is_reported(data):
    with pytest.raises(StorageError, match="not a multiple of 14"):
        binary_batch(data, "b", labels=2, side=2)


def test_other_and_damaged_extracts_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(StorageError, match="is no CIFAR-10 extract: it holds x"):
        cifar10_extract(read_npz("cifar10", path), "a.npz")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StorageError, match="truncated or corrupt"):
        read_npz("cifar10", path)
    np.savez(path, x_delta=np.array([{}], dtype=object), y=np.zeros(1))
    with pytest.raises(StorageError, match="truncated or corrupt"):
        read_npz("cifar10", path)


def test_jpegs_without_pillow_name_the_package(monkeypatch):
    def absent(module, extra, purpose):
        raise MissingDependencyError(f"{purpose} needs {module} from {extra}")

    monkeypatch.setattr(_images, "require", absent)
    one = np.zeros(1, dtype=np.uint8)
    held = {"header": one, "body": one, "offsets": np.array([0, 1]), "labels": one, "split": one}
    with pytest.raises(MissingDependencyError, match="JPEG images needs PIL"):
        cifar10_extract(held, "a.npz")


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_are_read_compressed_or_not(pack):
    written = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(idx_array(pack(idx(written)), "a"), written)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "no IDX file of bytes"),
        (b"\0\0\x0d\x01" + bytes(8), "no IDX file of bytes: it begins with 00 00 0d 01"),
        (idx(np.zeros((2, 3), np.uint8))[:6], "no IDX file"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], "has 5 values where 2 x 3 belong; it is truncated"),
        (gzip.compress(idx(np.zeros(9, np.uint8)))[:-9], "truncated or corrupt gzip"),
    ],
)
def test_other_and_truncated_idx_files_are_refused(data, match):
    with pytest.raises(StorageError, match=match):
        idx_array(data, "a")
