"""Paths of the mobile supernets against plain networks, and elastic blocks against slices made by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from ogive._errors import InputError
from ogive.nn.super_mobile import ElasticInvertedResidual
from ogive.spaces.base import Shape
from ogive.training.supernet import Supernet

TASK = Shape((3, 16, 12), 5)
ELASTIC = ["mobilenetv2:width=0.1", "mobilenetv3:width=0.1", "ofa:width=0.1"]
BY_BLOCK = ["proxylessnas:width=0.1", "fbnet:cifar=true,head=16"]


def randomise(network, seed=0):
    """Give every tensor a value of its own, statistics and kernel transforms too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator), alpha=0.1)


@cache
def supernet(spec):
    made = Supernet(spec, TASK)
    randomise(made.network)
    made.network.eval()
    return made


def images(n=2, seed=0):
    return torch.randn(n, *TASK.input_shape, generator=torch.Generator().manual_seed(seed))


def genotype(space, seed):
    return space.sample(1, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("spec", ELASTIC + BY_BLOCK)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_path_taken_out_computes_what_it_computed_inside(spec, seed):
    made = supernet(spec)
    path = genotype(made.space, seed)
    with torch.inference_mode():
        inside, alone = made.forward(images(), path), made.extract(path).eval()(images())
    assert (inside - alone).abs().max() <= 1e-6
    assert inside.std() > 1e-4


@pytest.mark.parametrize("spec", ELASTIC + BY_BLOCK)
def test_paths_that_are_not_equal_compute_different_things(spec):
    made = supernet(spec)
    paths = made.space.canonical(made.space.sample(6, np.random.default_rng(1)))
    with torch.inference_mode():
        outputs = torch.stack([made.forward(images(), path) for path in paths])
    assert len({tuple(row.flatten().tolist()) for row in outputs}) == len(set(made.space.keys(paths)))


# ---------------------------------------------------------------- elastic


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize(("kernel", "width"), [(0, 0), (1, 1), (2, 2)])
def test_an_elastic_block_is_its_first_channels_and_transformed_centres(squeezed, kernel, width):
    hidden, inner = [(6, 2), (8, 3), (12, 4)][width]
    widths = [(h, s if squeezed else 0) for h, s in [(6, 2), (8, 3), (12, 4)]]
    block = ElasticInvertedResidual(4, 4, (3, 5, 7), widths, 1, "hardswish").eval()
    randomise(block)
    block.select(kernel, width)
    (expand, norm1, _), (depthwise, norm2, _), *gate, (back, norm3) = block.body
    weight = depthwise.weight[:hidden]
    for size in (5, 3)[: 2 - kernel]:
        cut = (weight.shape[-1] - size) // 2
        centre = weight[:, :, cut : cut + size, cut : cut + size].flatten(1)
        weight = (centre @ depthwise.transforms[str(size)].T).view(hidden, 1, size, size)

    def norm(x, layer):
        c = x.shape[1]
        statistics = layer.running_mean[:c], layer.running_var[:c], layer.weight[:c], layer.bias[:c]
        return F.batch_norm(x, *statistics, eps=layer.eps)

    x = torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(1))
    y = F.hardswish(norm(F.conv2d(x, expand.weight[:hidden]), norm1))
    y = F.hardswish(norm(F.conv2d(y, weight, padding=weight.shape[-1] // 2, groups=hidden), norm2))
    if squeezed:
        _, reduce, _, restore, _ = gate[0].gate
        g = F.conv2d(y.mean(dim=(2, 3), keepdim=True), reduce.weight[:inner, :hidden], reduce.bias[:inner]).relu()
        y = y * F.hardsigmoid(F.conv2d(g, restore.weight[:hidden, :inner], restore.bias[:hidden]))
    expected = x + norm(F.conv2d(y, back.weight[:, :hidden]), norm3)
    assert torch.allclose(block(x), expected, atol=1e-5)


@pytest.mark.parametrize("spec", ELASTIC)
def test_a_shallow_stage_has_the_first_blocks_of_a_deep_one(spec):
    made = supernet(spec)
    path = genotype(made.space, 3)
    path[:5] = [0, 1, 2, 0, 1]
    ran = []
    hooks = [
        slot.table[0].register_forward_hook(lambda *_, i=i: ran.append(i)) for i, slot in enumerate(made.network.slots)
    ]
    with torch.inference_mode():
        made.forward(images(), path)
    for hook in hooks:
        hook.remove()
    expected = [0, 1, 4, 5, 6, 8, 9, 10, 11, 12, 13, 16, 17, 18]
    assert ran == expected + [20] * (spec.startswith("mobilenetv2"))


def test_the_resolution_is_chosen_with_the_path():
    made = supernet("ofa:width=0.1")
    shapes = []
    hook = made.network.network.stem.register_forward_hook(lambda _m, x, _y: shapes.append(tuple(x[0].shape[2:])))
    for code in (0, 24, 3):
        path = genotype(made.space, 0)
        path[-1] = code
        with torch.inference_mode():
            made.forward(images(1), path)
    hook.remove()
    assert shapes == [(128, 128), (224, 224), (140, 140)]


def test_images_of_the_chosen_size_stay_as_they_are():
    task = Shape((3, 128, 128), 5)
    made = Supernet("ofa:width=0.1", task)
    path = genotype(made.space, 0)
    path[-1] = 0
    x = torch.randn(1, *task.input_shape, generator=torch.Generator().manual_seed(0))
    made.network.eval()
    with torch.inference_mode():
        alone = made.extract(path).eval()
        assert isinstance(alone.resize, nn.Identity)
        assert (made.forward(x, path) - alone(x)).abs().max() <= 1e-6


def test_slices_cannot_be_mixed():
    made = supernet("mobilenetv3:width=0.1")
    with pytest.raises(InputError, match="cannot be mixed"):
        made.network.mix([torch.ones(3) / 3] * made.space.n_choices)


# ---------------------------------------------------------------- one choice a slot


@pytest.mark.parametrize("spec", BY_BLOCK)
def test_a_mixture_with_one_hot_weights_is_that_path(spec):
    made = supernet(spec)
    path = genotype(made.space, 5)
    weights = [F.one_hot(torch.tensor(int(c)), int(n)) for c, n in zip(path, made.space.cardinalities, strict=True)]
    with torch.inference_mode():
        expected = made.forward(images(), path)
        made.network.mix([w.float() for w in weights])
        mixed = made.network(images())
    assert torch.allclose(mixed, expected, atol=1e-5)


def test_a_mixture_of_a_block_and_nothing_is_the_sum_of_both():
    made = supernet("fbnet:cifar=true,head=16")
    path = genotype(made.space, 5)
    path[2], empty = 4, 8
    with torch.inference_mode():
        made.select(path)
        slot = made.network.slots[2]
        x = torch.randn(2, 24, 6, 6, generator=torch.Generator().manual_seed(2))
        block = slot(x)
        weights = [None] * made.space.n_choices
        weights[2] = torch.zeros(9)
        weights[2][4], weights[2][empty] = 0.25, 0.75
        made.network.mix(weights)
        assert torch.allclose(slot(x), 0.25 * block + 0.75 * x, atol=1e-5)
        made.select(path)
        assert torch.equal(slot(x), block)


@pytest.mark.parametrize(("choice", "option"), [("block3", "k5_e6"), ("block3", "skip")])
def test_a_block_is_excluded_and_comes_back_bit_for_bit(choice, option):
    made = Supernet("fbnet:cifar=true,head=16", TASK)
    before = {name: p.clone() for name, p in made.named_parameters()}
    made.exclude(choice, option)
    inside = dict(made.named_parameters())
    gone = before.keys() - inside.keys()
    assert all("blocks.2." in name and "k5_e6" in name for name in gone)
    assert bool(gone) == (option != "skip")
    made.restore(choice, option)
    after = dict(made.named_parameters())
    assert list(after) == list(before)
    assert all(torch.equal(after[name], p) for name, p in before.items())
