"""Any labelled arrays become a task: shapes, statistics and splits come from the file."""

from __future__ import annotations

import numpy as np
import pytest

from ogive._errors import DataMissingError, InputError, StorageError
from ogive.tasks import get_task

SPLITS = ("train", "val", "test")
RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, (100, 2, 4, 6))
Y = np.arange(100) % 4


def made(path, val=0, **arrays):
    np.savez(path / "a.npz", **arrays)
    return get_task(f"arrays:path={path / 'a.npz'}" + (f",val={val}" if val else ""))


def test_shapes_classes_and_statistics_are_those_of_the_file(tmp_path):
    task = made(tmp_path, x_train=X, y_train=Y, x_test=X[:8], y_test=Y[:8])
    assert (task.input_shape, task.n_outputs) == ((2, 4, 6), 4)
    assert [len(task.split(w)) for w in SPLITS] == [90, 10, 8]
    x = task.split("train").x
    assert x.dtype == np.float32
    np.testing.assert_allclose(task.mean, x.astype(np.float64).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(task.std, x.astype(np.float64).std(axis=(0, 2, 3)))
    assert get_task(task.spec).mean == task.mean


def test_parts_that_are_there_are_kept_and_those_that_lack_are_cut_from_training(tmp_path):
    task = made(tmp_path, x_train=X, y_train=Y, x_val=X[:20] + 1, y_val=Y[:20])
    assert [len(task.split(w)) for w in SPLITS] == [90, 20, 10]
    np.testing.assert_array_equal(task.split("val").x, (X[:20] + 1).astype(np.float32))
    assert [len(made(tmp_path, val=30, x_train=X, y_train=Y).split(w)) for w in SPLITS] == [60, 30, 10]
    with pytest.raises(InputError, match="has a validation part of its own"):
        made(tmp_path, val=30, x_train=X, y_train=Y, x_val=X, y_val=Y)


@pytest.mark.parametrize(("shape", "expected"), [((100, 6), (1, 1, 6)), ((100, 5, 6), (1, 5, 6))])
def test_missing_axes_are_leading_ones(shape, expected, tmp_path):
    x = RNG.integers(0, 256, shape, dtype=np.uint8)
    task = made(tmp_path, x_train=x, y_train=Y, x_test=x, y_test=Y)
    assert task.input_shape == expected
    assert task.split("test").x.dtype == np.uint8
    np.testing.assert_array_equal(task.split("test").x.reshape(shape), x)


def test_a_channel_that_never_changes_is_not_divided_by_zero(tmp_path):
    assert made(tmp_path, x_train=np.ones((100, 3)), y_train=Y).std == (1.0,)


@pytest.mark.parametrize(
    ("arrays", "error", "match"),
    [
        ({"x": X}, StorageError, "has no x_train and y_train; it holds x"),
        ({"x_train": X, "y_train": Y[:50]}, StorageError, r"classes int64\[50\]"),
        ({"x_train": X, "y_train": Y / 2}, StorageError, "classes float64"),
        ({"x_train": X.reshape(-1), "y_train": Y}, StorageError, r"x_train is float64\[4800\]"),
        ({"x_train": np.where(X > 6, np.nan, X), "y_train": Y}, InputError, "x_train has values that are not finite"),
        ({"x_train": X, "y_train": Y - 1}, InputError, r"labels beyond 0\.\.2"),
        ({"x_train": X, "y_train": Y, "x_val": X[:, :1], "y_val": Y}, StorageError, "x_val has examples of another"),
    ],
)
def test_unusable_files_say_why(arrays, error, match, tmp_path):
    with pytest.raises(error, match=match) as found:
        made(tmp_path, **arrays)
    assert len(str(found.value).splitlines()) == 1


def test_the_file_must_be_named_and_be_there(tmp_path):
    with pytest.raises(InputError, match=r"write arrays:path=FILE\.npz"):
        get_task("arrays")
    with pytest.raises(DataMissingError, match="there is no file"):
        get_task(f"arrays:path={tmp_path / 'a.npz'}")
