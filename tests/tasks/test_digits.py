"""The default task is scikit-learn's digits, cut once and for all."""

from __future__ import annotations

import zlib

import numpy as np
from sklearn.datasets import load_digits

from ogive.tasks import get_task

SPLITS = ("train", "val", "test")


def test_splits_are_the_whole_of_scikit_learns_digits_without_repeats():
    task = get_task("digits")
    rows = np.concatenate([np.column_stack([s.x.reshape(-1, 64), s.y]) for s in map(task.split, SPLITS)])
    truth = load_digits()
    expected = np.column_stack([truth.data, truth.target])
    assert [len(task.split(s)) for s in SPLITS] == [997, 400, 400]
    assert len(np.unique(rows, axis=0)) == len(rows)
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(expected, axis=0))


def test_stated_statistics_are_those_of_the_training_split():
    task = get_task("digits")
    x = task.split("train").x
    assert abs(x.mean() - task.mean[0]) < 1e-3
    assert abs(x.std() - task.std[0]) < 1e-3


def test_the_split_is_fixed():
    task = get_task("digits")
    assert [zlib.crc32(task.split(s).x.tobytes()) for s in SPLITS] == [1031957972, 3944120153, 1123245983]
