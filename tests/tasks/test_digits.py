"""The default task is scikit-learn's digits, cut once and for all."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.datasets import load_digits

from ogive._errors import InputError, UnknownNameError
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


@pytest.mark.parametrize("which", SPLITS)
def test_variants_change_images_or_classes_and_keep_the_split(which):
    plain = get_task("digits").split(which)
    rotated, inverted, noisy, permuted, parity = (
        get_task(f"digits:variant={v}").split(which) for v in ("rotated", "inverted", "noisy", "permuted", "parity")
    )
    np.testing.assert_array_equal(rotated.x[:, 0, 7, 0], plain.x[:, 0, 0, 0])
    np.testing.assert_array_equal(rotated.x[:, 0, 0, 0], plain.x[:, 0, 0, 7])
    np.testing.assert_array_equal(inverted.x.astype(int) + plain.x, np.full(plain.x.shape, 16))
    off = noisy.x.astype(int) - plain.x
    assert (noisy.x.max(), noisy.x.min(), np.abs(off).max()) == (16, 0, 8)
    assert len(np.unique(off)) == 17
    flat = [s.x.reshape(len(s), -1) for s in (plain, permuted)]
    np.testing.assert_array_equal(*(np.sort(rows, axis=1) for rows in flat))
    columns = [np.unique(rows.T, axis=0) for rows in flat]
    np.testing.assert_array_equal(*columns)
    assert not np.array_equal(*flat)
    np.testing.assert_array_equal(parity.x, plain.x)
    np.testing.assert_array_equal(parity.y, plain.y % 2)
    for other in (rotated, inverted, noisy, permuted):
        np.testing.assert_array_equal(other.y, plain.y)


def test_unknown_variants_name_the_nearest():
    with pytest.raises(UnknownNameError, match="variant of the digits 'rotate'; did you mean 'rotated'"):
        get_task("digits:variant=rotate")


def test_noise_and_order_are_the_same_on_every_machine():
    crcs = [zlib.crc32(get_task(f"digits:variant={v}").split("test").x.tobytes()) for v in ("noisy", "permuted")]
    assert crcs == [2180824664, 3360196644]


def test_the_split_is_fixed():
    task = get_task("digits")
    assert [zlib.crc32(task.split(s).x.tobytes()) for s in SPLITS] == [1031957972, 3944120153, 1123245983]


def test_gaussian_noise_has_the_deviation_asked_for_and_the_stated_statistics():
    task, plain = get_task("digits:noise=0.45"), get_task("digits")
    noise = np.concatenate([task.split(s).x - plain.split(s).x for s in SPLITS]).ravel() / 16
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 5 * 0.45 / noise.size**0.5
    assert abs(noise.std() / 0.45 - 1) < 0.01
    assert kstest(noise / noise.std(), "norm").pvalue > 0.001
    x = task.split("train").x
    assert abs(x.mean() - task.mean[0]) < 0.1
    assert abs(x.std() / task.std[0] - 1) < 0.01


def test_sizes_can_be_chosen_and_the_spec_gives_the_same_task_again():
    task = get_task("digits:noise=0.45,test=497")
    assert [len(task.split(s)) for s in SPLITS] == [900, 400, 497]
    again = get_task(task.spec)
    assert (task.spec, again.std) == ("digits:noise=0.45,test=497", task.std)
    np.testing.assert_array_equal(again.split("val").x, task.split("val").x)
    assert get_task("digits:val=400").spec == "digits"
    assert np.bincount(task.split("val").y).min() >= 38


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("noise=-1", "noise >= 0"),
        ("noise=x", "noise >= 0"),
        ("val=0", "val >= 1"),
        ("test=1.5", "test >= 1"),
        ("val=900,test=897", "leave none to train"),
    ],
)
def test_unusable_noise_and_sizes_are_refused(options, complaint):
    with pytest.raises(InputError, match=complaint):
        get_task(f"digits:{options}")
