"""The supernet of NAS-Bench-101: slices of vertices, weights by vertex, mixtures of operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ogive._errors import InputError
from ogive.spaces.base import Shape, get_space

TASK = Shape((3, 8, 8), 5)
SPACE = get_space("nasbench101:C=10,N=1")
# Input to vertices 2 and 5, both to the output: vertices 1, 3, 4 are on no path.
EDGES = {(0, 2), (0, 5), (2, 5), (2, 6), (5, 6)}
CONV3, CONV1, POOL = range(3)


def genotype(edges, *ops):
    order = [(s, t) for s in range(7) for t in range(s + 1, 7)]
    return np.array([*(int(e in edges) for e in order), *ops], dtype=np.uint8)


def supernet():
    torch.manual_seed(0)
    return SPACE.supernet(TASK).eval()


def images(n=2):
    return torch.randn(n, *TASK.input_shape, generator=torch.Generator().manual_seed(0))


def test_weights_belong_to_the_vertex_and_not_to_its_number_in_the_pruned_cell():
    network = supernet()
    network.select(genotype(EDGES, CONV1, CONV3, CONV1, CONV1, CONV1).tolist())
    state = network.active_state()
    # Vertex 2 is the first of the pruned cell, and half as wide as the output, which two vertices share.
    full = network.body[0].places()[0].table[CONV3].conv.weight
    assert full.shape == (10, 10, 3, 3)
    assert network.body[0].ops[1].table[CONV3].conv.weight is full
    assert torch.equal(state["body.0.ops.0.conv.weight"], full[:5, :5])
    assert torch.equal(state["body.0.projections.1.conv.weight"], network.body[0].projections["2"].conv.weight[:5])
    assert not any(key.startswith("body.0.ops.2") for key in state)


def test_channels_that_are_not_kept_do_not_matter():
    network, x = supernet(), images()
    network.select(genotype(EDGES, CONV1, CONV3, CONV1, CONV1, CONV1).tolist())
    with torch.inference_mode():
        before = network(x)
        network.body[0].ops[1].table[CONV3].conv.weight[5:] = 9.0
        network.body[0].ops[0].table[CONV1].conv.weight[:] = 9.0
        assert torch.equal(network(x), before)
        network.body[0].ops[1].table[CONV3].conv.weight[:5, :5] += 1.0
        assert not torch.equal(network(x), before)


def test_operations_of_a_vertex_mix_at_the_width_of_the_cell():
    network, x = supernet(), images()
    network.select(genotype(EDGES, CONV1, CONV3, CONV1, CONV1, CONV1).tolist())
    cell = network.body[0]
    states = torch.randn(2, 10, 4, 4)
    weights = torch.tensor([0.5, 0.3, 0.2])
    # Vertex 5 only enters the output, so the cell is linear in the weights of its operations.
    expected = 0
    with torch.inference_mode():
        for op in range(3):
            network.select(genotype(EDGES, CONV1, CONV3, CONV1, CONV1, op).tolist())
            expected = expected + weights[op] * cell(states)
        network.mix([*[None] * 25, weights])
        torch.testing.assert_close(cell(states), expected, rtol=1e-4, atol=1e-5)
        assert network(x).shape == (2, 5)


def test_edges_cannot_be_mixed():
    with pytest.raises(InputError, match="choice 0 cannot be mixed"):
        supernet().mix([torch.ones(2), *[None] * 25])
