"""Incomplete, truncated and unreadable datasets are one clear line."""

from __future__ import annotations

import pickle

import pytest

from ogive._errors import DataMissingError, StorageError
from ogive.tasks import get_task


def fails(spec, error, match):
    with pytest.raises(error, match=match) as found:
        get_task(spec).split("train")
    assert len(str(found.value).splitlines()) == 1


def test_an_incomplete_folder_names_what_it_lacks(official):
    folder = official.cifar10_python()
    (folder / "data_batch_3").unlink()
    fails(f"cifar10:path={folder}", DataMissingError, "lacks data_batch_3.*cifar-10-python.tar.gz")


def test_a_complete_layout_wins_over_an_incomplete_one(official):
    (official.cifar10_python() / "test_batch").unlink()
    official.cifar10_binary()
    assert len(get_task(f"cifar10:path={official.root}").split("test")) == 40


def test_a_truncated_archive_is_reported(official):
    path = official.archive(official.cifar10_binary(), "cifar-10-binary.tar.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fails(f"cifar10:path={path}", StorageError, "truncated or corrupt archive.*fetch it again")


def test_a_flipped_byte_in_an_archive_is_reported(official):
    path = official.archive(official.cifar10_binary(), "cifar-10-binary.tar.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)
    fails(f"cifar10:path={path}", StorageError, "truncated or corrupt archive")


def test_a_file_of_another_kind_is_reported(official, tmp_path):
    (tmp_path / "notes.txt").write_text("not an archive")
    fails(f"cifar10:path={tmp_path / 'notes.txt'}", StorageError, "truncated or corrupt archive")
    other = official.archive(official.cifar100_python(), "cifar-100-python.tar.gz")
    fails(f"cifar10:path={other}", DataMissingError, "does not hold cifar-10-python")


def test_a_malicious_batch_is_refused_without_running(official, tmp_path):
    marker = tmp_path / "marker"

    class Attack:
        def __reduce__(self):
            return marker.touch, ()

    (official.cifar10_python() / "data_batch_2").write_bytes(pickle.dumps({b"data": Attack(), b"labels": [1]}, 2))
    fails(f"cifar10:path={official.root}", StorageError, "data_batch_2.*not plain data; refused")
    assert not marker.exists()
