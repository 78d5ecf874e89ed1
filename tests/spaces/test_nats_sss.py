"""The size space against the parameter counts of the published tables and the strings of its authors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogive._errors import ArchStringError
from ogive.metrics.counts import count_module
from ogive.spaces.base import Shape
from ogive.spaces.nats_sss import CELL, NATSSize
from tests.spaces.damage import EDITS, check_damaged

SPACE = NATSSize()
CIFAR = Shape((3, 32, 32), 10)


@pytest.mark.parametrize(
    ("arch", "params"),
    [
        ("8:8:8:8:8", 11_714),
        ("8:8:8:16:40", 67_378),
        ("8:8:16:40:40", 107_826),
        ("64:64:64:64:64", 713_674),
    ],
)
def test_parameters_of_the_published_table(arch, params):
    assert SPACE.count(SPACE.parse([arch]), CIFAR)["params"] == params


def test_number_of_an_architecture_is_the_published_one():
    archs = [":".join(widths) for widths in itertools.product(map(str, range(8, 65, 8)), repeat=5)]
    assert SPACE.format(SPACE.enumerate()) == archs
    assert archs[12] == "8:8:8:16:40"  # whose 67,378 parameters the authors print for number 12


def test_the_cell_is_number_9930_of_nasbench201():
    from ogive.spaces.nasbench201 import NASBench201

    topology = NASBench201()
    arch = topology.format(topology.from_index(topology.official()[9930:9931]))[0]
    assert arch == "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    assert tuple(slot.partition("~")[0] for slot in arch.replace("+", "").split("|") if slot) == CELL


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=5, max_size=5), st.integers(1, 3), st.integers(5, 40), st.integers(5, 40))
def test_closed_form_is_what_the_networks_do(row, c, h, w):
    import torch

    shape = Shape((c, h, w), 7)
    counts = SPACE.count(np.array([row]), shape)
    with torch.device("meta"):
        model = SPACE.build(np.array(row), shape)
    assert vars(count_module(model, shape.input_shape)) == {k: int(v[0]) for k, v in counts.items()}


@pytest.mark.parametrize(
    ("arch", "position", "what"),
    [
        ("8:16:32:48", 10, "width of cell3"),
        ("8:16:30:48:64", 5, "found '30'"),
        ("8:16:32:48:64:", 13, "expected the end"),
        ("8:16:32:48:64:8", 13, "expected the end"),
        ("", 0, "expected a width"),
    ],
)
def test_malformed_strings(arch, position, what):
    with pytest.raises(ArchStringError) as error:
        SPACE.parse(arch)
    assert f"position {position}:" in str(error.value)
    assert what in str(error.value)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), EDITS)
def test_damaged_strings(seed, edits):
    check_damaged(SPACE, SPACE.format(SPACE.sample(1, np.random.default_rng(seed)))[0], edits)
