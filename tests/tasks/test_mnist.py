"""MNIST is read from its four official files, compressed or not, and from an .npz file."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from ogive._errors import DataMissingError, StorageError
from ogive.tasks import get_task

SPLITS = ("train", "val", "test")


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(240) % 10).astype(np.uint8)
    x = rng.integers(0, 256, (240, 28, 28), dtype=np.uint8)
    return {"x_train": x[:200], "y_train": y[:200], "x_test": x[200:], "y_test": y[200:]}


def write(folder, arrays, pack, end):
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in (
        ("train-images-idx3-ubyte", "x_train"),
        ("train-labels-idx1-ubyte", "y_train"),
        ("t10k-images-idx3-ubyte", "x_test"),
        ("t10k-labels-idx1-ubyte", "y_test"),
    ):
        (folder / (name + end)).write_bytes(pack(idx(arrays[key])))


@pytest.mark.parametrize(("pack", "end"), [(gzip.compress, ".gz"), (bytes, "")])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_official_files_give_the_written_images(pack, end, below, arrays, tmp_path, monkeypatch):
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))
    write(tmp_path / "mnist" / below, arrays, pack, end)
    check(get_task("mnist"), arrays)


@pytest.mark.parametrize("named", [True, False])
def test_an_npz_file_does_as_well(named, arrays, tmp_path):
    np.savez(tmp_path / "mnist.npz", **arrays)
    check(get_task(f"mnist:path={tmp_path / 'mnist.npz' if named else tmp_path}"), arrays)


def check(task, arrays):
    assert [len(task.split(w)) for w in SPLITS] == [180, 20, 40]
    np.testing.assert_array_equal(task.split("test").x[:, 0], arrays["x_test"])
    np.testing.assert_array_equal(task.split("test").y, arrays["y_test"])
    found = np.concatenate([np.column_stack([s.x.reshape(len(s), -1), s.y]) for s in map(task.split, ("train", "val"))])
    written = np.column_stack([arrays["x_train"].reshape(200, -1), arrays["y_train"]])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], written[np.lexsort(written.T)])


def test_other_files_are_refused(arrays, tmp_path):
    write(tmp_path, arrays | {"x_test": arrays["x_test"][:, :20]}, gzip.compress, ".gz")
    with pytest.raises(StorageError, match=r"is not MNIST: images uint8\[40, 20, 28\]"):
        get_task(f"mnist:path={tmp_path}").split("train")
    np.savez(tmp_path / "other.npz", **(arrays | {"x_test": arrays["x_test"] / 2}))
    with pytest.raises(StorageError, match=r"is not MNIST: images float32"):
        get_task(f"mnist:path={tmp_path / 'other.npz'}").split("train")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataMissingError, match=r"lacks t10k-labels-idx1-ubyte\.gz"):
        get_task(f"mnist:path={tmp_path}").split("train")


def test_the_first_published_labels(shared):
    task = get_task(f"mnist:path={shared / 'mnist_12k.npz'}")
    assert [len(task.split(w)) for w in SPLITS] == [8100, 900, 3000]
    # The first test digits of MNIST.
    assert task.split("test").y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
