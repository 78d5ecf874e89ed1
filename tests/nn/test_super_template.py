"""Supernets of templates against the plain networks, and mixtures against sums over all architectures."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ogive._errors import InputError
from ogive.spaces.base import Shape, get_space
from ogive.spaces.drawing import to_template
from ogive.spaces.template import Template
from ogive.training.supernet import Supernet
from tests.spaces.test_template import random_document

TEMPLATES = sorted((Path(__file__).parents[2] / "examples" / "templates").glob("*.yaml"))
TASK = Shape((4, 8, 8), 3)


def rich_template(seed, ops=("relu_conv_bn", "max_pool", "identity")):
    """A random drawing with widths, strides and all kinds of merges, where its shapes agree."""
    rng = np.random.default_rng(seed)
    document = random_document(seed, alike=True)
    for node in document["nodes"][1:]:
        if node["op"] in ("relu_conv_bn", "max_pool", "identity"):
            node["op"] = ops[rng.integers(len(ops))]
        if node["op"] == "relu_conv_bn":
            node |= {"channels": ["x1", 4, 4, 6][rng.integers(4)]}
        node |= {"merge": ["sum", "mean", "concat", "gated"][rng.integers(4)]}
    template = reason = None
    try:
        template = Template(document)
        template.shapes(TASK)
    except InputError as error:
        reason = str(error)
    assume(reason is None)
    assume(template.size > 1)
    assume(template.box <= 3000)
    return template


def trained(template, seed, task=TASK, steps=2):
    """A supernet whose weights, statistics and gates have moved."""
    supernet, rng = Supernet(template, task, seed=seed), np.random.default_rng(seed)
    optimizer = torch.optim.SGD(supernet.network.parameters(), lr=0.1, momentum=0.9)
    supernet.attach(optimizer)
    for g in template.sample(steps, rng):
        step(supernet, optimizer, g)
    with torch.no_grad():
        for name, parameter in supernet.named_parameters():
            if ">" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(seed))
    return supernet, optimizer


def step(supernet, optimizer, genotype):
    supernet.network.train()
    optimizer.zero_grad()
    x = torch.randn(4, *supernet.task.input_shape, generator=torch.Generator().manual_seed(1))
    supernet.forward(x, genotype).square().mean().backward()
    optimizer.step()
    supernet.network.eval()


def images(task=TASK, n=2):
    return torch.randn(n, *task.input_shape, generator=torch.Generator().manual_seed(7))


def same_as_extracted(supernet, genotypes):
    x = images(supernet.task)
    with torch.no_grad():
        for g in genotypes:
            plain = supernet.extract(g).eval()
            assert (supernet.forward(x, g) - plain(x)).abs().max() <= 1e-6


@contextmanager
def running(network):
    """Collect the names of the blocks that run inside."""
    ran = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, module in network.parts.items()
    ]
    yield ran
    for handle in handles:
        handle.remove()


# -------------------------------------------------------------------- one architecture


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_examples_give_their_plain_networks(path):
    template = Template.load(path)
    supernet, _ = trained(template, 0, Shape((3, 16, 16), 10))
    same_as_extracted(supernet, template.sample(30, np.random.default_rng(0)))


@pytest.mark.parametrize(
    "name", ["nasbench201:C=4,N=1", "nasbench101:C=8,N=1", "darts:C=4,layers=3", "transnas_macro:C=4"]
)
def test_drawings_of_spaces_give_their_plain_networks(name):
    template = to_template(get_space(name))
    supernet, _ = trained(template, 0, Shape((3, 8, 8), 10))
    same_as_extracted(supernet, template.sample(8, np.random.default_rng(0)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32))
def test_random_drawings_give_their_plain_networks(seed):
    template = rich_template(seed)
    supernet, _ = trained(template, seed)
    same_as_extracted(supernet, template.sample(4, np.random.default_rng(seed)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32))
def test_a_path_trains_what_its_plain_network_trains(seed):
    """Same gradients, and none for anything else."""
    template = rich_template(seed)
    supernet, _ = trained(template, seed, steps=1)
    (g,) = template.sample(1, np.random.default_rng(seed))
    plain = supernet.extract(g)
    supernet.network.train(), plain.train()
    for parameter in supernet.network.parameters():
        parameter.grad = None
    with running(supernet.network) as ran:
        supernet.forward(images(), g).square().sum().backward()
    assert [name.split("|")[0] for name in ran] == [step.id for step in template.steps(g)]
    plain(images()).square().sum().backward()
    mine = [p.grad for _, p in supernet.named_parameters() if p.grad is not None]
    theirs = [p.grad for p in plain.parameters()]
    assert sum(p.numel() for p in mine) == sum(p.numel() for p in theirs)
    total, expected = (sum(float(p.double().square().sum()) for p in grads) for grads in (mine, theirs))
    assert total == pytest.approx(expected, rel=1e-5)


def join(merge, cardinality=(1, 3), ops=("conv_bn_relu", "max_pool", "identity")):
    """A stem, one group of three, and a node that merges what is chosen with the stem."""
    return Template(
        {
            "nodes": [
                {"id": "image", "op": "input"},
                *({"id": name, "op": op} for name, op in zip("abc", ops, strict=True)),
                {"id": "all", "op": "identity", "merge": merge},
                {"id": "classes", "op": "output"},
            ],
            "groups": [{"id": "g", "options": ["a", "b", "c"], "cardinality": list(cardinality)}],
            "edges": [
                ["image", "g"],
                ["g", "all"],
                {"from": "image", "to": "all", "optional": True},
                ["all", "classes"],
            ],
        }
    )


def test_means_and_gates_by_hand():
    x = images()
    pooled = torch.nn.functional.max_pool2d(x, 3, 1, 1)
    for merge in ("mean", "gated"):
        template = join(merge)
        model = template.build(template.parse("b+c-on"), TASK).eval()
        classify = model.blocks[-1]
        with torch.no_grad():
            expected = classify((x + pooled + x) / 3)
            assert torch.allclose(model(x), expected, atol=1e-6)
            if merge == "gated":
                model.gates["3"].copy_(torch.tensor([1.0, 0.0, -1.0]))
                # Arcs in the order in which they are drawn: b, c, image.
                b, c, image = np.exp([1, 0, -1]) / np.exp([1, 0, -1]).sum()
                assert torch.allclose(model(x), classify(image * x + b * pooled + c * x), atol=1e-6)
    # One input needs no gate.
    assert not list(template.build(template.parse("a-off"), TASK).gates)


def test_a_node_has_weights_for_every_width_it_can_read():
    template = Template.load(next(path for path in TEMPLATES if path.stem == "branches"))
    supernet = Supernet(template, Shape((3, 16, 16), 10))
    # All sums of 8 and 8, from wide and deep and pooled and stem.
    widths = {p.shape[1] for name, p in supernet.named_parameters() if name.startswith("blocks.all|") and p.ndim == 4}
    assert widths == {8, 16, 24, 32}


# -------------------------------------------------------------------- mixtures


def onehot(template, g):
    return [torch.eye(int(n))[int(code)] for n, code in zip(template.cardinalities, g, strict=True)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32), st.booleans())
def test_a_mixture_of_one_architecture_is_that_architecture(seed, hard):
    template = rich_template(seed)
    supernet, _ = trained(template, seed)
    x = images()
    for g in template.sample(3, np.random.default_rng(seed)):
        weights = onehot(template, g)
        run = [(int(code),) for code in g] if hard else None
        refused = ""
        try:
            supernet.network.mix(weights, run)
        except InputError as error:
            refused = str(error)
        assert not refused or "cannot be mixed: node" in refused
        assume(not refused)
        with torch.no_grad(), running(supernet.network) as ran:
            mixed = supernet.network(x)
            assert not hard or len(ran) == len(template.steps(g))
            torch.testing.assert_close(mixed, supernet.forward(x, g), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("merge", ["sum", "mean"])
@pytest.mark.parametrize("cardinality", [(1, 1), (1, 3), (0, 2)])
def test_a_mixture_is_the_mean_input_of_the_joining_node(merge, cardinality):
    """Against all architectures one by one, times their probability. Identities only, so that values are known."""
    template = join(merge, cardinality, ("identity",) * 3)
    supernet, rng = Supernet(template, TASK), np.random.default_rng(0)
    weights = [torch.tensor(rng.dirichlet(np.ones(n))) for n in template.cardinalities]
    g = template.enumerate()
    p = np.prod([w.numpy()[g[:, i]] for i, w in enumerate(weights)], axis=0)
    alive, _ = template.live(g)
    inputs = alive[:, 1:4].sum(axis=1) + g[:, 1]
    network = supernet.network.double()
    network.mix(weights)
    x = images().double()
    with torch.no_grad():
        got = network(x)
        classify = network.parts[next(name for name in network.parts if name.startswith("classes"))]
        scale = (p * inputs).sum() / p.sum() if merge == "sum" else 1.0
        torch.testing.assert_close(got, classify(scale * x))


def test_what_does_not_run_adds_its_weight():
    template = join("sum", (1, 1), ("conv_bn_relu", "max_pool", "identity"))
    supernet = Supernet(template, TASK)
    network = supernet.network.eval()
    soft = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    hard = torch.tensor([0.0, 1.0, 0.0]) - soft.detach() + soft
    x = images()
    network.mix([hard, torch.tensor([1.0, 0.0])], [(1,), (0,)])
    with running(network) as ran:
        logits = network(x)
    assert not any(name.startswith(("a|", "c|")) for name in ran)
    torch.testing.assert_close(logits, supernet.forward(x, template.parse("b-off")))
    (gradient,) = torch.autograd.grad(logits.sum(), soft)
    # The classifier reads w_a + w_b * pooled + w_c.
    weight = network.parts[next(name for name in network.parts if name.startswith("classes"))][-1].weight.detach()
    pooled = torch.nn.functional.max_pool2d(x, 3, 1, 1).mean(dim=(2, 3))
    bare, ran = ((weight.sum(dim=0) * value).sum().item() for value in (torch.ones_like(pooled), pooled))
    np.testing.assert_allclose(gradient.numpy(), [bare, ran, bare], rtol=1e-5)


def test_a_sample_that_is_no_architecture_moves_nothing():
    document = join("sum").to_dict()
    document["edges"][1] = {"from": "g", "to": "all", "optional": True}
    template = Template(document)
    network = Supernet(template, TASK).network
    with pytest.raises(InputError, match="select one before running it"):
        network(images())
    off = torch.tensor([1.0, 0.0], requires_grad=True)
    network.mix([torch.eye(7)[0], off, off], [(0,), (0,), (0,)])
    logits = network(images())
    assert torch.equal(logits, torch.zeros(2, 3))
    (gradient,) = torch.autograd.grad(logits.sum(), off)
    assert torch.equal(gradient, torch.zeros(2))


def test_different_shapes_cannot_be_mixed():
    template = Template.load(next(path for path in TEMPLATES if path.stem == "branches"))
    supernet = Supernet(template, Shape((3, 16, 16), 10))
    with pytest.raises(InputError, match="cannot be mixed: node 'all' gets different shapes"):
        supernet.network.mix([torch.ones(int(n)) / int(n) for n in template.cardinalities])


# -------------------------------------------------------------------- shelf


def test_a_node_is_shelved_with_the_last_set_that_has_it():
    template = join("sum", (1, 2))
    supernet, optimizer = trained(template, 0, steps=6)
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    memory = {name: optimizer.state[p]["momentum_buffer"].clone() for name, p in supernet.named_parameters()}
    for option in ("a", "a+b"):
        supernet.exclude("g", option)
        assert len(list(supernet.named_parameters())) == len(before)
    supernet.exclude("g", "a+c")
    assert {name for name in before if name.startswith("blocks.a|")} == set(before) - dict(
        supernet.named_parameters()
    ).keys()
    supernet.restore("g", "a+b")
    after = dict(supernet.named_parameters())
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(torch.equal(optimizer.state[after[name]]["momentum_buffer"], memory[name]) for name in before)
