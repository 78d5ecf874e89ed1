"""The image tasks read every official layout to the same arrays, and cut them into disjoint splits."""

from __future__ import annotations

import io

import numpy as np
import pytest

from ogive._errors import InputError, StorageError
from ogive.tasks import get_task

SPLITS = ("train", "val", "test")


def contents(task):
    """Rows of pixels and class, by split."""
    return {w: np.column_stack([s.x.reshape(len(s), -1), s.y]) for w in SPLITS for s in [task.split(w)]}


def sorted_rows(rows):
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("layout", ["python", "binary"])
@pytest.mark.parametrize("place", ["folder", "parent", "archive", "archive in data home"])
def test_every_official_layout_gives_the_written_images(name, layout, place, official, monkeypatch):
    folder = getattr(official, f"{name}_{layout}")()
    spec = f"{name}:path={folder}"
    if place == "parent":
        spec = f"{name}:path={official.root}"
    elif place == "archive":
        spec = f"{name}:path={official.archive(folder, 'any-name.tgz')}"
    elif place == "archive in data home":
        (official.root / name).mkdir()
        official.archive(folder, f"{name}/{name[:5]}-{name[5:]}-{layout}.tar.gz")
        monkeypatch.setenv("OGIVE_DATA", str(official.root))
        spec = name
    found = contents(get_task(spec))
    written = np.column_stack([official.x.reshape(len(official.x), -1), official.y])
    np.testing.assert_array_equal(found["test"], written[200:])
    train = np.concatenate([found["train"], found["val"]])
    np.testing.assert_array_equal(sorted_rows(train), sorted_rows(written[:200]))
    assert len(found["val"]) == 20


def test_validation_share_can_be_chosen_and_is_stratified(official):
    task = get_task(f"cifar10:path={official.cifar10_binary()},val=100")
    assert [len(task.split(w)) for w in SPLITS] == [100, 100, 40]
    truth = np.bincount(official.y[:200], minlength=10) / 2
    assert np.abs(np.bincount(task.split("val").y, minlength=10) - truth).max() <= 1
    with pytest.raises(InputError, match="val=200 leaves none of the 200 examples"):
        get_task(f"cifar10:path={official.root},val=200").split("train")


def test_imagenet16_120_keeps_the_first_120_classes_from_zero(official):
    task = get_task(f"imagenet16-120:path={official.imagenet16()}")
    kept = [0, 50, 100, 0, 119]
    train = np.concatenate([task.split("train").y, task.split("val").y])
    assert sorted(train.tolist()) == sorted(kept * 10)
    assert task.split("test").y.tolist() == kept
    expected = np.random.default_rng(10).integers(0, 256, (24, 768), dtype=np.uint8)
    np.testing.assert_array_equal(task.split("test").x[1].reshape(-1), expected[1])
    assert task.split("test").x.shape[1:] == task.input_shape


def test_labels_beyond_the_classes_are_refused(official):
    official.y = official.y + 1
    with pytest.raises(InputError, match=r"labels beyond 0\.\.9"):
        get_task(f"cifar10:path={official.cifar10_binary()}").split("train")


def test_lossless_extract_has_real_images_and_a_test_part(shared):
    path = shared / "cifar10_lossless_first4000.npz"
    task = get_task(f"cifar10:path={path}")
    assert [len(task.split(w)) for w in SPLITS] == [3200, 400, 400]
    with np.load(path) as held:
        truth = np.cumsum(held["x_delta"].astype(np.int64), axis=-1) % 256
        labels = held["y"]
    rows = np.concatenate(list(contents(task).values()))
    expected = np.column_stack([truth.reshape(4000, -1), labels])
    np.testing.assert_array_equal(sorted_rows(rows), sorted_rows(expected))
    # The published first labels of CIFAR-10: frog, truck, truck, deer, automobile.
    assert labels[:5].tolist() == [6, 9, 9, 4, 1]


def test_stated_statistics_are_those_of_the_images(shared):
    task = get_task(f"cifar10:path={shared / 'cifar10_lossless_first4000.npz'}")
    x = task.split("train").x.astype(np.float64)
    np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), task.mean, atol=1.0)
    np.testing.assert_allclose(x.std(axis=(0, 2, 3)), task.std, atol=1.0)


def test_jpeg_extract_decodes_to_the_images_of_the_lossless_one(shared, tmp_path):
    """A slice of the JPEG extract, so that the test is quick: pixels agree with the originals to JPEG quality."""
    image = pytest.importorskip("PIL.Image")
    with np.load(shared / "cifar10_jpeg_full.npz") as held, np.load(shared / "cifar10_lossless_first4000.npz") as other:
        rows = np.sort(other["jpeg_index"][:60])
        offsets, body = held["offsets"], held["body"]
        parts = [body[offsets[i] : offsets[i + 1]] for i in rows]
        arrays = {
            "header": held["header"],
            "body": np.concatenate(parts),
            "offsets": np.cumsum([0] + [len(p) for p in parts]),
            "labels": held["labels"][rows],
            "split": np.arange(60) // 50,
        }
        originals = np.cumsum(other["x_delta"][:60], axis=-1, dtype=np.uint8)[np.argsort(other["jpeg_index"][:60])]
    np.savez(tmp_path / "few.npz", **arrays)
    task = get_task(f"cifar10:path={tmp_path / 'few.npz'}")
    test = task.split("test")
    error = test.x.astype(float) - originals[50:]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 25
    np.testing.assert_array_equal(test.y, arrays["labels"][50:])
    first = image.open(io.BytesIO(arrays["header"].tobytes() + parts[50].tobytes() + b"\xff\xd9"))
    np.testing.assert_array_equal(test.x[0], np.asarray(first).transpose(2, 0, 1))

    arrays["header"] = np.zeros_like(arrays["header"])
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(StorageError, match="image 0 is corrupt"):
        get_task(f"cifar10:path={tmp_path / 'bad.npz'}").split("train")


def test_search_splits_never_hold_a_test_image(official):
    """Audit by position: the files of the test part alone feed the test split."""
    rows = contents(get_task(f"cifar10:path={official.cifar10_python()}"))
    test = {r.tobytes() for r in rows["test"]}
    assert len(test) == 40
    assert not test & {r.tobytes() for w in ("train", "val") for r in rows[w]}
