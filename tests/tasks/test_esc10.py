"""ESC-10 keeps all pieces of one recording on one side of every split."""

from __future__ import annotations

import numpy as np
import pytest

from ogive._errors import InputError, StorageError
from ogive.tasks import get_task

SPLITS = ("train", "val", "test")


@pytest.fixture
def path(shared):
    return shared / "audio_esc10_logmel.npz"


@pytest.mark.parametrize(("fold", "val"), [(5, 4), (1, 5), (3, 2)])
def test_folds_make_the_splits_and_no_recording_is_in_two(path, fold, val):
    task = get_task(f"esc10:path={path},fold={fold}")
    with np.load(path) as held:
        x, y, folds, clip = (held[k] for k in ("logmel_q", "label", "fold", "clip"))
    rows = {"test": folds == fold, "val": folds == val, "train": (folds != fold) & (folds != val)}
    for which in SPLITS:
        np.testing.assert_array_equal(task.split(which).x[:, 0], x[rows[which]])
        np.testing.assert_array_equal(task.split(which).y, y[rows[which]])
    clips = [set(clip[rows[which]].tolist()) for which in SPLITS]
    assert sum(map(len, clips)) == len(set.union(*clips)) == len(np.unique(clip))


def test_pooling_averages_squares(path):
    plain, pooled = (get_task(f"esc10:path={path}{end}") for end in ("", ",pool=3"))
    assert pooled.input_shape == (1, 32, 33)
    x, small = plain.split("val").x, pooled.split("val").x
    assert small[7, 0, 31, 32] == pytest.approx(x[7, 0, 93:96, 96:99].mean())
    assert small.dtype == np.float32
    assert pooled.spec == f"esc10:path={path},pool=3"


@pytest.mark.parametrize("options", ["fold=0", "fold=6", "pool=0", "pool=1.5", "fold=true"])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="must be a whole number from 1 to"):
        get_task(f"esc10:{options}")


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", logmel_q=np.zeros((2, 96, 100), np.uint8), label=np.zeros(2), fold=np.ones(2))
    with pytest.raises(StorageError, match="does not hold ESC-10"):
        get_task(f"esc10:path={tmp_path / 'a.npz'}").split("train")
    np.savez(tmp_path / "b.npz", x=np.zeros(2))
    with pytest.raises(StorageError, match="it holds x"):
        get_task(f"esc10:path={tmp_path / 'b.npz'}").split("train")
