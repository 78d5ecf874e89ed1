"""The controller's probabilities and its policy gradient against enumeration; what it learns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ogive._errors import InputError
from ogive.training.enas import Controller, reinforce_loss
from ogive.training.samplers import get_sampler
from ogive.training.seeding import seeded
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_trainer import SupernetTrainer
from tests.training.tiny_supernet import Noise, Points, Tiny


def test_decisions_have_the_probabilities_the_controller_states():
    with seeded(0):
        controller = Controller([2, 3], 8)
        for p in controller.parameters():
            torch.nn.init.normal_(p, std=3.0)
        codes, log_p = controller(20_000, torch.zeros(2, 3))
    p = log_p.exp()
    np.testing.assert_allclose(p.sum(dim=2).detach(), 1.0, rtol=1e-5)
    assert (p[:, 0, 2] == 0).all()
    first = p[0, 0].detach().numpy()
    np.testing.assert_allclose(np.bincount(codes[:, 0], minlength=3) / 20_000, first, atol=0.015)
    conditional = []
    for k in range(2):
        rows = codes[:, 0] == k
        wanted = p[rows][0, 1].detach().numpy()
        np.testing.assert_allclose(np.bincount(codes[rows, 1], minlength=3) / int(rows.sum()), wanted, atol=0.03)
        conditional.append(wanted)
    assert np.abs(conditional[0] - conditional[1]).max() > 0.02  # the second decision knows the first


def test_the_loss_has_the_policy_gradient_on_average():
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    box = torch.tensor(list(itertools.product(range(3), repeat=2)))
    reward = torch.randn(9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def chances():
        log_p = torch.log_softmax(logits, dim=1)
        return log_p[torch.arange(2), box].sum(dim=1).exp(), log_p

    p, log_p = chances()
    gain = (p * reward).sum() - 0.3 * (log_p.exp() * log_p).sum()
    (wanted,) = torch.autograd.grad(-gain, logits)
    p, log_p = chances()
    each = torch.stack(
        [
            torch.autograd.grad(
                reinforce_loss(box[i : i + 1], log_p[None], reward[i : i + 1] - 0.7, 0.3), logits, retain_graph=True
            )[0]
            for i in range(9)
        ]
    )
    found = (p.detach()[:, None, None] * each).sum(dim=0)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_an_excluded_option_adds_nothing_to_the_loss():
    logits = torch.tensor([[0.3, -0.2, -torch.inf]], requires_grad=True)
    loss = reinforce_loss(torch.tensor([[1]]), torch.log_softmax(logits, dim=1)[None], torch.ones(1), 0.5)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 2] == 0


def test_steering():
    space = Tiny().restrict(lock={"first": "skip_connect"}, exclude={"second": ["linear"]})
    sampler = get_sampler("enas", space, seed=1)
    p = sampler.distribution()
    np.testing.assert_allclose(p[0], [0, 1, 0])
    assert p[1, 0] == 0
    assert space.permits(np.concatenate([sampler.paths(i) for i in range(50)])).all()
    sampler.nudges[1, 1] = 1.0
    q = sampler.distribution()
    assert q[1, 1] / q[1, 2] == pytest.approx(4 * p[1, 1] / p[1, 2], rel=1e-3)
    raw = np.exp(sampler.logits())
    np.testing.assert_allclose(raw.sum(axis=1), 1.0)
    assert (raw > 0.2).all()  # steering is not in the logits


def test_learns_which_paths_do_well():
    config = SupernetConfig(sampler="enas:lr=0.02,updates=20,samples=10", epochs=20, batch_size=32, anchors=0)
    trainer = SupernetTrainer(Supernet(Tiny(Noise), Points(), seed=0), Points(), config, seed=0)
    assert np.isfinite(trainer.run()).all()
    assert (trainer.sampler.distribution()[:, 2] < 0.05).all()
    assert 0.4 < trainer.sampler.baseline <= 1


def test_the_controller_leaves_the_supernet_alone():
    config = SupernetConfig(sampler="enas:updates=3,samples=4", epochs=2, batch_size=32)
    trainer = SupernetTrainer(Supernet(Tiny(), Points(), seed=0), Points(), config, seed=0)
    before = {k: v.clone() for k, v in trainer.supernet.network.state_dict().items()}
    with seeded(0):
        controller = [p.clone() for p in trainer.sampler.controller.parameters()]
        trainer.sampler._learn(trainer)
    assert all(torch.equal(v, before[k]) for k, v in trainer.supernet.network.state_dict().items())
    assert not all(torch.equal(p, q) for p, q in zip(trainer.sampler.controller.parameters(), controller, strict=True))
    assert all(p.grad is None for p in trainer.supernet.network.parameters())


def test_bad_options():
    for spec, message in (("enas:samples=0", "samples >= 1"), ("enas:warmup=1.0", "warmup < 1"), ("enas:lr=-1", "lr")):
        with pytest.raises(InputError, match=message):
            get_sampler(spec, Tiny())
