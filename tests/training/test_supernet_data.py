"""Batches are a function of their number; the two parts of the validation split never meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ogive.tasks import get_task
from ogive.training.data import Batches
from ogive.training.supernet_data import Stream, val_parts


def raw(stream, x):
    """Undo the normalisation, to find examples again."""
    return torch.round(x / stream.batches.scale + stream.batches.mean)


def test_an_epoch_has_every_example_once_and_epochs_differ(blobs):
    batches = Batches(blobs, "train", torch.device("cpu"))
    stream = Stream(batches, 20, seed=1)
    assert stream.per_epoch == 5  # 101 examples: the last one joins the batch before it
    epochs = [torch.cat([raw(stream, stream[e * 5 + i][0]) for i in range(5)]) for e in range(2)]
    held = sorted(map(bytes, blobs.split("train").x))
    for epoch in epochs:
        assert sorted(map(bytes, epoch.numpy().astype(np.uint8))) == held
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_any_batch_can_be_asked_for_in_any_order(blobs, augment):
    batches = Batches(blobs, "train", torch.device("cpu"))
    forwards, backwards = (Stream(batches, 20, seed=1, augment=augment) for _ in range(2))
    one = [forwards[j] for j in range(12)]
    two = [backwards[j] for j in reversed(range(12))][::-1]
    assert all(torch.equal(a, b) for p, q in zip(one, two, strict=True) for a, b in zip(p, q, strict=True))
    assert not torch.equal(Stream(batches, 20, seed=2, augment=augment)[0][0], one[0][0])


def test_rows_confine_a_stream(blobs):
    batches = Batches(blobs, "val", torch.device("cpu"))
    rows = np.array([3, 7, 8, 20, 31])
    stream = Stream(batches, 2, seed=0, rows=rows)
    seen = torch.cat([raw(stream, stream[j][0]) for j in range(stream.per_epoch)])
    assert sorted(map(bytes, seen.numpy().astype(np.uint8))) == sorted(map(bytes, blobs.split("val").x[rows]))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_the_parts_of_validation_are_disjoint_whole_and_balanced(share):
    task = get_task("digits")
    search, anchor = val_parts(task, share)
    assert len(anchor) == share * 400
    assert sorted([*search, *anchor]) == list(range(400))
    classes = [np.bincount(task.split("val").y[rows], minlength=10) for rows in (search, anchor)]
    whole = np.bincount(task.split("val").y)
    assert np.abs(classes[1] - share * whole).max() <= 1
