"""Splits are disjoint, complete, stratified, and the same for ever."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ogive.tasks._splits import stratified


@given(
    y=st.lists(st.integers(0, 4), min_size=10, max_size=120).map(np.array),
    shares=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)),
    seed=st.integers(0, 9),
)
def test_parts_are_disjoint_complete_and_keep_class_shares(y, shares, seed):
    sizes = tuple(int(s * len(y)) for s in shares)
    parts = stratified(y, sizes, seed)
    assert [len(p) for p in parts[1:]] == list(sizes)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    for part in parts:
        for c in np.unique(y):
            expected = len(part) * np.mean(y == c)
            # Up to its own rounding, and up to that of each class beside it, which shifts where all are cut.
            assert abs(np.sum(y[part] == c) - expected) <= 1 + np.sum(y == c) * len(np.unique(y)) / len(y)


def test_equal_classes_are_cut_exactly():
    y = np.repeat(np.arange(10), 100)
    for part, size in zip(stratified(y, (100, 50), seed=3), (850, 100, 50), strict=True):
        assert np.bincount(y[part]).tolist() == [size // 10] * 10


def test_seeds_differ_and_the_split_never_changes():
    y = np.arange(200) % 7
    first, second = stratified(y, (50,), seed=0)[1], stratified(y, (50,), seed=1)[1]
    assert first.tolist() != second.tolist()
    assert zlib.crc32(first.astype("<i8").tobytes()) == 2121476427
