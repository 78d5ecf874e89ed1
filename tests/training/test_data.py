"""Batches hold every example once, normalised; crops and mirrors are real crops and mirrors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ogive.training.data import Batches, batch_bounds, crop_flip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(n=st.integers(2, 300), size=st.integers(2, 64))
def test_batches_cover_everything_and_none_is_single(n, size):
    bounds = batch_bounds(n, size)
    assert [i for a, b in bounds for i in range(a, b)] == list(range(n))
    assert all(2 <= b - a <= size + 1 for a, b in bounds)


def test_shuffled_gives_each_example_once_normalised(blobs):
    batches = Batches(blobs, "train", torch.device("cpu"))
    split = blobs.split("train")
    expected = (split.x.astype(np.float64) - 100) / 60
    for seed in (0, 1):
        found = list(batches.shuffled(20, "none", generator(seed)))
        assert [len(y) for _, y in found] == [20, 20, 20, 20, 21]
        x, y = torch.cat([x for x, _ in found]).numpy(), torch.cat([y for _, y in found]).numpy()
        rows, truth = np.column_stack([x.reshape(101, -1), y]), np.column_stack([expected.reshape(101, -1), split.y])
        np.testing.assert_allclose(rows[np.lexsort(rows.T)], truth[np.lexsort(truth.T)], atol=1e-5)
    first, again, other = (next(batches.shuffled(20, "none", generator(s)))[1] for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_in_order_keeps_the_order(blobs):
    batches = Batches(blobs, "val", torch.device("cpu"))
    y = torch.cat([y for _, y in batches.in_order(7)])
    assert y.tolist() == blobs.split("val").y.tolist()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_output_is_a_crop_of_its_own_padded_image_mirrored_or_not(dtype):
    n, h, w, pad = 300, 8, 16, 1
    x = torch.randint(1, 255, (n, 3, h, w), generator=generator(5)).to(dtype)
    out = crop_flip(x, generator())
    assert out.shape == x.shape
    assert out.dtype == dtype
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    seen = set()
    for i in range(n):
        matches = {
            (dy, dx, m)
            for dy in range(2 * pad + 1)
            for dx in range(2 * pad + 1)
            for m in (False, True)
            for crop in [padded[i, :, dy : dy + h, dx : dx + w]]
            if np.array_equal(out[i].numpy(), crop[..., ::-1] if m else crop)
        }
        assert len(matches) == 1
        seen |= matches
    assert len(seen) == 18, "every place and both mirrorings occur"


def test_cifar_sized_images_are_padded_by_four():
    x = torch.ones(400, 1, 32, 32)
    missing = 32 - crop_flip(x, generator())[:, 0].amax(dim=1).sum(dim=1)
    assert missing.max() == 4
