"""A probe learns its tasks, from their training splits alone, as its seed says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ogive.tasks import get_task
from ogive.tasks.digits import Digits
from ogive.tasks.embedding import as_images, fisher_embedding
from ogive.training.probe import train_probe


class Guarded(Digits):
    def split(self, which):
        assert which == "train"
        return super().split(which)


def accuracy(probe, task, outputs):
    split = task.split("val")
    with torch.no_grad():
        logits = probe(as_images(task, split.x, 16))[:, outputs]
    return (logits.argmax(dim=1).numpy() == split.y).mean()


def test_a_probe_learns_two_tasks_together_and_gives_embeddings():
    tasks = [Guarded(), Guarded("parity")]
    state = torch.get_rng_state()
    probe = train_probe(tasks, steps=120, width=24)
    assert torch.equal(torch.get_rng_state(), state)
    assert not probe.training
    # Chance is 10 % and 50 %.
    assert accuracy(probe, get_task("digits"), slice(0, 10)) > 0.85
    assert accuracy(probe, get_task("digits:variant=parity"), slice(10, 12)) > 0.85
    assert fisher_embedding(tasks[0], probe, examples=40).shape == (24,)


def test_the_seed_decides():
    first, again, other = (train_probe([get_task("digits")], steps=3, seed=s) for s in (1, 1, 2))
    weights = [np.concatenate([p.detach().numpy().ravel() for p in m.parameters()]) for m in (first, again, other)]
    assert (weights[0] == weights[1]).all()
    assert not np.allclose(weights[0], weights[2])
    with pytest.raises(AssertionError):
        train_probe([get_task("digits"), Never()], steps=2)


class Never(Digits):
    def split(self, which):
        raise AssertionError("every task takes its turn")
