"""What optimizers remember of parameters that come and go."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ogive.training.shelf import Shelf

OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.1),
}


def trained(make):
    """Three parameters in two groups, after two steps."""
    parameters = {name: nn.Parameter(torch.arange(3.0) + i) for i, name in enumerate(("a.x", "b.y", "c.z"))}
    a, b, c = parameters.values()
    optimizer = make([{"params": [a], "weight_decay": 0.1}, {"params": [b, c]}])
    for _ in range(2):
        optimizer.zero_grad()
        sum((p**2).sum() for p in parameters.values()).backward()
        optimizer.step()
    return parameters, optimizer


def entries(state):
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(v, other[k]) if isinstance(v, torch.Tensor) else v == other[k] for k, v in one.items())


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_memory_comes_back_bit_for_bit_and_in_place(make):
    parameters, optimizer = trained(make)
    before = {name: entries(optimizer.state[p]) for name, p in parameters.items()}
    shelf = Shelf([optimizer])
    away = {"b.y": parameters["b.y"]}
    shelf.put(away)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
    assert parameters["b.y"] not in optimizer.state
    optimizer.state_dict()  # would fail with a memory of strangers
    shelf.take(away, list(parameters.values()))
    assert [[id(p) for p in g["params"]] for g in optimizer.param_groups] == [
        [id(parameters["a.x"])],
        [id(parameters["b.y"]), id(parameters["c.z"])],
    ]
    for name, parameter in parameters.items():
        same(entries(optimizer.state[parameter]), before[name])
    assert shelf.memory == {}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_memory_goes_through_tensors(make):
    parameters, optimizer = trained(make)
    before = entries(optimizer.state[parameters["b.y"]])
    shelf, again = Shelf([optimizer]), Shelf([optimizer])
    away = {"b.y": parameters["b.y"]}
    shelf.put(away)
    again.restore(shelf.tensors())
    again.take(away, list(parameters.values()))
    same(entries(optimizer.state[parameters["b.y"]]), {k: v for k, v in before.items() if v is not None})


def test_an_optimizer_that_came_later_trains_what_comes_back():
    parameters, optimizer = trained(OPTIMIZERS["sgd"])
    shelf = Shelf([optimizer])
    away = {"a.x": parameters["a.x"]}
    shelf.put(away)
    late = torch.optim.SGD([parameters["b.y"], parameters["c.z"]], lr=1.0)
    shelf.optimizers.append(late)
    shelf.take(away, list(parameters.values()))
    assert [id(p) for p in late.param_groups[0]["params"]] == [id(p) for p in parameters.values()]
