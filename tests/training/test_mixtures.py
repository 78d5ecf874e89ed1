"""The virtual step against closed forms, kept buffers, partial channels, and what counts as a skip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ogive.spaces.base import get_space
from ogive.training.mixtures import incoming_edges, kept_buffers, partial_channels, skip_like, unrolled

TOY = Path(__file__).parents[2] / "examples" / "templates" / "toy.yaml"


def train(a):
    return lambda weights: weights["w"] ** 2 - 2 * a * weights["w"] + a**2


def val(a):
    return lambda weights: a * weights["w"] - 2 * a + 1


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_gradient_through_a_step_on_the_example_of_the_darts_paper(rate):
    """L_train = w^2 - 2 a w + a^2 and L_val = a w - 2 a + 1 give w - 2 + 2 a rate at the moved w."""
    a, w = torch.tensor([2.0, -2.0], dtype=torch.float64, requires_grad=True).unbind()
    (gradient,) = torch.autograd.grad(unrolled(train(a), val(a), {"w": w}, rate), a)
    moved = -2.0 - rate * (2 * -2.0 - 2 * 2.0)
    assert gradient.item() == pytest.approx(moved - 2 + 2.0 * 2 * rate)


@pytest.mark.parametrize(("rate", "end"), [(0.0, 2.0), (0.5, 1.0)])
def test_the_step_finds_the_optimum_of_that_example(rate, end):
    """Figure 2 of the paper: a = 1, w = 1 is best; without the step the search ends at a = 2."""
    a, w = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, -2.0))
    for _ in range(2000):
        (slope,) = torch.autograd.grad(unrolled(train(a), val(a), {"w": w}, rate), a)
        with torch.no_grad():
            a -= 0.02 * slope
            w -= 0.2 * (2 * w - 2 * a)
    assert a.item() == pytest.approx(end, abs=1e-3)


def test_a_weight_that_the_training_loss_does_not_use_stays():
    w = {"used": torch.ones(2, requires_grad=True), "idle": torch.ones(2, requires_grad=True)}
    loss = unrolled(lambda t: t["used"].sum() ** 2, lambda t: (t["used"] + 3 * t["idle"]).sum(), w, 0.25)
    assert loss.item() == 2 * (1 - 0.25 * 4) + 6


def test_buffers_come_back_also_after_an_error():
    net = nn.BatchNorm1d(3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with kept_buffers(net):
        net(torch.randn(8, 3))
        assert not torch.equal(net.running_mean, before["running_mean"])
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    net.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), kept_buffers(net):
        net(torch.randn(8, 3))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_options_write_one_of_so_many_channels_and_hand_on_the_others():
    double, triple = (nn.Conv2d(8, 8, 1, groups=8, bias=False) for _ in range(2))
    wide = nn.Conv2d(8, 4, 1)
    nn.init.constant_(double.weight, 2.0)
    nn.init.constant_(triple.weight, 3.0)
    x = 1 + torch.rand(3, 8, 2, 2)
    seen = set()
    for _ in range(30):
        with partial_channels([[double, triple, wide]], 4):
            y = double(x)
            written = (y != x).all(dim=(0, 2, 3))
            assert written.sum() == 2
            assert torch.equal(y, torch.where(written[:, None, None], 2 * x, x))
            assert torch.equal(triple(x), torch.where(written[:, None, None], 3 * x, x))
            assert wide(x).shape[1] == 4  # no shape to hand on
        seen |= set(torch.nonzero(written).flatten().tolist())
    assert seen == set(range(8))
    assert torch.equal(double(x), 2 * x)


def test_edges_by_their_target():
    assert incoming_edges(get_space("nasbench201")) == [[1, 2], [3, 4, 5]]
    assert incoming_edges(get_space("nats_sss")) == []
    assert incoming_edges(get_space(f"template:path={TOY}")) == []


def test_skips_by_name_and_by_block():
    space = get_space("nasbench201")
    assert [o for o, skip in zip(space.choices[0].options, skip_like(space)[0], strict=True) if skip] == [
        "none",
        "skip_connect",
    ]
    toy = skip_like(get_space(f"template:path={TOY}"))
    np.testing.assert_array_equal(toy, np.tile([False, False, False, True], (4, 1)))
