"""A step does what it says by hand, and a run that is killed at any step goes on to the same bits."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ogive._errors import DivergedError, InputError, StorageError
from ogive.spaces.base import get_space
from ogive.training.samplers import SAMPLERS
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_data import val_parts
from ogive.training.supernet_trainer import SupernetTrainer

SPACE = get_space("nasbench201:C=2,N=1")
CONFIG = SupernetConfig(epochs=3, batch_size=20, lr=0.05)


def trainer(task, space=SPACE, seed=0, **changes):
    return SupernetTrainer(Supernet(space, task, seed=seed), task, dataclasses.replace(CONFIG, **changes), seed=seed)


def weights(supernet):
    return {name: tensor.clone() for name, tensor in supernet.network.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# -------------------------------------------------------------------- one step


def test_a_step_of_one_path_is_nesterov_sgd_on_that_network_and_moves_nothing_else(blobs):
    """The path taken out and stepped with PyTorch's optimizer: clipped, smoothed and decayed alike."""
    run = trainer(blobs, label_smoothing=0.1, weight_decay=0.01, clip_norm=0.5)
    (path,) = run.sampler.paths(0)
    plain, before = run.supernet.extract(path).train(), weights(run.supernet)
    x, y = run._train_set[0]
    lr = run.config.lr / (0.05 * 15 + 1)
    hand = torch.optim.SGD(plain.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=0.01)
    loss = F.cross_entropy(plain(x), y, label_smoothing=0.1)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
    assert norm > 0.5
    hand.step()
    assert run.step() == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(run.supernet.extract(path).state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-6)
    (other,) = SPACE.check((path + 1) % 5)
    run.supernet.select(other)
    moved = {k for k, v in run.supernet.network.state_dict().items() if not torch.equal(v, before[k])}
    shared = len(plain.state_dict())
    assert 0 < len(moved) <= shared


def test_a_fair_step_averages_the_gradients_of_its_paths(blobs):
    run = trainer(blobs, sampler="fair", momentum=0.0, weight_decay=0.0, clip_norm=0.0)
    x, y = run._train_set[0]
    before = [p.detach().clone() for p in run.supernet.network.head.parameters()]
    gradients = []
    for path in run.sampler.paths(0):
        plain = run.supernet.extract(path).train()
        F.cross_entropy(plain(x), y).backward()
        gradients.append([p.grad for p in plain.head.parameters()])
    run.step()
    lr = run.optimizer.param_groups[0]["lr"]
    for now, old, *each in zip(run.supernet.network.head.parameters(), before, *gradients, strict=True):
        torch.testing.assert_close(now.detach(), old - lr * sum(each) / 5, rtol=1e-4, atol=1e-6)


def test_every_path_that_was_trained_is_counted(blobs):
    run = trainer(blobs, sampler="fair")
    run.run(7)
    assert (run.supernet.exposure == 7).all()
    run = trainer(blobs)
    run.run(7)
    assert (run.supernet.exposure.sum(axis=1) == 7).all()


def test_it_learns(blobs):
    run = trainer(blobs, epochs=8, sampler="fair", lr=0.2)
    g = SPACE.sample(12, np.random.default_rng(0))
    before = np.mean([run.scorer(row)["loss"] for row in g])
    losses = run.run()
    assert len(losses) == run.total_steps == run.steps_done == 40
    assert run.epochs_done == 8
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert np.mean([run.scorer(row)["loss"] for row in g]) < 0.8 * before
    assert run.run() == []
    assert len(run.run(2)) == 2


# -------------------------------------------------------------------- interruption


@pytest.mark.parametrize("name", [*SAMPLERS.builtin, "adamw"])
def test_a_run_killed_at_any_step_goes_on_bit_for_bit(name, blobs, tmp_path):
    """P32, the training part: every step is saved; what is left of a kill is the file."""
    changes = {"sampler": name} if name != "adamw" else {"optimizer": "adamw", "lr": 0.003}
    space = get_space("nats_sss") if name in {"sandwich", "progressive"} else SPACE
    steps = 8
    whole = trainer(blobs, space, seed=3, augment="crop-flip", **changes)
    expected = whole.run(steps)
    assert len(set(expected)) == steps
    killed = trainer(blobs, space, seed=3, augment="crop-flip", **changes)
    for done in range(steps):
        killed.save(tmp_path / str(done))
        killed.step()
    for done in (0, 1, 4, 5, 7):  # an epoch ends between 4 and 5
        torch.manual_seed(done)  # whatever else the process did
        again = SupernetTrainer.load(tmp_path / str(done), blobs)
        assert again.steps_done == done
        assert again.run(steps - done) == expected[done:]
        assert same(weights(again.supernet), weights(whole.supernet))
        np.testing.assert_array_equal(again.supernet.exposure, whole.supernet.exposure)


def test_a_kill_after_an_exclusion_keeps_the_shelf(blobs, tmp_path):
    def narrowed(run):
        run.run(4)
        run.apply(run.supernet.space.restrict(exclude={"0->1": ["nor_conv_3x3"]}))
        return run

    def widened(run):
        first = run.run(3)
        run.apply(SPACE)
        return first + run.run(4)

    whole = narrowed(trainer(blobs, sampler="fair"))
    assert not (np.concatenate([whole.sampler.paths(i) for i in range(9)])[:, 0] == 3).any()
    whole.save(tmp_path)
    expected = widened(whole)
    again = SupernetTrainer.load(tmp_path, blobs)
    assert widened(again) == expected
    assert same(weights(again.supernet), weights(whole.supernet))


def test_stop_ends_the_run_after_the_present_step(blobs):
    run = trainer(blobs)
    inner = run.sampler.train_step

    def stopping(*args):
        if run.steps_done == 3:
            run.stop()
        return inner(*args)

    run.sampler.train_step = stopping
    assert len(run.run()) == run.steps_done == 4
    assert len(run.run(2)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.1}, "the saved training has config"),
        ({"seed": 1}, "the saved training has seed 0, this one 1"),
    ],
)
def test_the_state_of_another_training_is_refused(changes, message, blobs):
    with pytest.raises(InputError, match=message):
        trainer(blobs, **changes).restore(*trainer(blobs).state())


def test_a_folder_without_a_training_is_refused(blobs, tmp_path):
    Supernet(SPACE, blobs).save(tmp_path)
    with pytest.raises(InputError, match="holds no training of a supernet; make one with ogive supernet train"):
        SupernetTrainer.load(tmp_path, blobs)
    with pytest.raises(StorageError):
        SupernetTrainer.load(tmp_path / "nothing", blobs)
    trainer(blobs).save(tmp_path)
    blobs.name = "drops"
    with pytest.raises(InputError, match="was trained on task 'blobs', not 'drops'"):
        SupernetTrainer.load(tmp_path, blobs)


# -------------------------------------------------------------------- failure and hygiene


def test_a_loss_that_is_no_number_ends_the_run_before_the_weights_move(blobs):
    run = trainer(blobs)
    run.run(2)
    with torch.no_grad():
        next(run.supernet.network.head.parameters())[0, 0] = float("nan")
    before = weights(run.supernet)
    with pytest.raises(DivergedError, match="diverged at step 3: the loss is nan; lower the learning rate"):
        run.run()
    assert run.steps_done == 2
    trained = {name for name, _ in run.supernet.named_parameters()}
    now = weights(run.supernet)
    assert all(torch.equal(now[k], before[k]) for k in trained if not before[k].isnan().any())


def test_weights_see_training_data_and_choices_the_search_part_of_validation(blobs):
    run = trainer(blobs, anchors=0.25)
    run.run(3)
    assert set(blobs.asked) == {"train"}
    rows = val_parts(blobs, 0.25)[0]
    held = set(map(bytes, blobs.split("val").x[rows]))
    assert len(held) == 30
    seen = [run.val_batch()[0] for _ in range(4)]
    batches = run._search_set.batches
    found = {bytes(row) for x in seen for row in torch.round(x / batches.scale + batches.mean).numpy().astype(np.uint8)}
    assert found == held
    run.scorer(SPACE.sample(1, np.random.default_rng(0))[0])
    assert "test" not in blobs.asked


def test_random_streams_of_the_caller_stay_as_they_were(blobs):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the caller's
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    trainer(blobs, augment="crop-flip").run(2)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_a_save_that_fails_leaves_the_old_file(blobs, tmp_path, monkeypatch):
    run = trainer(blobs)
    path = run.save(tmp_path)
    before = path.read_bytes()
    run.step()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="No space left"):
        run.save(tmp_path)
    assert path.read_bytes() == before
