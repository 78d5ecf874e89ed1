"""The supernet of DARTS: which edges run, and mixtures over pairs of sources and operations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ogive.nn.super_darts import SuperTwoInputCell
from ogive.spaces.base import Shape, get_space

TASK = Shape((3, 8, 8), 5)
SPEC = "darts:C=2,layers=3,none=true"
SPACE = get_space(SPEC)


def supernet():
    torch.manual_seed(0)
    return SPACE.supernet(TASK).eval()


def images(n=2):
    return torch.randn(n, *TASK.input_shape, generator=torch.Generator().manual_seed(0))


def sample(seed, n=1):
    return SPACE.sample(n, np.random.default_rng(seed))


def one_hot(code, choice):
    return torch.eye(len(SPACE.choices[choice].options))[code]


def test_edges_are_keyed_by_source_and_node():
    # Two genotypes that read source 1 into node 3 with the same operation, once as the lower and once as the higher.
    network, names = supernet(), [c.name for c in SPACE.choices]
    pair, first, second = (names.index(f"normal_3_{k}") for k in ("inputs", "op_a", "op_b"))
    conv = SPACE.ops.index("sep_conv_3x3")
    low, high = sample(0)[0], sample(0)[0]
    low[[pair, first]] = SPACE.choices[pair].options.index("1+2"), conv
    high[[pair, second]] = SPACE.choices[pair].options.index("0+1"), conv
    kernels = []
    for path, edge in ((low, 2), (high, 3)):
        network.select(path.tolist())
        kernels.append(network.active_state()[f"cells.0.ops.{edge}.0.1.weight"])
    assert kernels[0].data_ptr() == kernels[1].data_ptr()


@pytest.mark.parametrize("run", [False, True])
def test_a_mixture_of_sure_things_is_the_path(run):
    network, x = supernet(), images()
    for path in sample(1, 3).tolist():
        with torch.inference_mode():
            network.select(path)
            expected = network(x)
            network.mix([one_hot(c, i) for i, c in enumerate(path)], [(c,) for c in path] if run else None)
            torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_a_mixture_is_the_mean_over_pairs_and_operations():
    # The last node is linear in its three choices: its cell is the weighted sum over all their combinations.
    network, path = supernet(), sample(2)[0].tolist()
    cell = network.cells[0]
    states = torch.randn(2, 2, 6, 4, 4)
    rng = np.random.default_rng(0)
    choices = [8, 9, 10]
    assert SPACE.choices[8].name == "normal_5_inputs"
    supported = [rng.choice(len(SPACE.choices[c].options), 3, replace=False).tolist() for c in choices]
    weights = [None] * len(SPACE.choices)
    for choice, codes in zip(choices, supported, strict=True):
        weights[choice] = torch.zeros(len(SPACE.choices[choice].options))
        weights[choice][codes] = torch.tensor(rng.dirichlet(np.ones(3)), dtype=torch.float32)
    expected = 0
    with torch.inference_mode():
        for codes in itertools.product(*supported):
            for choice, code in zip(choices, codes, strict=True):
                path[choice] = code
            network.select(path)
            share = np.prod([weights[c][k] for c, k in zip(choices, codes, strict=True)])
            expected = expected + share * cell(*states)
        network.mix(weights)
        torch.testing.assert_close(cell(*states), expected, rtol=1e-4, atol=1e-5)


def test_what_a_hard_sample_leaves_out_does_not_run_but_has_a_gradient():
    network, path, x = supernet(), sample(3)[0].tolist(), images()
    soft = [torch.full((len(c.options),), 1 / len(c.options), requires_grad=True) for c in SPACE.choices]
    hard = [one_hot(code, i) + s - s.detach() for i, (code, s) in enumerate(zip(path, soft, strict=True))]
    network.select(path)
    with torch.inference_mode():
        expected = network(x)
    network.mix(hard, [(code,) for code in path])
    running = []
    for cell in network.cells:
        for module in cell.ops.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(lambda *_: running.append(1))
    out = network(x)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    plain = SPACE.build(np.array(path), TASK)
    modules = [m for cell in plain.cells for m in cell.ops.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(running) == len(modules)
    out.square().sum().backward()
    assert all(s.grad is not None and s.grad.abs().sum() > 0 for s in soft)


def test_selecting_ends_a_mixture_everywhere():
    network, path, x = supernet(), sample(4)[0].tolist(), images()
    with torch.inference_mode():
        network.select(path)
        expected = network(x)
        network.mix([torch.full((len(c.options),), 1 / len(c.options)) for c in SPACE.choices])
        assert not torch.allclose(network(x), expected)
        network.select(path)
        assert torch.equal(network(x), expected)


def test_an_excluded_operation_shelves_the_edges_that_are_its_alone():
    network = supernet()
    code = SPACE.ops.index("dil_conv_5x5")
    # The first operation of node 4 has source 0 to itself, the second one source 3: cell 0 is the normal one.
    names = [c.name for c in SPACE.choices]
    cell = network.cells[0]
    assert isinstance(cell, SuperTwoInputCell)
    for choice, source in (("normal_4_op_a", 0), ("normal_4_op_b", 3)):
        ((name, module),) = network.owned(names.index(choice), code)
        assert module is cell.place(2, source).table[code]
        assert name.startswith("cells.0.ops.")
