"""Training learns, is fixed by its seed, resumes to the same bits, and stops when told to."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ogive._errors import DivergedError, InputError
from ogive.spaces.base import get_space
from ogive.tasks import get_task
from ogive.training.config import TrainConfig
from ogive.training.trainer import find_device, score, train

CONFIG = TrainConfig(epochs=6, batch_size=20, lr=0.05)


def trace(result):
    """Everything of the history that does not depend on the clock."""
    return [dataclasses.replace(e, seconds=0.0) for e in result.history]


def weights(model):
    return [v.clone() for v in model.state_dict().values()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_it_learns_what_can_be_learnt_and_reports_the_last_epoch(blobs, make):
    model = make()
    before = score(model, blobs, "val")["accuracy"]
    result = train(model, blobs, CONFIG)
    assert before < 60 < 95 <= result.accuracy
    assert [e.epoch for e in result.history] == [1, 2, 3, 4, 5, 6]
    assert result.epochs == 6
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert {"accuracy": result.accuracy, "loss": result.loss} == score(model, blobs, "val")
    assert result.seconds == result.history[-1].seconds > 0


def test_one_step_is_nesterov_sgd_by_hand(blobs):
    """One epoch of one batch, dropout-free, against the update written out."""
    blobs.sizes["train"] = 30
    linear = nn.Sequential(nn.Flatten(), nn.Linear(32, 4))
    x = torch.tensor((blobs.split("train").x.astype(np.float32) - 100) / 60)
    y = torch.tensor(blobs.split("train").y)
    hand = copy.deepcopy(linear)
    F.cross_entropy(hand(x), y, label_smoothing=0.1).backward()
    config = TrainConfig(epochs=1, batch_size=30, lr=0.5, warmup=0.0, weight_decay=0.01, label_smoothing=0.1)
    train(linear, blobs, config)
    for now, start in zip(linear.parameters(), hand.parameters(), strict=True):
        gradient = start.grad + 0.01 * start.detach()
        # The first velocity is the gradient itself; Nesterov's look-ahead adds 0.9 of it.
        torch.testing.assert_close(now.detach(), start.detach() - 0.5 * (1 + 0.9) * gradient, rtol=1e-4, atol=1e-6)


class TwoHeads(nn.Module):
    """Two linear heads over the same pixels."""

    def __init__(self):
        super().__init__()
        self.head, self.auxiliary = nn.Linear(32, 4), nn.Linear(32, 4)

    def forward(self, x):
        return self.head(x.flatten(1))

    def with_auxiliary(self, x):
        return self.head(x.flatten(1)), self.auxiliary(x.flatten(1))


@pytest.mark.parametrize("weight", [0.4, 0.0])
def test_an_auxiliary_head_adds_its_share_of_the_loss(weight, blobs):
    """One plain gradient step: each head moves by its own gradient, the auxiliary one scaled by its weight."""
    blobs.sizes["train"] = 30
    model = TwoHeads()
    start = copy.deepcopy(model)
    x = torch.tensor((blobs.split("train").x.astype(np.float32) - 100) / 60)
    y = torch.tensor(blobs.split("train").y)
    sum(F.cross_entropy(logits, y) for logits in start.with_auxiliary(x)).backward()
    config = TrainConfig(
        epochs=1, batch_size=30, lr=0.5, warmup=0.0, weight_decay=0.0, momentum=0.0, auxiliary_weight=weight
    )
    train(model, blobs, config)
    for head, share in (("head", 1.0), ("auxiliary", weight)):
        before = getattr(start, head).weight
        expected = before.detach() - 0.5 * share * before.grad
        torch.testing.assert_close(getattr(model, head).weight.detach(), expected)


def test_gradients_are_clipped_to_the_norm(blobs):
    blobs.sizes["train"] = 30
    linear = nn.Sequential(nn.Flatten(), nn.Linear(32, 4))
    start = copy.deepcopy(linear)
    options = {"epochs": 1, "batch_size": 30, "lr": 1.0, "warmup": 0.0, "weight_decay": 0.0, "momentum": 0.0}
    train(linear, blobs, TrainConfig(**options, clip_norm=1e-3))
    moved = [a.detach() - b.detach() for a, b in zip(linear.parameters(), start.parameters(), strict=True)]
    assert torch.stack([m.square().sum() for m in moved]).sum().sqrt().item() == pytest.approx(1e-3, rel=1e-3)


def test_the_seed_fixes_everything_and_the_callers_streams_go_on(blobs, make):
    runs = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        model = make()
        result = train(model, blobs, CONFIG, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        runs.append((trace(result), weights(model)))
    (first, w1), (again, w2), (other, w3) = runs
    assert first == again
    assert same(w1, w2)
    assert first != other
    assert not same(w1, w3)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        dataclasses.replace(CONFIG, optimizer="adamw", schedule="cosine", label_smoothing=0.1),
        dataclasses.replace(CONFIG, augment="crop-flip", clip_norm=1.0, validate_every=4, channels_last=True),
    ],
    ids=["sgd", "adamw", "augmented"],
)
@pytest.mark.parametrize("stop", [1, 4])
def test_a_resumed_run_is_the_undisturbed_one_bit_for_bit(config, stop, blobs, make, tmp_path):
    whole = make()
    expected = train(whole, blobs, config, seed=5)
    path = tmp_path / "run.safetensors"

    def interrupt(epoch):
        if epoch.epoch == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make(), blobs, config, seed=5, checkpoint=path, callback=interrupt)
    resumed = make()
    with torch.no_grad():
        for p in resumed.parameters():
            p.zero_()
    epochs = []
    result = train(resumed, blobs, config, seed=5, checkpoint=path, callback=lambda e: epochs.append(e.epoch))
    assert epochs == list(range(stop + 1, config.epochs + 1))
    assert trace(result) == trace(expected)
    assert same(weights(resumed), weights(whole))
    finished = make()
    assert train(finished, blobs, config, seed=5, checkpoint=path) == result
    assert same(weights(finished), weights(whole))


def test_a_checkpoint_of_another_run_is_refused(blobs, make, tmp_path):
    path = tmp_path / "run.safetensors"
    train(make(), blobs, CONFIG, checkpoint=path)
    with pytest.raises(InputError, match=r"made with lr=0\.05, this run has lr=0\.1"):
        train(make(), blobs, dataclasses.replace(CONFIG, lr=0.1), checkpoint=path)
    with pytest.raises(InputError, match="made with seed=0, this run has seed=1"):
        train(make(), blobs, CONFIG, seed=1, checkpoint=path)
    with pytest.raises(InputError, match="belongs to another network"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(32, 4)), blobs, CONFIG, checkpoint=path)


def test_only_training_and_validation_examples_are_read(blobs, make):
    train(make(), blobs, CONFIG)
    assert set(blobs.asked) == {"train", "val"}


@pytest.mark.parametrize("every", [1, 4])
def test_the_callback_stops_the_run_and_the_result_is_still_validated(every, blobs, make):
    model = make()
    config = dataclasses.replace(CONFIG, validate_every=every)
    result = train(model, blobs, config, callback=lambda e: e.epoch == 2)
    assert result.epochs == len(result.history) == 2
    assert (result.history[-1].accuracy is None) == (every == 4)
    assert result.accuracy == score(model, blobs, "val")["accuracy"]


def test_only_true_stops_the_run(blobs, make):
    assert train(make(), blobs, CONFIG, callback=lambda e: e.epoch).epochs == 6


def test_a_last_batch_of_one_example_does_not_break_batch_normalisation(blobs, make):
    config = dataclasses.replace(CONFIG, batch_size=50, epochs=2)
    assert len(blobs.split("train")) % 50 == 1
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        make().train()(torch.zeros(1, 2, 4, 4))
    assert train(make(), blobs, config).epochs == 2


def test_diverging_runs_are_killed(blobs, make):
    with pytest.raises(DivergedError, match="step"):
        train(make(0.0), blobs, TrainConfig(epochs=50, batch_size=20, lr=1e12, weight_decay=0.1))

    class Poisoned(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = make()

        def forward(self, x):
            y = self.net(x)
            return y if self.training else y * torch.nan

    with pytest.raises(DivergedError, match="by epoch 1: the validation loss is nan"):
        train(Poisoned(), blobs, CONFIG)


def test_score_is_accuracy_in_percent_and_mean_cross_entropy(blobs, make):
    model = make().train()
    split = blobs.split("test")
    found = score(model, blobs, "test")
    assert model.training
    with torch.no_grad():
        logits = model.eval()(torch.tensor((split.x.astype(np.float32) - 100) / 60))
    y = torch.tensor(split.y)
    assert found["accuracy"] == 100 * (logits.argmax(1) == y).double().mean()
    assert found["loss"] == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)


def test_half_precision_compiled_and_plain_runs_agree(blobs, make):
    plain = train(make(0.0), blobs, CONFIG)
    half = train(make(0.0), blobs, dataclasses.replace(CONFIG, precision="bfloat16"))
    assert half.history[0].train_loss != plain.history[0].train_loss
    for a, b in zip(plain.history, half.history, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=0.1, abs=0.02)


@pytest.mark.slow
def test_a_compiled_network_trains_like_the_plain_one(blobs, make):
    plain, compiled = make(0.0), make(0.0)
    a = train(plain, blobs, dataclasses.replace(CONFIG, epochs=2))
    b = train(compiled, blobs, dataclasses.replace(CONFIG, epochs=2, compile=True))
    assert a.history[-1].train_loss == pytest.approx(b.history[-1].train_loss, rel=1e-3)
    assert plain.state_dict().keys() == compiled.state_dict().keys()


def test_wrong_devices_and_precisions_are_one_clear_line(blobs, make):
    with pytest.raises(InputError, match="device 'warp' cannot be used"):
        find_device("warp")
    with pytest.raises(InputError, match="float16 needs a GPU"):
        train(make(), blobs, dataclasses.replace(CONFIG, precision="float16"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_learns_on_a_gpu(precision, blobs, make, tmp_path):
    config = dataclasses.replace(CONFIG, precision=precision, channels_last=True, augment="none")
    state = torch.cuda.get_rng_state()
    result = train(make(), blobs, config, device="cuda", checkpoint=tmp_path / "x")
    assert result.accuracy >= 90
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert train(make(), blobs, config, device="cuda", checkpoint=tmp_path / "x").accuracy == result.accuracy


def test_the_default_recipe_learns_the_digits():
    """A random cell in the search's own size reads real digits well above a linear model's 95 %."""
    space, task = get_space("nasbench201:C=8,N=1"), get_task("digits")
    arch = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    torch.manual_seed(0)
    assert train(space.build(space.parse(arch), task), task).accuracy > 97
