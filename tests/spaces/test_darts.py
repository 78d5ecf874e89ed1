"""The DARTS space against its published network, its published notation, and every renaming of nodes by hand."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ogive._errors import ArchStringError, InputError
from ogive.metrics.counts import count_module
from ogive.spaces.base import Shape, get_space
from ogive.spaces.darts import DARTS, OPS
from tests.spaces.damage import EDITS, check_damaged

SPACE = DARTS()
CIFAR = Shape((3, 32, 32), 10)

SECOND_ORDER = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
"""The cells of the paper's second-order search, as the authors print them."""


def test_parameters_of_the_published_network():
    """The authors' training script prints 3.349342 million for it."""
    assert SPACE.count(SPACE.parse([SECOND_ORDER]), CIFAR)["params"] == 3_349_342
    with torch.device("meta"):
        model = SPACE.build(SPACE.parse(SECOND_ORDER), CIFAR)
    assert sum(p.numel() for p in model.parameters()) == 3_349_342


def test_size_is_that_of_the_literature():
    pairs = 1 * 3 * 6 * 10
    assert SPACE.size == (pairs * 7**8) ** 2 > 10**18
    assert SPACE.n_choices == 22


def random_cells(rng):
    """A cell as edges (operation, source) in any order, written without the code under test."""
    cell = []
    for node in (2, 3, 4, 5):
        cell += [(OPS[rng.integers(7)], int(source)) for source in rng.permutation(node)[:2]]
    return cell


def write(normal, reduction, concat="[2, 3, 4, 5]"):
    return f"Genotype(normal={normal}, normal_concat={concat}, reduce={reduction}, reduce_concat={concat})"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["[2, 3, 4, 5]", "range(2, 6)", "[2,3,4,5]"]), st.sampled_from(["", " "]))
def test_any_way_of_writing_is_read(seed, concat, space):
    rng = np.random.default_rng(seed)
    normal, reduction = random_cells(rng), random_cells(rng)
    g = SPACE.parse(write(normal, reduction, concat).replace(", ", "," + space).replace("=", space + "=" + space))
    sources, ops = SPACE.cells(g)
    for cell, s, o in zip((normal, reduction), sources[0], ops[0], strict=True):
        for node in range(4):
            told = {(OPS[b], int(a)) for a, b in zip(s[node], o[node], strict=True)}
            assert told == set(cell[2 * node : 2 * node + 2])
    assert np.array_equal(SPACE.parse(SPACE.format(g)), g)


def test_canonical_merges_exactly_what_renaming_merges():
    first = {c.name: c.options[0] for c in SPACE.choices if c.name.startswith("reduce")}
    others = {c.name: c.options[2:] for c in SPACE.choices if "normal" in c.name and "op" in c.name}
    g = SPACE.restrict(lock=first, exclude=others).sample(3000, np.random.default_rng(0))
    g = np.concatenate([g, np.roll(g, 11, axis=1)])  # the same cells as reductions
    ours = SPACE.keys(SPACE.canonical(g))
    brute = []
    for sources, ops in zip(*(a.tolist() for a in SPACE.cells(g)), strict=True):
        best = []
        for s, o in zip(sources, ops, strict=True):
            descriptions = []
            for inner in itertools.permutations((2, 3, 4, 5)):
                to = {0: 0, 1: 1, **dict(zip((2, 3, 4, 5), inner, strict=True))}
                nodes = [(to[2 + i], sorted((to[a], b) for a, b in zip(s[i], o[i], strict=True))) for i in range(4)]
                descriptions.append(str(sorted(nodes)))
            best.append(min(descriptions))
        brute.append(tuple(best))
    assert len(set(ours)) == len(set(brute)) == len(set(zip(ours, brute, strict=True))) < len(np.unique(g, axis=0))


def test_renamed_cells_compute_the_same():
    """Swap two pairs of nodes and move the weights along: the networks agree."""
    space, shape = DARTS(C=4, layers=3), Shape((3, 8, 8), 5)
    reduction = [("max_pool_3x3", 0), ("skip_connect", 1)] * 4
    one, other = [("sep_conv_3x3", 0), ("skip_connect", 1)], [("dil_conv_3x3", 0), ("avg_pool_3x3", 1)]
    g = space.parse([write((one + other) * 2, reduction), write((other + one) * 2, reduction)])
    same = space.canonical(g)
    assert np.array_equal(same[0], same[1])
    a, b = (space.build(row, shape).eval() for row in g)
    state = a.state_dict()
    moved = {}
    for key, value in state.items():
        part = key.split(".")
        if key.startswith("cells.0.ops."):
            part[3] = str(int(part[3]) ^ 2)  # edges 0 and 1 trade places with 2 and 3, 4 and 5 with 6 and 7
        if key.startswith(("cells.1.last.conv", "cells.2.before.conv")):
            value = value.unflatten(1, (4, 4))[:, [1, 0, 3, 2]].flatten(1, 2)
        moved[".".join(part)] = value
    b.load_state_dict(moved)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(a(x), b(x), atol=1e-6)
        assert not torch.allclose(a(x), space.build(g[0], shape).eval()(x), atol=1e-3)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("darts:C=6,layers=5", Shape((3, 17, 21), 4)),
        ("darts:C=4,layers=8,none=true", Shape((1, 8, 8), 10)),
        ("darts:C=4,layers=3,auxiliary=true,drop_path=0.2", Shape((3, 32, 29), 10)),
    ],
)
def test_closed_form_is_what_the_networks_do(spec, shape):
    space = get_space(spec)
    g = space.sample(6, np.random.default_rng(0))
    if space.none:
        g[0, 8:11], g[1] = 0, 0  # a dead node; nothing at all
        g[2, space.cardinalities == 8] = 0
    counts = space.count(g, shape)
    for i, row in enumerate(g):
        with torch.device("meta"):
            model = space.build(row, shape)
        assert vars(count_module(model, shape.input_shape)) == {k: int(v[i]) for k, v in counts.items()}


def test_auxiliary_head():
    space = get_space("darts:C=4,layers=6,auxiliary=true")
    plain = get_space("darts:C=4,layers=6")
    g = space.sample(1, np.random.default_rng(0))
    extra = 64 * 128 + 256 + 128 * 768 * 4 + 1536 + 768 * 10 + 10
    assert space.count(g, CIFAR)["params"] - plain.count(g, CIFAR)["params"] == extra
    model = space.build(g, CIFAR).train()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits, auxiliary = model.with_auxiliary(x)
    assert logits.shape == auxiliary.shape == (2, 10)
    assert torch.equal(logits, model(x))
    with pytest.raises(InputError, match="no auxiliary head"):
        plain.build(g, CIFAR).with_auxiliary(x)
    with pytest.raises(InputError, match="at least 29 x 29, not 28 x 28"):
        space.build(g, Shape((1, 28, 28), 10))


def test_drop_path_acts_in_training_only_and_keeps_the_mean():
    space = DARTS(C=2, layers=3, drop_path=0.5)
    g = space.parse(SECOND_ORDER)
    model = space.build(g, Shape((3, 8, 8), 3))
    cell = model.cells[0].train()
    generator = torch.Generator().manual_seed(0)
    states = [torch.rand(4000, 2, 8, 8, generator=generator) for _ in range(4)]
    torch.manual_seed(0)
    with torch.no_grad():
        dropped = cell._term(0, states, 0.5)
        whole = cell._term(0, states, 0.0)
    gone = dropped.abs().sum(dim=(1, 2, 3)) == 0
    assert abs(gone.float().mean().item() - 0.5) < 5 * 0.5 / 4000**0.5
    assert torch.allclose(dropped[~gone], 2 * whole[~gone])
    model.eval()
    x = torch.randn(2, 3, 8, 8, generator=generator)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("find", "put", "what"),
    [
        ("'sep_conv_3x3'", "'sep_conv_3x4'", "did you mean"),
        ("0)", "2)", "node 2 reads nodes 0 to 1, not 2"),
        ("1)", "0)", "node 2 reads node 0 twice"),
        ("[2, 3, 4, 5]", "[2, 3, 4]", "all four nodes"),
        ("reduce=", "reduction=", "expected 'reduce'"),
        ("), (", ") (", "expected ','"),
        ("'sep_conv_3x3'", "sep_conv_3x3", "in quotes"),
        ("Genotype", "Genotyp", "expected 'Genotype'"),
    ],
)
def test_malformed_strings(find, put, what):
    bad = SECOND_ORDER.replace(find, put, 1)
    with pytest.raises(ArchStringError) as error:
        SPACE.parse(bad)
    assert what in str(error.value)
    (position,) = re.findall(r"position (\d+):", str(error.value))
    start = SECOND_ORDER.index(find)
    assert start <= int(position) <= start + len(find) + 1


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), EDITS)
def test_damaged_strings(seed, edits):
    check_damaged(SPACE, SPACE.format(SPACE.sample(1, np.random.default_rng(seed)))[0], edits)


def test_impossible_options():
    for spec in ("darts:C=5", "darts:layers=2", "darts:drop_path=1.0"):
        with pytest.raises(InputError, match="darts needs"):
            get_space(spec)
