"""Gradients of the logits against finite differences and closed forms; steering; exact resumption."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ogive._errors import InputError, UnknownNameError
from ogive.training.gradient_samplers import Gumbel
from ogive.training.samplers import get_sampler
from ogive.training.seeding import seeded
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_trainer import SupernetTrainer
from tests.training.tiny_supernet import WIDTH, Noise, Points, Tiny

NAMES = ["darts", "darts:order=2", "pc-darts", "gdas", "gumbel"]


class Still:
    """A trainer between two steps, in double precision, with fixed batches."""

    def __init__(self, **changes):
        self.supernet = Supernet(Tiny(), Points(), seed=3)
        self.supernet.network.double().train()
        self.network = self.supernet.network
        rng = torch.Generator().manual_seed(0)
        self.x, self.x_val = torch.randn(2, 12, WIDTH, generator=rng, dtype=torch.float64)
        self.y, self.y_val = torch.randint(0, 4, (2, 12), generator=rng)
        self.steps_done, self.total_steps = 5, 11
        self.optimizer = SimpleNamespace(param_groups=[{"lr": 0.3}])
        self.__dict__.update(changes)

    def val_batch(self):
        return self.x_val, self.y_val

    def loss(self, logits, y):
        return F.cross_entropy(logits, y)


def gradients(sampler, trainer):
    """Return what the sampler would step along, one tensor a row."""
    found = []
    sampler._alphas.step = found.extend
    sampler._learn(trainer, trainer.x, trainer.y)
    return [g.numpy() for g in found]


def by_hand(network, weights, x):
    """Return the logits of the mixture, written out; `weights` holds the tensors by name."""

    def place(i, w, h):
        linear = F.linear(h, weights[f"place{i}.options.op_linear.weight"], weights[f"place{i}.options.op_linear.bias"])
        return w[0] * linear + w[1] * h + w[2] * h * (torch.arange(WIDTH) == 0)

    def run(mixture):
        h = torch.tanh(place(1, mixture[1], torch.relu(place(0, mixture[0], x))))
        h = F.batch_norm(h, None, None, weights["norm.weight"], weights["norm.bias"], training=True)
        return F.linear(h, weights["head.weight"], weights["head.bias"])

    return run


def differences(loss, rows, eps=1e-6):
    """Return the central differences of a loss of rows."""
    out = []
    for row in rows:
        gradient = np.empty(len(row))
        for k in range(len(row)):
            kept = row[k]
            row[k] = kept + eps
            up = loss(rows)
            row[k] = kept - eps
            gradient[k] = (up - loss(rows)) / (2 * eps)
            row[k] = kept
        out.append(gradient)
    return out


def softmaxes(rows):
    return [torch.softmax(torch.tensor(row, dtype=torch.float64), dim=0) for row in rows]


def test_first_order_gradient_is_that_of_finite_differences():
    trainer, sampler = Still(), get_sampler("darts", Tiny(), seed=1)
    weights = dict(trainer.network.named_parameters())
    run = by_hand(trainer.network, weights, trainer.x_val)
    rows = [row.tolist() for row in sampler._alphas.rows]
    numeric = differences(lambda r: F.cross_entropy(run(softmaxes(r)), trainer.y_val).item(), rows)
    for exact, near in zip(gradients(sampler, trainer), numeric, strict=True):
        np.testing.assert_allclose(exact, near, rtol=1e-5, atol=1e-9)


def test_second_order_gradient_is_that_of_finite_differences_through_the_step():
    trainer, sampler = Still(), get_sampler("darts:order=2", Tiny(), seed=1)
    weights = dict(trainer.network.named_parameters())

    def loss(rows):
        mixture = softmaxes(rows)
        train = F.cross_entropy(by_hand(trainer.network, weights, trainer.x)(mixture), trainer.y)
        slopes = torch.autograd.grad(train, list(weights.values()))
        moved = {k: w - 0.3 * g for (k, w), g in zip(weights.items(), slopes, strict=True)}
        return F.cross_entropy(by_hand(trainer.network, moved, trainer.x_val)(mixture), trainer.y_val).item()

    numeric = differences(loss, [row.tolist() for row in sampler._alphas.rows])
    second = gradients(sampler, trainer)
    for exact, near in zip(second, numeric, strict=True):
        np.testing.assert_allclose(exact, near, rtol=1e-5, atol=1e-9)
    first = gradients(get_sampler("darts", Tiny(), seed=1), trainer)
    assert np.abs(np.concatenate(first) - np.concatenate(second)).max() > 1e-3


def test_soft_gumbel_gradient_is_that_of_finite_differences():
    trainer, sampler = Still(), get_sampler("gumbel:hot=2,cold=1", Tiny(), seed=1)
    run = by_hand(trainer.network, dict(trainer.network.named_parameters()), trainer.x_val)
    rows = [row.tolist() for row in sampler._alphas.rows]
    with seeded(7):
        noise = [-torch.empty(3, dtype=torch.float64).exponential_().log() for _ in range(2)]
    with seeded(7):
        exact = gradients(sampler, trainer)

    def loss(rows):
        logits = [torch.log_softmax(torch.tensor(r, dtype=torch.float64), 0) for r in rows]
        mixture = [torch.softmax((row + g) / 1.5, dim=0) for row, g in zip(logits, noise, strict=True)]
        return F.cross_entropy(run(mixture), trainer.y_val).item()

    for row, near in zip(exact, differences(loss, rows), strict=True):
        np.testing.assert_allclose(row, near, rtol=1e-5, atol=1e-9)


def test_a_hard_sample_runs_one_option_and_has_the_gradient_of_the_soft_one():
    trainer, sampler = Still(), get_sampler("gdas", Tiny(), seed=1)
    network = trainer.network
    calls = []
    for i in range(2):
        place = getattr(network, f"place{i}")
        for code, module in enumerate(place.table):
            module.register_forward_hook(lambda *_, at=(i, code): calls.append(at))
    with seeded(7):
        soft = Gumbel._weights(sampler, sampler._alphas.steered(), 0.5)
    hard = [int(row.argmax()) for row in soft]
    with seeded(7):
        exact = gradients(sampler, trainer)
    assert calls == [(0, hard[0]), (1, hard[1])]
    # The loss as a function of the weights: the others add their bare weight.
    mixture = [F.one_hot(torch.tensor(k), 3).double().requires_grad_() for k in hard]
    h = trainer.x_val
    for i, (w, k) in enumerate(zip(mixture, hard, strict=True)):
        others = w.sum() - w[k]
        h = w[k] * getattr(network, f"place{i}").table[k](h) + others
        h = torch.relu(h) if i == 0 else torch.tanh(h)
    F.cross_entropy(network.head(network.norm(h)), trainer.y_val).backward()
    wanted = torch.autograd.grad(soft, sampler._alphas.rows, grad_outputs=[w.grad for w in mixture])
    for row, slope in zip(exact, wanted, strict=True):
        np.testing.assert_allclose(row, slope.numpy(), rtol=1e-9, atol=1e-12)


def test_a_hard_sample_can_be_compared_with_the_options_that_were_not_drawn():
    trainer, sampler = Still(), get_sampler("gdas:run=all", Tiny(), seed=1)
    run = by_hand(trainer.network, dict(trainer.network.named_parameters()), trainer.x_val)
    with seeded(7):
        soft = Gumbel._weights(sampler, sampler._alphas.steered(), 0.5)
    hard = [F.one_hot(row.argmax(), 3).double().requires_grad_() for row in soft]
    slopes = torch.autograd.grad(F.cross_entropy(run(hard), trainer.y_val), hard)
    wanted = torch.autograd.grad(soft, sampler._alphas.rows, grad_outputs=slopes)
    with seeded(7):
        exact = gradients(sampler, trainer)
    for row, slope in zip(exact, wanted, strict=True):
        np.testing.assert_allclose(row, slope.numpy(), rtol=1e-9, atol=1e-12)


def test_hard_samples_have_the_probabilities_of_the_logits():
    sampler = get_sampler("gdas", Tiny(), seed=1)
    sampler._alphas.rows[0].data = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    with seeded(0):
        drawn = [sampler._run(sampler._weights(sampler._alphas.steered(), 0.0))[0][0] for _ in range(4000)]
    shares = np.bincount(drawn, minlength=3) / 4000
    np.testing.assert_allclose(shares, np.exp([0, 1, -1]) / np.exp([0, 1, -1]).sum(), atol=0.03)
    paths = np.concatenate([sampler.paths(step) for step in range(2000)])
    np.testing.assert_allclose(np.bincount(paths[:, 0], minlength=3) / 2000, shares, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_the_logits_see_no_training_label_and_the_weights_no_validation_label(name):
    """Only second order looks at the training loss to move the logits."""
    trained = []
    for swap in ("y", "y_val"):
        trainer, sampler = Still(), get_sampler(name, Tiny(), seed=1)
        sampler.warmup = 0.0
        changed = getattr(trainer, swap).roll(1)
        with seeded(1):
            before = sampler.train_step(trainer, trainer.x, trainer.y)
        grads = {k: p.grad for k, p in trainer.network.named_parameters()}
        logits = sampler.logits()
        trainer, sampler = Still(**{swap: changed}), get_sampler(name, Tiny(), seed=1)
        with seeded(1):
            after = sampler.train_step(trainer, trainer.x, trainer.y)
        same = [torch.equal(p.grad, grads[k]) for k, p in trainer.network.named_parameters() if p.grad is not None]
        trained.append((bool(before == after), all(same), np.array_equal(logits, sampler.logits())))
    of_training, of_validation = trained
    assert of_training == (False, False, name != "darts:order=2")
    # The paths and mixtures come from logits that the validation batch has moved a little.
    assert not of_validation[2]


@pytest.mark.parametrize("name", NAMES)
def test_validation_batches_leave_no_trace_in_the_running_statistics(name):
    trainer, sampler = Still(), get_sampler(name, Tiny(), seed=1)
    trainer.network.norm.running_mean += 0.5
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    sampler._learn(trainer, trainer.x, trainer.y)
    assert all(torch.equal(v, before[k]) for k, v in trainer.network.state_dict().items())
    assert all(p.grad is None for p in trainer.network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_locked_or_excluded_never_runs(name):
    space = Tiny().restrict(lock={"first": "skip_connect"}, exclude={"second": ["linear"]})
    trainer, sampler = Still(), get_sampler(name, space, seed=1)
    trainer.supernet.space = space
    for i in range(2):
        trainer.network.get_submodule(f"place{i}.options.op_linear").register_forward_hook(
            lambda *_: pytest.fail("ran")
        )
    before = sampler.logits()
    with seeded(1):
        for _ in range(5):
            loss = sampler.train_step(trainer, trainer.x, trainer.y)
    assert torch.isfinite(loss)
    p = sampler.distribution()
    assert p[0].tolist() == [0, 1, 0]
    assert p[1, 0] == 0
    assert space.permits(np.concatenate([sampler.paths(i) for i in range(20)])).all()
    after = sampler.logits()
    np.testing.assert_array_equal(after[0], before[0])  # a locked row does not move, and keeps what it had learned
    assert after[1, 1] != before[1, 1]
    assert trainer.supernet.exposure[0].tolist()[0::2] == [0, 0]


def test_nudges_and_weights_add_to_the_logits_and_forget_the_moments_of_their_row():
    trainer, sampler = Still(), get_sampler("darts", Tiny(), seed=1)
    sampler.train_step(trainer, trainer.x, trainer.y)
    rows, adam = sampler._alphas.rows, sampler._alphas._adam
    assert set(adam.state) == set(rows)
    kept = adam.state[rows[0]]["exp_avg"].clone()
    p = sampler.distribution()
    sampler.nudges[1, 2] = 1.0
    q = sampler.distribution()
    np.testing.assert_array_equal(q[0], p[0])
    assert q[1, 2] / q[1, 0] == pytest.approx(4 * p[1, 2] / p[1, 0])
    assert set(adam.state) == {rows[0]}
    assert torch.equal(adam.state[rows[0]]["exp_avg"], kept)
    sampler.space = Tiny().restrict(weights={"second": {"linear": 3.0}})
    assert sampler.distribution()[1, 0] / q[1, 0] == pytest.approx(3 * sampler.distribution()[1, 2] / q[1, 2])


def test_edges_into_a_node_share_one_softmax():
    from ogive.spaces.base import get_space

    sampler = get_sampler("pc-darts", get_space("nasbench201"), seed=0)
    weights = sampler._weights(sampler._alphas.steered(), 0.0)
    shares = [w.sum().item() for w in weights]
    np.testing.assert_allclose(shares, [1, 0.5, 0.5, 1 / 3, 1 / 3, 1 / 3])  # edges into nodes 1, 2, 2, 3, 3, 3
    sampler._alphas.extra[0].data[0] = np.log(3)
    weights = sampler._weights(sampler._alphas.steered(), 0.0)
    np.testing.assert_allclose([w.sum().item() for w in weights[1:3]], [0.75, 0.25])


@pytest.mark.parametrize("name", ["darts:", "darts:order=2,", "pc-darts:", "gdas:", "gumbel:"])
def test_finds_the_option_that_learns(name):
    """Noise must lose."""
    config = SupernetConfig(sampler=f"{name}lr=0.05", epochs=120 if name == "gdas:" else 40, batch_size=32, anchors=0)
    supernet = Supernet(Tiny(Noise), Points(), seed=0)
    if name == "gdas:":
        # Its gradient is that of scaling the sampled option, which a normalisation behind it undoes.
        supernet.network.norm = torch.nn.Identity()
    trainer = SupernetTrainer(supernet, Points(), config, seed=0)
    assert np.isfinite(trainer.run()).all()
    p = trainer.sampler.distribution()
    assert (p[:, 2] < 0.1).all(), p


@pytest.mark.parametrize("name", [*NAMES, "enas:updates=3,samples=4"])
def test_resumed_training_is_the_undisturbed_one(name):
    def fresh():
        space = Tiny().restrict(exclude={"first": ["third"]})
        config = SupernetConfig(sampler=name, epochs=4, batch_size=32)
        return SupernetTrainer(Supernet(space, Points(), seed=0), Points(), config, seed=5)

    one = fresh()
    one.sampler.nudges[1, 0] = 0.5
    one.run(7)
    tensors, facts = one.state()
    facts = json.loads(json.dumps(facts))
    tensors = {k: v.clone() for k, v in tensors.items()}
    rest = one.run()
    two = fresh()
    two.run(3)
    two.restore(tensors, facts)
    assert two.run() == rest
    np.testing.assert_array_equal(two.sampler.logits(), one.sampler.logits())
    np.testing.assert_array_equal(two.sampler.distribution(), one.sampler.distribution())
    assert two.sampler.report() == one.sampler.report()


def test_logits_stop_before_most_choices_only_hand_on(monkeypatch):
    trainer, sampler = Still(), get_sampler("darts:lr=0.2,warmup=0", Tiny(), seed=1)
    monkeypatch.setattr(sampler, "_validation_loss", lambda *_: -sum(row[1] for row in sampler._alphas.rows))
    for step in range(20):
        trainer.steps_done = step
        sampler.train_step(trainer, trainer.x, trainer.y)
    assert sampler.stopped_at is not None
    assert 1 < sampler.stopped_at < 15
    share = sampler.report()["skip_share"]
    assert 0.4 < max(share) <= 0.5 or min(share) <= 0.5
    kept = sampler.logits()
    sampler.train_step(trainer, trainer.x, trainer.y)
    np.testing.assert_array_equal(sampler.logits(), kept)


def test_perturbation_is_the_loss_without_the_option():
    trainer = Still()
    space = Tiny().restrict(exclude={"first": ["third"]})
    sampler = get_sampler("gdas", space, seed=1)
    sampler._alphas.rows[0].data = torch.log(torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64))
    sampler._alphas.rows[1].data = torch.log(torch.tensor([1.0, 3.0, 4.0], dtype=torch.float64))
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    found = sampler.perturbation(trainer, batches=2)
    run = by_hand(trainer.network, dict(trainer.network.named_parameters()), trainer.x_val)

    def loss(first, second):
        mixture = [torch.tensor(w, dtype=torch.float64) for w in (first, second)]
        return F.cross_entropy(run(mixture), trainer.y_val).item()

    first, second = [0.25, 0.75, 0.0], [1 / 8, 3 / 8, 4 / 8]
    wanted = [
        [loss([0, 1, 0], second), loss([1, 0, 0], second), 0],
        [loss(first, [0, 3 / 7, 4 / 7]), loss(first, [1 / 5, 0, 4 / 5]), loss(first, [1 / 4, 3 / 4, 0])],
    ]
    wanted[0][2] = min(wanted[0][:2])
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    assert all(torch.equal(v, before[k]) for k, v in trainer.network.state_dict().items())
    sampler.space = space.restrict(lock={"second": "linear"})
    assert sampler.perturbation(trainer)[1].tolist() == [0, 0, 0]


def test_report_of_known_logits():
    sampler = get_sampler("darts", Tiny(), seed=1)
    for row in sampler._alphas.rows:
        row.data = torch.log(torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64))
    report = json.loads(json.dumps(sampler.report()))
    np.testing.assert_allclose(report["entropy"], 1.5 * np.log(2))
    np.testing.assert_allclose(report["skip_share"], 0.25)
    assert report["stopped_at"] is None


def test_bad_options():
    for spec, message in (
        ("darts:order=3", "order=1 or order=2"),
        ("darts:lr=-1", "0 <= lr"),
        ("gumbel:warmup=1.0", "warmup < 1"),
        ("gdas:paths=0", "paths >= 1"),
        ("gdas:hot=0", "hot > 0"),
        ("gdas:run=none", "run=sampled or run=all"),
        ("pc-darts:divisor=0.5", "divisor >= 1"),
    ):
        with pytest.raises(InputError, match=message):
            get_sampler(spec, Tiny())
    with pytest.raises(UnknownNameError, match="temperature"):
        get_sampler("gdas:temperature=1", Tiny())
