"""Supernets of every space: paths against plain networks, the shelf, forks, files."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ogive._errors import InputError, StorageError, UnknownNameError
from ogive.spaces.base import SPACES, Shape, get_space
from ogive.training.checkpoint import save_tensors
from ogive.training.supernet import FILE, Supernet

TASK = Shape((3, 12, 9), 5)
SMALL = "nasbench201:C=4,N=1"
SPECS = {
    "darts": "darts:C=4,layers=3,none=true",
    "fbnet": "fbnet:cifar=true,head=16",
    "mobilenetv2": "mobilenetv2:width=0.1",
    "mobilenetv3": "mobilenetv3:width=0.1",
    "nasbench101": "nasbench101:C=9,N=2",
    "nasbench201": SMALL,
    "nats_sss": "nats_sss",
    "ofa": "ofa:width=0.1",
    "proxylessnas": "proxylessnas:width=0.1",
    "template": f"template:path={Path(__file__).parents[2] / 'examples' / 'templates' / 'toy.yaml'}",
    "transnas_macro": "transnas_macro:C=4",
    "transnas_micro": "transnas_micro:C=4",
}
UNSLICED = ["darts", "nasbench201", "template", "transnas_macro", "transnas_micro"]
"""Spaces whose options have whole tensors of their own."""


def randomise(network):
    """Give every tensor values of its own, running statistics too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator), alpha=0.1)


@cache
def shared_supernet(name):
    supernet = Supernet(SPECS[name], TASK)
    randomise(supernet.network)
    return supernet


def images(n=4, seed=0):
    return torch.randn(n, *TASK.input_shape, generator=torch.Generator().manual_seed(seed))


def sample(space, seed, n=1):
    return space.sample(n, np.random.default_rng(seed))


def optimizer_of(supernet, kind="sgd"):
    parameters = [p for _, p in supernet.named_parameters()]
    made = torch.optim.SGD(parameters, lr=0.05, momentum=0.9) if kind == "sgd" else torch.optim.AdamW(parameters)
    supernet.attach(made)
    return made


def train(supernet, optimizer, seeds):
    """Return the losses of some steps on sampled paths."""
    losses = []
    for seed in seeds:
        optimizer.zero_grad()
        out = supernet.forward(images(seed=seed), sample(supernet.space, seed)[0])
        loss = nn.functional.cross_entropy(out, torch.arange(4) % TASK.n_outputs)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def convolutions(network, x, forward):
    """Return the input shapes of all convolutions and linear layers that run, in order."""
    seen = []
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [m.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape))) for m in layers]
    forward(x)
    for handle in handles:
        handle.remove()
    return seen


# ---------------------------------------------------------------- paths


def test_every_space_is_here():
    assert set(SPECS) == set(SPACES._builtin)


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_path_taken_out_computes_what_it_computed_inside(name, seed):
    supernet = shared_supernet(name)
    supernet.network.eval()
    (path,) = sample(supernet.space, seed)
    plain = supernet.extract(path).eval()
    assert type(plain) is type(supernet.space.build(path, TASK))
    with torch.inference_mode():
        assert (plain(images()) - supernet.forward(images(), path)).abs().max() <= 1e-6


@pytest.mark.parametrize("name", SPECS)
def test_only_the_chosen_path_runs(name):
    supernet = shared_supernet(name)
    for path in sample(supernet.space, 1, 3):
        with torch.inference_mode():
            inside = convolutions(supernet.network, images(), lambda x, path=path: supernet.forward(x, path))
            plain = supernet.space.build(path, TASK)
            assert sorted(inside) == sorted(convolutions(plain, images(), plain))


@pytest.mark.parametrize("name", UNSLICED)
def test_training_a_path_gives_the_gradients_and_statistics_of_the_plain_network(name):
    supernet = copy.deepcopy(shared_supernet(name))
    supernet.network.train()
    (path,) = sample(supernet.space, 5)
    plain = supernet.extract(path).train()
    supernet.forward(images(), path).square().sum().backward()
    plain(images()).square().sum().backward()
    active = supernet.network.active_state()
    for key, parameter in plain.named_parameters():
        torch.testing.assert_close(active[key].grad, parameter.grad, rtol=1e-4, atol=1e-5)
    for key, buffer in plain.named_buffers():
        torch.testing.assert_close(active[key], buffer)
    touched = {id(p) for p in active.values()}
    assert all(p.grad is None for p in supernet.network.parameters() if id(p) not in touched)


def test_an_extracted_network_has_weights_of_its_own():
    supernet = Supernet(SMALL, TASK)
    (path,) = sample(supernet.space, 0)
    before = supernet.forward(images(), path)
    plain = supernet.extract(path)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    torch.testing.assert_close(supernet.forward(images(), path), before)


def test_what_is_no_architecture_cannot_be_selected():
    supernet = Supernet("transnas_macro:C=4", TASK)
    with pytest.raises(InputError, match="not an architecture of space 'transnas_macro'"):
        supernet.select(np.zeros(6, dtype=np.uint8))
    with pytest.raises(InputError, match="have shape"):
        supernet.forward(images(), np.zeros(5, dtype=np.uint8))


def test_weights_depend_on_the_seed_and_their_names_alone():
    short, long = Supernet("nasbench201:C=4,N=1", TASK, seed=3), Supernet("nasbench201:C=4,N=2", TASK, seed=3)
    tensors = long.network.state_dict()
    assert all(torch.equal(v, tensors[k]) for k, v in short.network.state_dict().items())
    other = Supernet(SMALL, TASK, seed=4).network.state_dict()
    assert not torch.equal(other["stem.0.weight"], short.network.state_dict()["stem.0.weight"])
    options = tensors["stage1.0.edges.0->1.options.op_nor_conv_3x3.conv.weight"]
    assert not torch.equal(options, tensors["stage1.1.edges.0->1.options.op_nor_conv_3x3.conv.weight"])


def test_making_and_extracting_leave_the_random_stream_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    supernet = Supernet(SMALL, TASK)
    supernet.extract(sample(supernet.space, 0)[0])
    assert torch.equal(torch.rand(3), expected)


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=9))
@settings(max_examples=20, deadline=None)
def test_exposure_counts_every_gradient(paths):
    supernet = shared_supernet("nasbench201")
    before = supernet.exposure.copy()
    supernet.count(np.array(paths, dtype=np.uint8))
    more = supernet.exposure - before
    assert all(more[i, o] == sum(path[i] == o for path in paths) for i in range(6) for o in range(5))


# ---------------------------------------------------------------- the shelf


def memory(supernet, optimizer):
    return {
        f"{name}.{key}": value.clone()
        for name, parameter in supernet.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, torch.Tensor)
    }


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize(
    ("name", "choice", "option"),
    [
        ("nasbench201", "1->2", "nor_conv_3x3"),
        ("transnas_micro", "0->1", "nor_conv_1x1"),
        ("transnas_macro", "module2", "wider"),
        ("darts", "normal_3_op_a", "sep_conv_3x3"),
        ("nasbench101", "op2", "conv1x1-bn-relu"),
    ],
)
def test_excluding_and_restoring_changes_no_bit(name, choice, option, kind):
    supernet = Supernet(SPECS[name], TASK)
    optimizer = optimizer_of(supernet, kind)
    train(supernet, optimizer, range(6))
    parameters = dict(supernet.named_parameters())
    tensors = {k: v.clone() for k, v in supernet.network.state_dict().items()}
    remembered = memory(supernet, optimizer)
    groups = [[id(p) for p in group["params"]] for group in optimizer.param_groups]

    supernet.exclude(choice, option)
    listed = dict(supernet.named_parameters())
    away = parameters.keys() - listed.keys()
    assert away
    assert all(f"op_{option}" in key for key in away)
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in listed.values()}
    assert all(parameters[key] not in optimizer.state for key in away)

    supernet.restore(choice, option)
    assert list(dict(supernet.named_parameters()).items()) == list(parameters.items())
    assert all(torch.equal(v, tensors[k]) for k, v in supernet.network.state_dict().items())
    again = memory(supernet, optimizer)
    assert list(again) == list(remembered)
    assert all(torch.equal(v, remembered[k]) for k, v in again.items())
    assert [[id(p) for p in group["params"]] for group in optimizer.param_groups] == groups


def test_what_is_shelved_sleeps_while_the_rest_is_trained():
    supernet = Supernet(SMALL, TASK)
    optimizer = optimizer_of(supernet)
    train(supernet, optimizer, range(6))
    before, remembered = supernet.network.state_dict(), memory(supernet, optimizer)
    before = {k: v.clone() for k, v in before.items()}
    supernet.exclude("0->1", "nor_conv_3x3")
    train(supernet, optimizer, range(6, 12))
    supernet.restore("0->1", "nor_conv_3x3")
    mine = "edges.0->1.options.op_nor_conv_3x3"
    after, now = supernet.network.state_dict(), memory(supernet, optimizer)
    assert all(torch.equal(after[k], v) for k, v in before.items() if mine in k)
    assert all(torch.equal(now[k], v) for k, v in remembered.items() if mine in k)
    assert not torch.equal(after["stem.0.weight"], before["stem.0.weight"])


def test_a_detour_over_the_shelf_does_not_show_in_the_losses():
    losses = []
    for detour in (False, True):
        supernet = Supernet(SMALL, TASK)
        optimizer = optimizer_of(supernet, "adamw")
        start = train(supernet, optimizer, range(5))
        if detour:
            supernet.exclude("0->2", "nor_conv_1x1")
            supernet.exclude("0->1", "nor_conv_3x3")
            supernet.restore("0->2", "nor_conv_1x1")
            supernet.restore("0->1", "nor_conv_3x3")
        losses.append(start + train(supernet, optimizer, range(5, 12)))
    assert losses[0] == losses[1]


def test_what_comes_back_is_in_the_mode_of_the_network():
    supernet = Supernet(SMALL, TASK)
    supernet.exclude("0->1", "nor_conv_3x3")
    supernet.network.eval()
    supernet.restore("0->1", "nor_conv_3x3")
    assert not any(module.training for module in supernet.network.modules())


def test_a_shelved_option_cannot_be_selected_and_says_which_it_is():
    supernet = Supernet(SMALL, TASK)
    supernet.exclude("0->2", "skip_connect")
    assert not supernet.space.restriction.allowed[1, 1]
    with pytest.raises(InputError, match="option 'skip_connect' of choice '0->2' is excluded"):
        supernet.select(np.array([0, 1, 0, 0, 0, 0]))
    supernet.select(np.array([1, 0, 0, 0, 0, 0]))
    supernet.restore("0->2", "skip_connect")
    assert supernet.space.restriction.uniform
    supernet.select(np.array([0, 1, 0, 0, 0, 0]))


def test_restrictions_are_applied_as_a_whole():
    supernet = Supernet(SMALL, TASK)
    names = [name for name, _ in supernet.named_parameters()]
    supernet.apply(supernet.space.restrict(lock={"0->1": "none"}, weights={"0->2": {"none": 3.0}}))
    assert not any("edges.0->1." in name for name, _ in supernet.named_parameters())
    supernet.exclude("0->2", "skip_connect")
    supernet.restore("0->1", "nor_conv_1x1")
    assert supernet.space.restriction.weights[:2].tolist() == [[1, 0, 1, 0, 0], [3, 0, 1, 1, 1]]
    supernet.apply(supernet.space.free())
    assert [name for name, _ in supernet.named_parameters()] == names


def test_names_that_do_not_exist_are_refused():
    supernet = Supernet(SMALL, TASK)
    for call in (supernet.exclude, supernet.restore):
        with pytest.raises(UnknownNameError, match="0->1"):
            call("0->9", "none")
        with pytest.raises(UnknownNameError, match="nor_conv_3x3"):
            call("0->1", "nor_conv_5x5")
    with pytest.raises(UnknownNameError, match="0->1"):
        supernet.fork("0->9")
    with pytest.raises(InputError, match="other choices"):
        supernet.apply(get_space("transnas_micro"))


def test_the_last_option_of_a_choice_stays():
    supernet = Supernet(SMALL, TASK)
    supernet.apply(supernet.space.restrict(lock={"0->1": "none"}))
    with pytest.raises(InputError, match="no option left"):
        supernet.exclude("0->1", "none")
    assert not supernet.shelved[0, 0]


# ---------------------------------------------------------------- forks and files


def test_forks_start_from_the_same_weights_and_go_their_own_ways():
    supernet = Supernet(SMALL, TASK)
    train(supernet, optimizer_of(supernet), range(3))
    supernet.count(sample(supernet.space, 0, 3))
    supernet.exclude("1->2", "none")
    forks = supernet.fork("1->2")
    codes = [1, 2, 3, 4]
    assert [np.flatnonzero(f.space.restriction.allowed[2]).tolist() for f in forks] == [[c] for c in codes]
    paths = [np.array([3, 2, code, 1, 3, 4]) for code in codes]
    supernet.network.eval()
    expected = [supernet.forward(images(), path) for path in paths]
    for fork, path, out in zip(forks, paths, expected, strict=True):
        fork.network.eval()
        assert torch.equal(fork.forward(images(), path), out)
        assert (fork.exposure == supernet.exposure).all()
        fork.network.train()
        train(fork, optimizer_of(fork), range(3))
    assert all(torch.equal(supernet.forward(images(), p), out) for p, out in zip(paths, expected, strict=True))


def parameters(supernet, choice, code):
    """Return how many parameters an option has to itself."""
    return sum(p.numel() for _, module in supernet.network.owned(choice, code) for p in module.parameters())


@pytest.mark.parametrize("name", SPECS)
def test_a_file_gives_the_supernet_back(name, tmp_path):
    supernet = copy.deepcopy(shared_supernet(name))
    supernet.count(sample(supernet.space, 2, 4))
    first = supernet.space.choices[0]
    sizes = [parameters(supernet, 0, code) for code in range(len(first.options))]
    supernet.exclude(first.name, first.options[int(np.argmax(sizes))])
    supernet.save(tmp_path)
    again = Supernet.load(tmp_path, TASK)
    assert again.seed == supernet.seed
    assert (again.exposure == supernet.exposure).all()
    assert (again.shelved == supernet.shelved).all()
    assert again.space.restriction.weights.tolist() == supernet.space.restriction.weights.tolist()
    for one in (supernet, again):
        one.apply(one.space.free())
        one.network.eval()
    for path in sample(supernet.space, 7, 3):
        with torch.inference_mode():
            assert torch.equal(again.forward(images(), path), supernet.forward(images(), path))


def test_a_file_holds_what_optimizers_remember_of_the_shelf(tmp_path):
    supernet = Supernet(SMALL, TASK)
    optimizer = optimizer_of(supernet, "adamw")
    train(supernet, optimizer, range(6))
    before = memory(supernet, optimizer)
    supernet.exclude("0->1", "nor_conv_3x3")
    supernet.save(tmp_path)
    again = Supernet.load(tmp_path)
    late = optimizer_of(again, "adamw")
    again.restore("0->1", "nor_conv_3x3")
    expected = {k: v for k, v in before.items() if "edges.0->1.options.op_nor_conv_3x3" in k}
    now = memory(again, late)
    assert now.keys() == expected.keys()
    assert all(torch.equal(v, now[k]) for k, v in expected.items())


def test_other_files_and_other_supernets_are_refused(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        Supernet.load(tmp_path)
    save_tensors(tmp_path / FILE, {"x": torch.ones(1)}, {})
    with pytest.raises(InputError, match="holds no supernet"):
        Supernet.load(tmp_path)
    supernet = Supernet(SMALL, TASK)
    supernet.save(tmp_path)
    with pytest.raises(InputError, match="n_outputs"):
        Supernet.load(tmp_path, Shape(TASK.input_shape, 6))
    with pytest.raises(InputError, match="has space"):
        Supernet("nasbench201:C=4,N=2", TASK).restore_state(*supernet.state())


def test_a_space_without_a_supernet_says_so():
    class Names(type(get_space(SMALL)).__mro__[1]):
        name = "names"
        choices = get_space(SMALL).choices

    with pytest.raises(InputError, match="has no supernet"):
        Supernet(Names(), TASK)
