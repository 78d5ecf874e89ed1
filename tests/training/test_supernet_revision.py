"""Supernets that follow a template through its revisions: what is not touched stays, what returns comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ogive._errors import InputError, UnknownNameError
from ogive.spaces import template_edit as edit
from ogive.spaces.base import Shape, get_space
from ogive.spaces.template import Template
from ogive.training.supernet import Supernet
from tests.nn.test_super_template import TASK, rich_template, same_as_extracted, step, trained
from tests.spaces.test_template_edit import random_edit

SMALL = Template.load(Path(__file__).parents[2] / "examples" / "templates" / "small.yaml")


def remembered(supernet, optimizer):
    """Copies of parameters, statistics and momentum, by name."""
    tensors = {name: t.detach().clone() for name, t in supernet.network.state_dict().items()}
    for name, parameter in supernet.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{name} {key}"] = torch.zeros(()) if value is None else value.clone()
    return tensors


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


def optimised(optimizer):
    return {p for group in optimizer.param_groups for p in group["params"]}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32))
def test_revisions_leave_the_rest_alone_and_lose_nothing(seed):
    old, rng = rich_template(seed), np.random.default_rng(seed)
    new = old
    for n in range(4):
        try:
            new = random_edit(new, rng, f"new{n}_")
            new.shapes(TASK)
        except InputError:
            continue
    assume(new.digest != old.digest)
    assume(new.box <= 3000)
    assume(new.size > 0)
    supernet, optimizer = trained(old, seed)
    before, parameters = remembered(supernet, optimizer), dict(supernet.named_parameters())

    supernet.apply(new)
    now = dict(supernet.named_parameters())
    after = remembered(supernet, optimizer)
    assert all(now[name] is parameters[name] for name in now.keys() & parameters.keys())
    assert all(torch.equal(before[name], after[name]) for name in before.keys() & after.keys())
    assert optimised(optimizer) == set(now.values())
    same_as_extracted(supernet, new.sample(3, rng))

    # What is new is trained, then the old drawing comes back.
    gone = parameters.keys() - now.keys()
    with torch.no_grad():
        for name in now.keys() - parameters.keys():
            now[name].add_(1.0)
    supernet.apply(old)
    assert equal(remembered(supernet, optimizer), before)
    assert all(dict(supernet.named_parameters())[name] is parameters[name] for name in gone)
    assert optimised(optimizer) == set(parameters.values())
    supernet.apply(new)
    assert all(p is now[name] for name, p in supernet.named_parameters())


def test_what_an_edit_touches():
    supernet, optimizer = trained(SMALL, 0, Shape((3, 8, 8), 10), steps=4)
    before = dict(supernet.named_parameters())
    wider = edit.set_args(SMALL, "a_conv5", {"kernel": 7})
    more = edit.add_option(wider, "second", "b_skip", "relu_conv_bn")
    supernet.apply(more)
    after = dict(supernet.named_parameters())
    assert {name.split("|")[0] for name in before.keys() - after.keys()} == {"blocks.a_conv5"}
    assert {name.split("|")[0] for name in after.keys() - before.keys()} == {"blocks.a_conv5", "blocks.b_skip"}
    # Fresh weights depend on the seed and the name alone.
    other = dict(Supernet(more, supernet.task, seed=0).named_parameters())
    assert all(torch.equal(after[name], other[name]) for name in after.keys() - before.keys())
    step(supernet, optimizer, more.parse("a_conv5-b_skip-on"))
    assert all(p in optimizer.state for name, p in after.items() if name.startswith("blocks.b_skip"))


def test_exposure_follows_the_names():
    supernet = Supernet(SMALL, Shape((3, 8, 8), 10))
    supernet.count(SMALL.parse(["a_skip-b_dilated-on"] * 3))
    more = edit.add_option(edit.remove(SMALL, "a_conv3"), "second", "b_skip", "identity")
    supernet.apply(more)
    shown = {
        (choice.name, option): int(n)
        for choice, row in zip(more.choices, supernet.exposure, strict=True)
        for option, n in zip(choice.options, row, strict=False)
        if n
    }
    assert shown == {("first", "a_skip"): 3, ("second", "b_dilated"): 3, ("half->classes", "on"): 3}


def test_restrictions_and_revisions_together():
    supernet, optimizer = trained(SMALL, 0, Shape((3, 8, 8), 10), steps=4)
    before = remembered(supernet, optimizer)
    supernet.apply(SMALL.steer(exclude=["a_conv5", "b_residual"]))
    assert not any("a_conv5" in name or "b_residual" in name for name, _ in supernet.named_parameters())
    more = edit.add_option(SMALL, "second", "b_skip", "identity")
    supernet.apply(more.steer(exclude=["b_residual"]))
    names = {name.split("|")[0] for name, _ in supernet.named_parameters()}
    assert "blocks.a_conv5" in names
    assert "blocks.b_residual" not in names
    supernet.apply(SMALL)
    assert equal(remembered(supernet, optimizer), before)


def test_a_saved_supernet_keeps_what_earlier_revisions_drew(tmp_path):
    supernet, optimizer = trained(SMALL, 0, Shape((3, 8, 8), 10), steps=12)
    gated = edit.set_args(SMALL, "classes", {"merge": "gated"})
    supernet.apply(gated)
    (gate, *_) = [p for name, p in supernet.named_parameters() if ">" in name]
    with torch.no_grad():
        gate.fill_(2.0)
    supernet.apply(SMALL)
    before = remembered(supernet, optimizer)
    less = edit.remove(edit.remove(SMALL, "a_conv5"), "b_residual")
    supernet.apply(less)
    supernet.save(tmp_path)

    other = Supernet.load(tmp_path)
    assert other.space.digest == less.digest
    optimizer = torch.optim.SGD(other.network.parameters(), lr=0.1, momentum=0.9)
    other.attach(optimizer)
    other.apply(SMALL)
    after = remembered(other, optimizer)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    # What was put away has its momentum back; the rest of the optimizer is the trainer's to save.
    assert {name.split("|")[0] for name in after if name.endswith("momentum_buffer")} == {
        "blocks.a_conv5",
        "blocks.b_residual",
    }
    other.apply(gated)
    assert any(">" in name and float(p.detach()) == 2.0 for name, p in other.named_parameters())


def test_a_new_node_can_start_as_a_copy():
    supernet, optimizer = trained(SMALL, 0, Shape((3, 8, 8), 10), steps=4)
    before = remembered(supernet, optimizer)
    more = edit.add_option(SMALL, "first", "a_more", "relu_conv_bn", {"kernel": 3})
    for copies, reason in (
        ({"a_more": "a_conv5"}, "node 'a_more' cannot start as a copy of 'a_conv5'"),
        ({"a_more": "nobody"}, "node 'a_more' cannot start as a copy of 'nobody'"),
        ({"a_conv5": "a_conv3"}, "node 'a_conv5' cannot start as a copy of 'a_conv3'"),
    ):
        with pytest.raises(InputError, match=reason):
            supernet.apply(more, copies=copies)
    with pytest.raises(UnknownNameError):
        supernet.apply(more, copies={"nobody": "a_conv3"})
    assert supernet.space is SMALL
    assert equal(remembered(supernet, optimizer), before)
    supernet.apply(more, copies={"a_more": "a_conv3"})
    state = supernet.network.state_dict()
    pairs = [(name, name.replace("a_more", "a_conv3")) for name in state if "a_more" in name]
    assert pairs
    assert all(torch.equal(state[a], state[b]) for a, b in pairs)


def test_another_space_is_refused():
    supernet = Supernet(SMALL, Shape((3, 8, 8), 10))
    with pytest.raises(InputError, match="other choices"):
        supernet.apply(get_space("nasbench201:C=4,N=1"))
    nodes = [node | ({"stride": 4} if node["id"] == "b_pool" else {}) for node in SMALL.to_dict()["nodes"]]
    thin = Template(SMALL.to_dict() | {"nodes": nodes})
    with pytest.raises(InputError, match="shapes disagree"):
        supernet.apply(thin)
    assert supernet.space is SMALL
