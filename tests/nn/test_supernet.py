"""Places where options compete: what runs, what a mixture adds up, what is listed and shelved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ogive._errors import InputError
from ogive.nn.supernet import Alternatives, SuperNetwork, active_state


class Times(nn.Module):
    """Multiplies by a number and counts its calls."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.factor


class Network(SuperNetwork):
    """One choice that decides in two places, and a layer that has no choice."""

    def __init__(self):
        super().__init__()
        self.first = Alternatives({"two": Times(2), "half": Times(0.5)})
        self.between = Times(10)
        self.second = Alternatives({"two": Times(3), "half": Times(0.25)})
        self.bind(0, self.first)
        self.bind(0, self.second)

    def forward(self, x):
        return self.second(self.between(self.first(x)))


def three():
    return Alternatives({"none": None, "two": Times(2), "three": Times(3)})


def calls(place):
    return [0 if module is None else module.calls for module in place.table]


X = torch.tensor([[1.0, -2.0]])


def test_only_the_active_option_runs():
    place = three()
    place.active = 2
    torch.testing.assert_close(place(X), 3 * X)
    assert calls(place) == [0, 0, 1]
    place.active = 0
    assert place(X) is None
    assert calls(place) == [0, 0, 1]


def test_a_mixture_is_the_weighted_sum_with_its_gradients():
    place = three()
    place.weights = weights = torch.tensor([0.2, 0.3, 0.5], requires_grad=True)
    out = place(X)
    torch.testing.assert_close(out, (0.3 * 2 + 0.5 * 3) * X)
    (gradient,) = torch.autograd.grad(out.sum(), weights)
    torch.testing.assert_close(gradient, torch.tensor([0.0, 2.0, 3.0]) * X.sum())


def test_what_does_not_run_adds_its_bare_weight():
    # A hard sample of option 1: values as if it ran alone, gradients for all (GDAS).
    place = three()
    soft = torch.tensor([0.2, 0.3, 0.5], requires_grad=True)
    place.weights = torch.tensor([0.0, 1.0, 0.0]) + soft - soft.detach()
    place.run = (1,)
    out = place(X)
    torch.testing.assert_close(out, 2 * X)
    assert calls(place) == [0, 1, 0]
    (gradient,) = torch.autograd.grad(out.sum(), soft)
    torch.testing.assert_close(gradient, torch.tensor([2.0, 2 * X.sum(), 2.0]))


def test_a_mixture_in_which_nothing_runs_is_a_number():
    place = three()
    place.weights, place.run = torch.tensor([1.0, 0.0, 0.25]), (0,)
    assert place(X) == 0.25
    alone = Alternatives({"none": None})
    alone.weights = torch.ones(1)
    assert alone(X) is None


def test_shelved_options_are_not_listed_and_return_to_their_place():
    place = three()
    before = [name for name, _ in place.named_parameters()]
    assert before == ["options.op_two.factor", "options.op_three.factor"]
    kept = place.table[1].factor
    place.shelve(1)
    assert [name for name, _ in place.named_parameters()] == before[1:]
    place.weights = torch.ones(3)
    torch.testing.assert_close(place(X), 3 * X)
    place.unshelve(1)
    assert [name for name, _ in place.named_parameters()] == before
    assert next(place.parameters()) is kept


def test_a_choice_decides_in_all_its_places():
    network = Network()
    for code, factor in ((0, 2 * 10 * 3), (1, 0.5 * 10 * 0.25)):
        network.select([code])
        torch.testing.assert_close(network(X), factor * X)
        assert {k: v.item() for k, v in network.active_state().items()} == {
            "first.factor": [2, 0.5][code],
            "between.factor": 10,
            "second.factor": [3, 0.25][code],
        }


def test_selecting_ends_a_mixture():
    network = Network()
    weights = nn.Parameter(torch.tensor([0.5, 0.5]))
    network.mix([weights])
    torch.testing.assert_close(network(X), (1.25 * 10 * 1.625) * X)
    # The weights belong to whoever mixes.
    assert all(p is not weights for p in network.parameters())
    network(X).sum().backward()
    assert weights.grad is not None
    network.select([1])
    torch.testing.assert_close(network(X), 1.25 * X)


def test_a_mixture_leaves_choices_without_weights_where_they_are():
    network = Network()
    network.select([1])
    network.mix([None])
    torch.testing.assert_close(network(X), 1.25 * X)


def test_what_decides_nowhere_cannot_be_mixed():
    with pytest.raises(InputError, match="choice 1 cannot be mixed"):
        Network().mix([None, torch.ones(2)])


def test_an_option_owns_its_modules_also_on_the_shelf():
    network = Network()
    owned = network.owned(0, 1)
    assert owned == [
        ("first.options.op_half", network.first.table[1]),
        ("second.options.op_half", network.second.table[1]),
    ]
    listed = [name for name, _ in network.named_parameters()]
    network.shelve(0, 1)
    assert network.owned(0, 1) == owned
    assert [name for name, _ in network.named_parameters()] == [name for name in listed if "half" not in name]
    network.unshelve(0, 1)
    assert [name for name, _ in network.named_parameters()] == listed


def test_plain_modules_are_active_as_a_whole():
    row = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    state = active_state(row)
    assert state.keys() == row.state_dict().keys()
    assert all(state[name].data_ptr() == tensor.data_ptr() for name, tensor in row.state_dict().items())
