"""Seeded blocks are reproducible and leave the caller's streams alone."""

from __future__ import annotations

import pytest
import torch

from ogive.training.seeding import derive, seeded


def test_the_same_seed_gives_the_same_numbers_and_the_callers_stream_goes_on():
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    with seeded(7):
        first = torch.rand(3)
    with seeded(7):
        second = torch.rand(3)
    with seeded(8):
        third = torch.rand(3)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(torch.rand(4), expected)


def test_the_stream_comes_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(1):
        _ = torch.rand(1) / (1 // 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_derived_seeds_differ_by_seed_and_path_and_are_fixed():
    many = {derive(s, e, k) for s in range(20) for e in range(20) for k in range(2)}
    assert len(many) == 800
    assert all(0 <= v < 2**63 for v in many)
    assert derive(0, 1) == derive(0, 1) != derive(0, 2)
