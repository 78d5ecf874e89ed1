"""Attacks: what they may read, what they change, and what pretraining is worth to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ogive._errors import InputError, UnknownNameError
from ogive.nn.residual import ResidualNetwork
from ogive.spaces.base import Shape, get_space
from ogive.tasks import get_task
from ogive.training.config import TrainConfig
from ogive.training.seeding import seeded
from ogive.training.trainer import score, train
from ogive.training.transfer import (
    ATTACKS,
    Features,
    Holding,
    add_adapters,
    at_least,
    attack,
    classifiers,
    new_classifiers,
    reshaped,
    train_and_judge,
)

QUICK = TrainConfig(epochs=2, validate_every=2)


def resnet(n_outputs=10, seed=0):
    with seeded(seed):
        return ResidualNetwork(8, (1, 8, 8), n_outputs)


@pytest.fixture(scope="module")
def shipped():
    model = resnet()
    train(model, get_task("digits"), TrainConfig(epochs=8))
    return model.eval()


# -------------------------------------------------------------------- the attacker's data


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (28, 28), (40, 13)])
def test_images_are_resized_as_pillow_does(size):
    image = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(0).integers(0, 256, (3, 1, 20, 17), dtype=np.uint8)
    found = reshaped(x, (1, *size))
    for row, (plane,) in zip(found, x, strict=True):
        wanted = image.fromarray(plane.astype(np.float32)).resize(size[::-1], image.Resampling.BILINEAR)
        np.testing.assert_allclose(row[0], np.asarray(wanted), atol=1e-3)


def test_channels_are_averaged_and_repeated_and_nothing_else_is_touched():
    x = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)
    grey = reshaped(x, (1, 6, 5))
    np.testing.assert_allclose(grey[:, 0], x.astype(float).mean(axis=1), rtol=1e-6)
    assert (reshaped(grey, (3, 6, 5)) == grey).all()
    assert reshaped(x, (3, 6, 5)) is x


def test_a_holding_is_a_stratified_part_of_training_all_of_test():
    task = get_task("digits")
    held = Holding(task, 0.1, shape=(1, 12, 12), at_most=300, seed=4)
    sizes = [len(held.split(which)) for which in ("train", "val", "test")]
    assert sizes == [30, 300, 400]
    assert (np.bincount(held.split("train").y) == 3).all()
    assert (held.split("test").y == task.split("test").y).all()
    assert (Holding(task, 0.1, seed=4).split("train").x == Holding(task, 0.1, seed=4).split("train").x).all()
    assert not np.array_equal(Holding(task, 0.1, seed=4).split("train").x, Holding(task, 0.1, seed=5).split("train").x)
    x = (held.split("train").x - np.reshape(held.mean, (1, -1, 1, 1))) / np.reshape(held.std, (1, -1, 1, 1))
    assert abs(x.mean()) < 1e-5
    assert x.std() == pytest.approx(1, abs=1e-5)


def test_a_holding_of_everything_is_the_task():
    task, held = get_task("digits"), Holding(get_task("digits"))
    for which in ("train", "val", "test"):
        assert np.array_equal(held.split(which).x, task.split(which).x)
    assert held.mean == pytest.approx(task.mean, abs=1e-3)


@pytest.mark.parametrize(("share", "message"), [(0, "in \\(0, 1\\]"), (1.5, "in \\(0, 1\\]"), (0.0005, "too few")])
def test_an_impossible_share_is_refused(share, message):
    with pytest.raises(InputError, match=message):
        Holding(get_task("digits"), share)


def test_few_examples_are_passed_through_more_often():
    config = TrainConfig(epochs=3, batch_size=64)
    assert at_least(config, 100, 1000).epochs == 7  # sixteen steps an epoch
    assert at_least(config, 100, 10).epochs == 100
    assert at_least(config, 10, 1000).epochs == 3


# -------------------------------------------------------------------- the attacks


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_leaves_the_shipped_network_alone_and_repeats_itself(shipped, kind):
    before = {k: v.clone() for k, v in shipped.state_dict().items()}
    task = Holding(get_task("digits:variant=parity"), 0.3)
    first, again = (attack(shipped, task, kind, QUICK, seed=3) for _ in range(2))
    assert (first.right == again.right).all()
    assert first.validation == again.validation
    assert first.right.shape == (400,)
    assert all(torch.equal(v, shipped.state_dict()[k]) for k, v in before.items())
    assert all(p.requires_grad for p in shipped.parameters())
    assert not shipped.training


def test_pretraining_helps_whoever_has_few_examples(shipped):
    task = Holding(get_task("digits:variant=noisy"), 0.05)
    recipe = TrainConfig(epochs=25, validate_every=25, lr=0.03)
    scratch = train_and_judge(resnet(), task, recipe).test
    for kind in ATTACKS:
        assert attack(shipped, task, kind, recipe).test > scratch + 5


def test_what_is_right_is_what_the_trainer_scores():
    task, model = Holding(get_task("digits"), 0.2), resnet()
    outcome = train_and_judge(model, task, QUICK)
    assert outcome.test == score(model, task, "test")["accuracy"]
    assert outcome.validation == score(model, task, "val")["accuracy"]


def test_an_unknown_attack_and_a_network_without_classifier_are_refused(shipped):
    with pytest.raises(UnknownNameError, match="adapter"):
        attack(shipped, get_task("digits"), "adaptor", QUICK)
    bare = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(InputError, match="no linear classifier"):
        attack(bare, get_task("digits"), "fine-tune", QUICK)


# -------------------------------------------------------------------- probe and adapter


def test_features_are_what_the_head_reads(shipped):
    task = get_task("digits")
    found = Features(shipped, task)
    x = (torch.tensor(task.split("val").x).float() - task.mean[0]) / task.std[0]
    with torch.no_grad():
        wanted = shipped.last(shipped.body(shipped.stem(x))).mean(dim=(2, 3))
    np.testing.assert_allclose(found.split("val").x, wanted.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.mean, found.split("train").x.mean(axis=0), rtol=1e-4)
    assert (found.split("test").y == task.split("test").y).all()


def test_a_feature_that_is_constant_in_training_is_not_blown_up():
    """Scikit-learn's scaler does the same."""
    from sklearn.preprocessing import StandardScaler

    task = Holding(get_task("digits"), 0.05)
    features = Features(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task)  # the pixels; many corners are black
    x, held = (features.split(which).x.astype(np.float64) for which in ("train", "test"))
    assert ((x.std(axis=0) == 0) & (held.std(axis=0) > 0)).any()
    wanted = StandardScaler().fit(x).transform(held)
    np.testing.assert_allclose((held - features.mean) / features.std, wanted, rtol=1e-4, atol=1e-4)


def test_the_probe_is_a_linear_classifier(shipped):
    """Scikit-learn's logistic regression on the same features is the yardstick."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    task = Holding(get_task("digits:variant=rotated"))
    features = Features(shipped, task)
    scaler = StandardScaler().fit(features.split("train").x)
    x, held = (scaler.transform(features.split(which).x) for which in ("train", "test"))
    fitted = LogisticRegression(max_iter=2000).fit(x, features.split("train").y)
    wanted = 100 * fitted.score(held, features.split("test").y)
    found = attack(shipped, task, "probe", TrainConfig(epochs=60, validate_every=60, weight_decay=1e-4)).test
    assert found == pytest.approx(wanted, abs=4)


SPACES = ("nasbench201:C=4,N=1", "nasbench101", "nats_sss", "darts:C=4,layers=3", "transnas_micro", "transnas_macro")


@pytest.mark.parametrize("spec", SPACES)
def test_every_space_can_be_attacked(spec):
    space = get_space(spec)
    (genotype,) = space.sample(1, np.random.default_rng(1))
    model = space.build(genotype, Shape((1, 16, 16), 4)).eval()
    x = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        before = model(x)
        add_adapters(model)
        assert torch.allclose(model(x), before, atol=1e-6)
        new_classifiers(model, 7)
        assert model(x).shape == (2, 7)
    assert all(layer.weight.requires_grad for layer in classifiers(model).values())


def test_an_adapter_attack_changes_no_convolution(shipped):
    victim = resnet()
    victim.load_state_dict(shipped.state_dict())
    add_adapters(victim)
    new_classifiers(victim, 2)
    before = {name: p.detach().clone() for name, p in victim.named_parameters()}
    train(victim, get_task("digits:variant=parity"), QUICK)
    changed = {name for name, p in victim.named_parameters() if not torch.equal(p, before[name])}
    frozen = {f"{name}.weight" for name, m in shipped.named_modules() if isinstance(m, nn.Conv2d)}
    assert changed == set(before) - {name.replace(".weight", ".conv.weight") for name in frozen}
    assert len(frozen) == 9
