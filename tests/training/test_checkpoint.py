"""Checkpoint files hold exactly what was saved and are replaced as a whole."""

from __future__ import annotations

import pytest
import torch

from ogive._errors import StorageError
from ogive.training.checkpoint import (
    load_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_tensors,
    write_bytes,
)


def test_tensors_and_facts_come_back_exactly(tmp_path):
    shared = torch.randn(3, 4)
    tensors = {
        "a": shared,
        "tied": shared,
        "strided": torch.randn(4, 3).T,
        "half": torch.randn(2, dtype=torch.float32).to(torch.bfloat16),
        "count": torch.tensor(7),
        "odd": torch.tensor([float("nan"), -0.0, float("inf")]),
    }
    facts = {"loss": 0.1 + 0.2, "list": [1, None, "é"]}
    path = save_tensors(tmp_path / "deep" / "x.safetensors", tensors, facts)
    found, noted = load_tensors(path)
    assert noted == facts
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name].view(-1).view(torch.uint8), value.contiguous().view(-1).view(torch.uint8))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = write_bytes(tmp_path / "x", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ogive.training.checkpoint.os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_unwritable_and_unreadable_places_are_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write"):
        save_tensors(tmp_path / "file" / "x.safetensors", {}, {})
    with pytest.raises(StorageError, match="cannot be read as safetensors"):
        load_tensors(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot be read as safetensors"):
        load_tensors(tmp_path / "absent")


@pytest.mark.parametrize("cut", [4, 60, -1])
def test_a_truncated_file_is_reported(tmp_path, cut):
    path = save_tensors(tmp_path / "x", {"a": torch.ones(100)}, {})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StorageError, match="cannot be read"):
        load_tensors(path)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_a_restored_optimizer_takes_the_same_steps(kind, make):
    def build():
        model = make()
        options = {"momentum": 0.9} if kind == "SGD" else {}
        return model, getattr(torch.optim, kind)(model.parameters(), lr=0.01, fused=True, **options)

    def step(model, optimizer, seed):
        x = torch.randn(8, 2, 4, 4, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        model.eval()(x).square().mean().backward()
        optimizer.step()

    model, optimizer = build()
    step(model, optimizer, 0)
    other, fresh = build()
    other.load_state_dict(model.state_dict())
    restore_optimizer(fresh, {k: v.clone() for k, v in optimizer_tensors(optimizer).items()})
    step(model, optimizer, 1)
    step(other, fresh, 1)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
