"""Embeddings are the Fisher information they are said to be; simulated targets lie where they are said to lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from ogive._errors import InputError
from ogive.tasks import Split, get_task
from ogive.tasks.base import Task
from ogive.tasks.embedding import as_images, cosine, fisher_embedding, resembling_targets, simulated_targets


class Small(Task):
    """60 noise images of three classes that differ in brightness."""

    name = "embedding-small"
    n_outputs = 3
    mean, std = (0.4,), (1.2,)

    def __init__(self, shape=(1, 8, 8)):
        self.input_shape = shape
        self.mean, self.std = self.mean * shape[0], self.std * shape[0]

    def split(self, which):
        assert which == "train", "an embedding reads the training split only"
        y = np.arange(60) % 3
        x = np.random.default_rng(0).normal(0.4 * y[:, None, None, None], 1.0, (60, *self.input_shape))
        return Split(x.astype(np.float32), y)


def network(groups=1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6 // groups * groups, 3, stride=2, padding=1, groups=groups),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(6, 5),
    )


def test_an_embedding_is_the_expected_squared_gradient_per_filter():
    """Independent: scikit-learn's head, one backward pass an example and class, expectation over the posterior."""
    task, probe = Small(), network().eval()
    found = fisher_embedding(task, probe, side=8, draws=600)
    split = task.split("train")
    x = as_images(task, split.x, 8)
    conv, n = probe[3], len(split)
    with torch.no_grad():
        z = probe[:-1](x)
    mean, std = z.mean(dim=0), z.std(dim=0)
    head = LogisticRegression(C=1 / (2 * n * 1e-2), tol=1e-8, max_iter=10_000).fit((z - mean) / std, split.y)
    weight, bias = (torch.tensor(v, dtype=torch.float32) for v in (head.coef_, head.intercept_))
    expected = torch.zeros(6)
    for i in range(n):
        logits = ((probe[:-1](x[i : i + 1]) - mean) / std) @ weight.T + bias
        log_p = logits.log_softmax(dim=1)[0]
        for c in range(3):
            (slope,) = torch.autograd.grad(log_p[c], conv.weight, retain_graph=True)
            expected += log_p[c].exp().detach() * slope.square().mean(dim=(1, 2, 3)) / n
    np.testing.assert_allclose(found, expected, rtol=0.03)


def test_the_seed_decides_and_the_probe_is_left_as_it_was():
    probe = network().train()
    probe[0].requires_grad_(False)
    before = {k: v.clone() for k, v in probe.state_dict().items()}
    first, again, other = (fisher_embedding(Small(), probe, side=8, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first >= 0).all()
    assert all(torch.equal(v, before[k]) for k, v in probe.state_dict().items())
    assert all(m.training for m in probe.modules())
    assert [p.requires_grad for p in probe.parameters()] == [False, False] + [True] * 6
    assert not probe[3]._forward_hooks
    assert not probe[8]._forward_pre_hooks


@pytest.mark.parametrize("shape", [(1, 5, 9), (3, 40, 40), (7, 8, 8)])
def test_images_of_any_shape_are_shown_as_three_channels(shape):
    task = Small(shape)
    x = task.split("train").x
    images = as_images(task, x, 16)
    assert images.shape == (60, 3, 16, 16)
    if shape[0] != 3:
        assert torch.equal(images[:, 0], images[:, 2])
    assert images.mean() == pytest.approx((x.mean() - 0.4) / 1.2, abs=0.05)
    assert fisher_embedding(task, network(), side=16).shape == (6,)


def test_fewer_examples_than_there_are_may_be_looked_at():
    class Counted(nn.Sequential):
        rows = 0

        def forward(self, x):
            Counted.rows += len(x)
            return super().forward(x)

    fisher_embedding(Small(), Counted(*network()), side=8, examples=20)
    assert Counted.rows == 2 + 2 * 20


@pytest.mark.parametrize("probe", [network(groups=2), network()[:-1], nn.Sequential(nn.Flatten(), nn.Linear(192, 3))])
def test_networks_that_are_no_probes_are_refused(probe):
    with pytest.raises(InputError, match="a probe is a network of convolutions that ends in a linear layer"):
        fisher_embedding(Small(), probe, side=8)


def test_examples_that_are_no_images_are_refused():
    task = Small()
    task.input_shape = (64,)
    with pytest.raises(InputError, match="a probe needs images"):
        as_images(task, np.zeros((5, 64)), 8)


# ---------------------------------------------------------------- simulated targets (specification, check A8)

SOURCE = np.random.default_rng(3).gamma(0.5, 2.0, 2048)


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.9, 1.0])
def test_simulated_targets_have_the_stated_cosine_norm_and_spread(rho):
    targets = simulated_targets(SOURCE, 15, rho, np.random.default_rng(0))
    assert targets.shape == (15, 2048)
    np.testing.assert_allclose(cosine(targets, SOURCE[None]), rho, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), rho * np.linalg.norm(SOURCE), rtol=1e-6)
    pairs = cosine(targets, targets)[np.triu_indices(15, 1)]
    assert pairs.mean() == pytest.approx(rho**2, abs=0.05)
    assert (targets < 0).any() == (rho < 1)


def test_cosines_are_those_of_the_definition():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 5))
    expected = [[u @ v / np.sqrt((u @ u) * (v @ v)) for v in b] for u in a]
    np.testing.assert_allclose(cosine(a, b), expected)
    assert np.isnan(cosine(np.zeros((1, 3)), np.ones((1, 3)))).all()


@pytest.mark.parametrize(
    ("source", "rho", "match"),
    [
        (SOURCE, 0.0, r"is in \(0, 1\], not 0"),
        (SOURCE, 1.5, r"not 1\.5"),
        (np.zeros(5), 0.9, "not all zero"),
        (np.ones(1), 0.9, "at least two numbers"),
        (np.array([1.0, np.nan]), 0.9, "not all zero"),
    ],
)
def test_simulated_targets_refuse_what_has_no_direction(source, rho, match):
    with pytest.raises(InputError, match=match):
        simulated_targets(source, 3, rho, np.random.default_rng(0))


def test_resembling_targets_spread_as_real_tasks_do():
    rng = np.random.default_rng(0)
    # Far from zero nothing is cut off, and at small angles the length-1 correction does not matter.
    real = 10.0 + rng.normal(size=(12, 1)) * rng.normal(size=40) + 0.3 * rng.normal(size=(12, 40))
    source = 3.0 * (10.0 + 0.5 * rng.normal(size=40))
    drawn = resembling_targets(source, real, 20_000, rng)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(source))
    unit = real / np.linalg.norm(real, axis=1, keepdims=True)
    found = np.cov(drawn / np.linalg.norm(source), rowvar=False)
    expected = np.cov(unit, rowvar=False)
    np.testing.assert_allclose(np.trace(found), np.trace(expected), rtol=0.05)
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)


def test_resembling_targets_are_never_negative_and_need_two_tasks():
    rng = np.random.default_rng(0)
    real = rng.gamma(0.3, 1.0, (5, 100))
    drawn = resembling_targets(real[0], real[1:], 200, rng)
    assert (drawn >= 0).all()
    assert (drawn == 0).any()
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(real[0]))
    with pytest.raises(InputError, match="at least two"):
        resembling_targets(real[0], real[1:2], 3, rng)


def test_embeddings_of_the_digits_come_with_any_probe():
    assert fisher_embedding(get_task("digits"), network(), examples=50).shape == (6,)
