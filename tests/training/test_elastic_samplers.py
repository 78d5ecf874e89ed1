"""The sandwich rule and progressive shrinking against their definitions, worked out on plain networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.spaces.base import get_space
from ogive.training.samplers import get_sampler
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_trainer import SupernetTrainer

SIZES = get_space("nats_sss")
CONFIG = SupernetConfig(epochs=2, batch_size=25)


def trainer(task, **changes):
    return SupernetTrainer(Supernet(SIZES, task), task, dataclasses.replace(CONFIG, **changes))


# ---------------------------------------------------------------- sandwich


@pytest.mark.parametrize("n", [0, 2, 3])
def test_a_step_trains_the_largest_the_smallest_and_random_ones(n):
    space = SIZES.restrict(exclude={"cell1": ["64", "8"], "cell3": ["8", "16"]}, lock={"cell2": "24"})
    paths = get_sampler(f"sandwich:random={n}", space, seed=1).paths(7)
    assert space.format(paths[:2]) == ["56:64:24:64:64", "16:8:24:8:24"]
    assert len(paths) == 2 + n
    assert space.permits(paths).all()


def test_other_steps_have_other_random_paths_and_the_same_step_the_same():
    sampler, again = (get_sampler("sandwich", SIZES, seed=3) for _ in range(2))
    assert np.array_equal(sampler.paths(5), again.paths(5))
    assert not np.array_equal(sampler.paths(5)[2:], again.paths(6)[2:])


@pytest.mark.parametrize("distill", [True, False])
def test_gradients_are_those_of_the_definition(blobs, distill):
    """Largest from the labels with smoothing; the others from its probabilities, which are constants."""
    run = trainer(blobs, sampler=f"sandwich:distill={distill}", label_smoothing=0.1)
    x = torch.randn(16, *blobs.input_shape, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % blobs.n_outputs
    paths = run.sampler.paths(0)
    networks = [run.supernet.extract(path).train() for path in paths]
    logits = [network(x) for network in networks]
    soft = logits[0].detach().softmax(dim=1)
    losses = [F.cross_entropy(z, y, label_smoothing=0.1) for z in logits]
    if distill:
        losses[1:] = [-(soft * z.log_softmax(dim=1)).sum(dim=1).mean() for z in logits[1:]]
    loss = sum(losses) / 4
    loss.backward()
    run.supernet.network.train()
    assert run.sampler.train_step(run, x, y).item() == pytest.approx(loss.item(), rel=1e-5)
    for name in ("head.weight", "body.0.edges.0->1.conv.weight", "stem.0.weight"):
        shared = run.supernet.network.get_parameter(name).grad
        expected = torch.zeros_like(shared)
        for network in networks:
            gradient = network.get_parameter(name).grad
            expected[tuple(slice(0, n) for n in gradient.shape)] += gradient
        assert torch.allclose(shared, expected, atol=1e-5 * expected.abs().max().item())
    assert run.supernet.exposure.sum() == paths.size


def test_a_run_is_the_same_after_an_interruption(blobs, tmp_path):
    whole, first = (trainer(blobs, sampler="sandwich:random=1") for _ in range(2))
    losses = whole.run(4)
    begun = first.run(2)
    first.save(tmp_path)
    assert begun + SupernetTrainer.load(tmp_path, blobs).run(2) == losses


# ---------------------------------------------------------------- progressive


def opened(space, allowed, name):
    row = [c.name for c in space.choices].index(name)
    return [o for o, free in zip(space.choices[row].options, allowed[row], strict=False) if free]


def test_kernels_open_first_then_depths_then_widths():
    space = get_space("ofa")
    phases = get_sampler("progressive", space).phases()
    seen = [tuple(opened(space, p, name) for name in ("kernel2.1", "depth3", "expansion5.4")) for p in phases]
    kernels, two, all_depths = ["3", "5", "7"], ["3", "4"], ["2", "3", "4"]
    assert seen == [
        (["7"], ["4"], ["6"]),
        (kernels, ["4"], ["6"]),
        (kernels, two, ["6"]),
        (kernels, all_depths, ["6"]),
        (kernels, all_depths, ["4", "6"]),
        (kernels, all_depths, ["3", "4", "6"]),
    ]
    assert all(len(opened(space, p, "resolution")) == 25 for p in phases)
    assert np.array_equal(phases[-1], space.restriction.allowed)


def test_phases_follow_the_restriction():
    space = SIZES.restrict(exclude={"cell1": ["64", "40"], "cell2": ["8", "16", "24", "32", "40", "48"]})
    phases = get_sampler("progressive", space).phases()
    assert len(phases) == 8
    assert [opened(space, p, "cell1") for p in phases[:3]] == [["56"], ["48", "56"], ["32", "48", "56"]]
    assert [opened(space, p, "cell2") for p in phases[:3]] == [["64"], ["56", "64"], ["56", "64"]]
    assert [opened(space, p, "reduction1") for p in phases[:2]] == [["64"], ["56", "64"]]


def test_steps_are_divided_among_the_phases():
    sampler = get_sampler("progressive:steps=80,paths=3", SIZES)
    phases = sampler.phases()
    for step in (0, 9, 10, 45, 79, 500):
        paths = sampler.paths(step)
        allowed = phases[min(step // 10, 7)]
        assert paths.shape == (3, 5)
        assert allowed[np.arange(5), paths].all()
    many = np.vstack([sampler.paths(step) for step in range(70, 80)])
    assert len(np.unique(many)) > 5


def test_a_trainer_says_how_many_steps_there_are(blobs):
    run = trainer(blobs, sampler="progressive")
    with pytest.raises(InputError, match="needs steps="):
        run.sampler.paths(0)
    drawn, forward = [], run.supernet.forward
    run.supernet.forward = lambda x, path: drawn.append(path) or forward(x, path)
    run.run()
    assert run.total_steps == len(drawn) == 8
    assert all(path.min() >= 7 - step for step, path in enumerate(drawn))
    assert min(path.min() for path in drawn) < 5


# ---------------------------------------------------------------- both


@pytest.mark.parametrize("name", ["sandwich", "progressive"])
@pytest.mark.parametrize(("spec", "option"), [("nasbench201", "none"), ("fbnet", "k3_e1")])
def test_spaces_without_an_order_are_refused(name, spec, option):
    with pytest.raises(InputError, match=f"'{name}' needs options that are numbers.*{option}"):
        get_sampler(name, get_space(spec))


@pytest.mark.parametrize(
    "spec",
    ["sandwich:random=-1", "sandwich:random=1.5", "sandwich:distill=3", "progressive:paths=0", "progressive:steps=-1"],
)
def test_options_are_checked(spec):
    with pytest.raises(InputError, match=spec.partition("=")[0].partition(":")[2]):
        get_sampler(spec, SIZES)
